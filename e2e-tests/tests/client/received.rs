//! A server's messages are delivered even if a write to it fails, our Close is on its way, or the application is not
//! receiving.

use std::sync::Arc;

use e2e_tests::{
    certificates::Authority,
    raw_peer::{RawFrame, RawServer, opcode},
    server::ServerRunner,
};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy},
    net::{TcpListener, TcpStream},
    sync::Notify,
};
use ws_client::{CloseCode, CloseInfo, Connector, Error, Message, Tls, error::ConnectionError, tls::Roots};
use ws_server::Server;

use crate::support::{drain, open, run, soon};

/// The server sends a message and a Close, and closes its socket with unread bytes, which resets the connection.
async fn leaves(mut server: RawServer) {
    server.send_together(&[RawFrame::text("last words"), RawFrame::close(4001, "done")]).await;
    drop(server);
}

#[track_caller]
fn is_all_there(messages: &[Message], info: &CloseInfo) {
    assert_eq!(messages, [Message::text("last words")]);
    assert_eq!((info.code(), info.reason()), (4001, "done"), "{info:?}");
    assert_eq!((&info.sent, info.is_clean()), (&None, false));
    assert!(matches!(info.error, Some(ConnectionError::Transport(_))), "{info:?}");
}

#[test]
fn a_failed_send_takes_nothing_of_what_the_server_said_before_it_left() {
    run(async {
        for by_sender in [false, true] {
            let (mut ws, server) = open().await;
            let sender = ws.sender();
            ws.send("unread").await.unwrap();
            leaves(server).await;
            if by_sender {
                sender.send("into the void").await.unwrap();
            } else {
                ws.send("into the void").await.unwrap();
            }
            let (messages, info) = drain(&mut ws).await;
            is_all_there(&messages, &info);
        }
    });
}

#[test]
fn a_failed_try_send_takes_nothing_from_a_task_in_recv() {
    run(async {
        let (mut ws, server) = open().await;
        let sender = ws.sender();
        ws.send("unread").await.unwrap();
        let owner = tokio::spawn(async move { drain(&mut ws).await });
        tokio::task::yield_now().await;
        leaves(server).await;
        let _ = sender.try_send("into the void");
        let (messages, info) = soon(owner).await.unwrap();
        assert_eq!(messages, [Message::text("last words")]);
        assert_eq!(info.code(), 4001, "{info:?}");
    });
}

#[test]
fn a_failed_write_of_one_half_takes_nothing_from_the_other() {
    run(async {
        let (mut ws, server) = open().await;
        ws.send("unread").await.unwrap();
        let (mut sink, mut stream) = futures_util::StreamExt::split(ws);
        leaves(server).await;
        sink.send(Message::text("into the void")).await.unwrap();
        assert_eq!(soon(stream.next()).await.unwrap(), Ok(Message::text("last words")));
        let error = soon(stream.next()).await.unwrap().unwrap_err();
        assert!(matches!(error, Error::Connection(ConnectionError::Transport(_))), "{error:?}");
        let mut ws = stream.reunite(sink).unwrap();
        let (messages, info) = drain(&mut ws).await;
        assert_eq!((messages, info.code()), (vec![], 4001));
    });
}

/// A relay. After a signal it reads no more from the client, forwards all that the server sends, and then ends both
/// connections.
async fn stopping_relay(listener: TcpListener, server: std::net::SocketAddr, stop: Arc<Notify>) {
    let (mut client, mut server) =
        (listener.accept().await.unwrap().0, TcpStream::connect(server).await.unwrap());
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let forward = async {
        let mut buffer = vec![0; 65536];
        let stopped = stop.notified();
        tokio::pin!(stopped);
        loop {
            tokio::select! {
                biased;
                () = &mut stopped => return std::future::pending().await,
                n = from_client.read(&mut buffer) => to_server.write_all(&buffer[..n.unwrap()]).await.unwrap(),
            }
        }
    };
    tokio::select! {
        () = forward => {}
        copied = copy(&mut from_server, &mut to_client) => drop(copied.unwrap()),
    }
}

