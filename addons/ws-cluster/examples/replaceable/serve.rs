//! The server, its topics, its health check, and its end.

use std::{error::Error, net::TcpListener};

use tokio::signal::unix::{SignalKind, signal};
use ws_cluster::{Cluster, Health, LogOptions, Mode, redis::RedisBackplane};
use ws_server::{
    CloseCode, Message, Request, Server, ServerStream, ShutdownHandle, WebSocket,
    close::Shutdown,
    http::{Response, StatusCode},
    topics::{History, Member, Recovered, Stamp, SubscribeOptions, TopicOptions, Topics},
};

use super::options::Options;

const TOPIC: &str = "news";

pub(crate) async fn run(options: Options, listener: TcpListener) -> Result<(), Box<dyn Error>> {
    let mut terminate = signal(SignalKind::terminate())?;
    // How far back a client can recover is the smaller of this and the broker's log.
    let topic = TopicOptions::new().history(History::new(10_000)).stamp(Stamp::new("", " ", ""));
    let topics = Topics::builder().options(topic).build()?;
    let cluster = match &options.redis {
        Some(url) => {
            let backplane = RedisBackplane::builder([url]).start()?;
            let mode = |_: &str| Mode::Logged(LogOptions::default());
            Some(Cluster::builder(&topics, backplane).mode(mode).start()?)
        }
        None => None,
    };
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let server = Server::builder().topics(topics).listener(listener)?;
    let (addr, handle) = (server.local_addr()?, server.shutdown_handle());
    let health = health_check(&options.health, handle.clone(), cluster.clone()).await?;
    println!("listening on {addr}, health check on {}", health.local_addr()?);
    let health = tokio::spawn(health.serve(async |_, _| {}));
    let shutdown = Shutdown::new()
        .code(CloseCode::SERVICE_RESTART)
        .ready_delay(options.ready_delay)
        .spread(options.spread)
        .grace(options.grace);
    tokio::spawn(async move {
        terminate.recv().await;
        handle.start_with(shutdown);
    });
    let shared = cluster.clone();
    let session = move |ws, request| session(ws, request, shared.clone());
    let report = match options.shards {
        0 => server.serve(session).await,
        shards => server.sharded(shards).serve(session).await?,
    };
    println!("{} closed cleanly, {} did not, forced: {}", report.clean, report.unclean, report.forced);
    health.abort();
    if let Some(cluster) = cluster {
        cluster.shut_down().await;
    }
    Ok(())
}

/// A server on an address of its own: on the shared listener, any of the processes would answer.
async fn health_check(
    addr: &str,
    handle: ShutdownHandle,
    cluster: Option<Cluster>,
) -> Result<Server, Box<dyn Error>> {
    let check = move |_: &Request| {
        let hears = cluster.as_ref().is_none_or(|cluster| cluster.health() == Health::Healthy);
        let is_ready = hears && !handle.is_draining();
        let mut response = Response::new(if is_ready { "ready\n" } else { "not ready\n" }.into());
        *response.status_mut() = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        response
    };
    Ok(Server::builder().http(check).bind(addr).await?)
}

async fn session(mut ws: WebSocket<ServerStream>, request: Request, cluster: Option<Cluster>) {
    // The member leaves when it is dropped.
    let member = match &cluster {
        Some(cluster) => match subscribe(&ws, &request, cluster).await {
            Some(member) => Some(member),
            None => return,
        },
        None => None,
    };
    while let Some(message) = ws.recv().await {
        let answer = answer(message, cluster.as_ref()).await;
        if ws.send(answer).await.is_err() {
            break;
        }
    }
    drop(member);
}

/// Subscribes from the position that the client names. Says where the topic is, or that the client has to load the
/// state again.
async fn subscribe(ws: &WebSocket<ServerStream>, request: &Request, cluster: &Cluster) -> Option<Member> {
    let at = request.uri().query().and_then(|query| query.strip_prefix("at=")?.parse().ok());
    let member = cluster.topics().join(&ws.sender()).ok()?;
    let subscribed = cluster.subscribe_with(&member, TOPIC, SubscribeOptions::new().from(at)).await.ok()?;
    let says = match (subscribed.recovered, subscribed.position) {
        (Recovered::NotAsked | Recovered::All { .. }, Some(position)) => format!("subscribed {position}"),
        (Recovered::NotAsked | Recovered::All { .. }, None) => "subscribed".to_owned(),
        (other, _) => format!("reload {other:?}"),
    };
    ws.sender().send(says).await.ok()?;
    Some(member)
}

async fn answer(message: Message, cluster: Option<&Cluster>) -> Message {
    let text = message.as_text().unwrap_or_default();
    let news = text.strip_prefix("publish ").zip(cluster);
    let outcome = match news {
        Some((news, cluster)) if cluster.publish(TOPIC, news).await.is_err() => "in doubt",
        _ => "done",
    };
    format!("{outcome} {} {text}", std::process::id()).into()
}