#[test]
fn over_tls_a_failed_send_takes_nothing_either() {
    run(async {
        let authority = Authority::new();
        let identity = authority.issue(&["localhost"]);
        let tls = ws_server::Tls::from_pem(&identity.chain, &identity.key).unwrap();
        let go = Arc::new(Notify::new());
        let builder = Server::builder().tls(tls).close_timeout(std::time::Duration::from_millis(100));
        let server = ServerRunner::serve(builder, {
            let go = Arc::clone(&go);
            move |mut ws| {
                let go = Arc::clone(&go);
                async move {
                    go.notified().await;
                    ws.send("last words").await.unwrap();
                    ws.close(CloseCode::new(4001).unwrap(), "done").await;
                }
            }
        })
        .await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("wss://localhost:{}/", listener.local_addr().unwrap().port());
        let stop = Arc::new(Notify::new());
        let relay = tokio::spawn(stopping_relay(listener, server.addr(), Arc::clone(&stop)));
        let roots = Tls::builder().roots(Roots::None).authority(authority.pem()).build().unwrap();
        let mut ws = Connector::new().tls(roots).connect(&url).await.unwrap();
        stop.notify_one();
        tokio::task::yield_now().await;
        ws.send("unread").await.unwrap();
        go.notify_one();
        soon(relay).await.unwrap();
        ws.send("into the void").await.unwrap();
        let (messages, info) = drain(&mut ws).await;
        is_all_there(&messages, &info);
        server.stop().await;
    });
}

#[test]
fn answers_behind_the_close_of_a_half_are_delivered() {
    const ANSWERS: usize = 100;
    run(async {
        for by_sender in [false, true] {
            let (ws, mut server) = open().await;
            let sender = ws.sender();
            let (mut sink, mut stream) = futures_util::StreamExt::split(ws);
            let answers = async {
                server.expect_close(1000).await;
                for number in 0..ANSWERS {
                    server.send(RawFrame::text(format!("answer {number}"))).await;
                }
                server.send(RawFrame::close(1000, "")).await;
                server.half_close().await;
            };
            let closing = async {
                if by_sender {
                    sender.close(CloseCode::NORMAL, "");
                } else {
                    sink.close().await.unwrap();
                }
            };
            let receiving = async {
                let mut received = Vec::new();
                while let Some(message) = stream.next().await {
                    received.push(message.unwrap());
                }
                received
            };
            let ((), (), received) = soon(async { tokio::join!(closing, answers, receiving) }).await;
            let expected = (0..ANSWERS).map(|number| Message::from(format!("answer {number}")));
            assert_eq!(received, expected.collect::<Vec<_>>());
        }
    });
}

#[test]
fn a_client_that_only_sends_answers_pings_and_sees_the_close() {
    run(async {
        for by_sender in [false, true] {
            let (mut ws, mut server) = open().await;
            let sender = ws.sender();
            server.send(RawFrame::ping("there?")).await;
            let sending = async {
                let mut sent = 0;
                loop {
                    let result = if by_sender { sender.send("data").await } else { ws.send("data").await };
                    if result.is_err() {
                        return sent;
                    }
                    sent += 1;
                    tokio::task::yield_now().await;
                }
            };
            let watching = async {
                loop {
                    let frame = server.recv_frame().await;
                    if frame.opcode == opcode::PONG {
                        server.send(RawFrame::close(1000, "")).await;
                    } else if frame.opcode == opcode::CLOSE {
                        return;
                    }
                }
            };
            let (sent, ()) = soon(async { tokio::join!(sending, watching) }).await;
            assert!(sent > 0);
            server.half_close().await;
            assert_eq!(drain(&mut ws).await.1.code(), 1000);
        }
    });
}

#[test]
fn a_senders_large_message_goes_out_without_a_poll_of_the_websocket() {
    run(async {
        let (ws, mut server) = open().await;
        let sender = ws.sender();
        let message = vec![7; 10_000_000];
        let receiving = async { server.expect_binary(&message).await };
        let (sent, ()) = soon(async { tokio::join!(sender.send(message.clone()), receiving) }).await;
        sent.unwrap();
        drop(ws);
    });
}
