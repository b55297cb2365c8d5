//! `ping_rtt`: the time from a ping to its pong.

use std::{future::Future, io::ErrorKind, pin::pin, task::Poll, time::Duration};

use tokio::{
    sync::oneshot,
    time::{Instant, sleep},
};
use ws_proto::{CloseCode, Message, error::ConnectionError};
use ws_tokio::{Error, Event};

use crate::support::{Frame, Peer, ROLES, Task, cancelled_after, config, opcode, open, open_with, serve};

const SECOND: Duration = Duration::from_secs(1);
const RTT: Duration = Duration::from_millis(30);

/// What a peer does to end the connection.
type End = fn(&Peer);

/// Takes the pings that the peer has received, and checks that nothing but pings came.
fn pings(peer: &Peer) -> Vec<Vec<u8>> {
    let frames = peer.received();
    assert!(frames.iter().all(|frame| frame.opcode == opcode::PING), "{frames:?}");
    frames.into_iter().map(|frame| frame.payload).collect()
}

/// Answers the only ping after `RTT`.
async fn answer(peer: &Peer) {
    sleep(RTT).await;
    let [ping] = &pings(peer)[..] else { panic!("one ping") };
    peer.send(Frame::pong(ping.clone()));
}

#[tokio::test(start_paused = true)]
async fn it_is_the_time_from_the_ping_to_its_pong() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        let (rtt, ()) = tokio::join!(ws.ping_rtt(), answer(&peer));
        assert_eq!(rtt, Ok(RTT));
        let sender = ws.sender();
        let receiving = tokio::spawn(async move { ws.recv().await });
        let (rtt, ()) = tokio::join!(sender.ping_rtt(), answer(&peer));
        assert_eq!(rtt, Ok(RTT));
        peer.send(Frame::text("m"));
        assert_eq!(receiving.await.unwrap(), Some(Message::text("m")));
    }
}

#[tokio::test(start_paused = true)]
async fn only_the_pong_with_the_payload_of_the_ping_answers_it() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        let (mut other, peer_of_other) = open(role);
        let answers = async {
            sleep(RTT).await;
            peer.send_all([Frame::pong(""), Frame::pong("user"), Frame::pong([0; 16])]);
            let of_other = pings(&peer_of_other).remove(0);
            peer.send(Frame::pong(of_other));
            sleep(RTT).await;
            answer(&peer).await;
        };
        let other = cancelled_after(1, other.ping_rtt());
        assert_eq!(other.await, None);
        let (rtt, ()) = tokio::join!(ws.ping_rtt(), answers);
        assert_eq!(rtt, Ok(3 * RTT));
    }
}

#[tokio::test(start_paused = true)]
async fn a_pong_of_a_later_ping_answers_the_earlier_ones() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        let (one, two, three) = (ws.sender(), ws.sender(), ws.sender());
        let receiving = tokio::spawn(async move { while ws.recv().await.is_some() {} });
        let later = async {
            sleep(RTT).await;
            two.ping_rtt().await
        };
        let last = async {
            sleep(2 * RTT).await;
            three.ping_rtt().await
        };
        let peer_answers = async {
            sleep(3 * RTT).await;
            let pings = pings(&peer);
            assert!(pings[0] != pings[1] && pings[1] != pings[2]);
            peer.send(Frame::pong(pings[1].clone()));
            sleep(RTT).await;
            peer.send(Frame::pong(pings[2].clone()));
        };
        let (first, later, last, ()) = tokio::join!(one.ping_rtt(), later, last, peer_answers);
        assert_eq!((first, later, last), (Ok(3 * RTT), Ok(2 * RTT), Ok(2 * RTT)));
        peer.end();
        receiving.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn messages_that_arrive_while_it_waits_are_held() {
    for role in ROLES {
        for asks_for_events in [false, true] {
            let (mut ws, peer) = open(role);
            if asks_for_events {
                assert_eq!(cancelled_after(1, ws.recv_event()).await, None);
            }
            peer.send_all([Frame::text("a"), Frame::ping("b"), Frame::text("c")]);
            let answers = async {
                sleep(RTT).await;
                let frames = peer.received();
                let ping = frames.into_iter().find(|frame| frame.opcode == opcode::PING).unwrap();
                peer.send(Frame::pong(ping.payload));
            };
            let (rtt, ()) = tokio::join!(ws.ping_rtt(), answers);
            assert_eq!(rtt, Ok(RTT));
            assert_eq!(ws.recv_event().await, Some(Event::Message(Message::text("a"))));
            if asks_for_events {
                assert_eq!(ws.recv_event().await, Some(Event::Ping("b".into())));
            }
            assert_eq!(ws.recv_event().await, Some(Event::Message(Message::text("c"))));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn held_messages_at_their_limit_are_an_error_and_are_not_lost() {
    for role in ROLES {
        let mut config = config();
        config.limits.max_held_bytes = 1000;
        let (mut ws, peer) = open_with(role, config);
        peer.read_slowly(600);
        peer.send_all([Frame::text("a".repeat(600)), Frame::text("b".repeat(600))]);
        peer.send(Frame::text("c".repeat(600)));
        assert_eq!(ws.ping_rtt().await, Err(Error::HeldFull));
        for letter in ["a", "b", "c"] {
            assert_eq!(ws.recv().await, Some(Message::text(letter.repeat(600))));
        }
        pings(&peer);
        let (rtt, ()) = tokio::join!(ws.ping_rtt(), answer(&peer));
        assert_eq!(rtt, Ok(RTT));
    }
}

#[tokio::test(start_paused = true)]
async fn a_ping_without_an_answer_ends_with_the_connection() {
    for role in ROLES {
        let failed = Error::Connection(ConnectionError::Transport(ErrorKind::ConnectionReset));
        let ends: [(End, Error); 3] = [
            (|peer| peer.send(Frame::close(1000, "")), Error::Closed),
            (|peer| peer.fail_reads(ErrorKind::ConnectionReset), failed),
            (|peer| peer.send_all([Frame::text("held"), Frame::close(1000, "")]), Error::Closed),
        ];
        for (end, error) in ends {
            let (mut ws, peer) = open(role);
            let ends = async {
                sleep(SECOND).await;
                end(&peer);
            };
            let begun = Instant::now();
            let (rtt, ()) = tokio::join!(ws.ping_rtt(), ends);
            assert_eq!((rtt, begun.elapsed()), (Err(error), SECOND));

            let (mut ws, peer) = open(role);
            let sender = ws.sender();
            let receiving = tokio::spawn(async move {
                while ws.recv().await.is_some() {}
                ws
            });
            let ends = async {
                sleep(SECOND).await;
                end(&peer);
            };
            let begun = Instant::now();
            let (rtt, ()) = tokio::join!(sender.ping_rtt(), ends);
            assert_eq!((rtt, begun.elapsed()), (Err(error), SECOND), "at once, not after `close_timeout`");
            assert_eq!(sender.ping_rtt().await, Err(error));
            peer.end();
            let mut ws = receiving.await.unwrap();
            assert_eq!((sender.ping_rtt().await, ws.ping_rtt().await), (Err(error), Err(error)));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_end_that_is_held_behind_the_latest_message_ends_the_ping_at_once() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        peer.send_all([Frame::text("m"), Frame::close(1000, "")]);
        peer.end();
        assert_eq!(ws.recv().await, Some(Message::text("m")));
        let before = Instant::now();
        assert_eq!(ws.ping_rtt().await, Err(Error::Closed));
        assert_eq!(before.elapsed(), Duration::ZERO);
        assert_eq!(ws.recv().await, None);
        assert!(ws.close_info().unwrap().is_clean());
    }
}

#[tokio::test(start_paused = true)]
async fn our_own_close_ends_the_ping_of_a_sender() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        peer.answer_close();
        let (pinging, closing) = (ws.sender(), ws.sender());
        let close = async {
            sleep(RTT).await;
            closing.close(CloseCode::NORMAL, "");
        };
        let (rtt, (), _) = tokio::join!(pinging.ping_rtt(), close, ws.recv());
        assert_eq!(rtt, Err(Error::Closed));
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_ping_leaves_nothing_behind() {
    for role in ROLES {
        for polls in 0..60 {
            let (mut ws, peer) = open(role);
            peer.move_single_bytes();
            let _ = cancelled_after(polls, ws.ping_rtt()).await;
            let task = Task::new();
            let sender = ws.sender();
            {
                let mut ping = pin!(sender.ping_rtt());
                for _ in 0..polls {
                    assert!(ping.as_mut().poll(&mut task.cx()).is_pending());
                }
            }
            assert_eq!(task.wakers(), 0);
            ws.flush().await;
            sleep(RTT).await;
            assert!(pings(&peer).len() <= 2);
            let answers = async {
                sleep(RTT).await;
                while peer.unread() == 0 {
                    let Some(ping) = pings(&peer).pop() else {
                        sleep(RTT).await;
                        continue;
                    };
                    peer.send(Frame::pong(ping));
                }
            };
            let (rtt, ()) = tokio::join!(ws.ping_rtt(), answers);
            assert!(rtt.is_ok(), "{role:?}, {polls} polls: {rtt:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn too_many_control_frames_are_an_error() {
    for role in ROLES {
        let (ws, peer) = open(role);
        peer.take_only(0);
        let sender = ws.sender();
        let mut errors = 0;
        for _ in 0..100 {
            let mut ping = Box::pin(sender.ping_rtt());
            if let Poll::Ready(result) = Task::new().poll(&mut ping) {
                assert!(matches!(result, Err(Error::Control(_))), "{result:?}");
                errors += 1;
            }
        }
        assert!(errors > 50, "{errors}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_measures_in_its_function_and_in_other_tasks() {
    for in_function in [false, true] {
        let (done, result) = oneshot::channel();
        let (task, peer) = serve(config(), move |mut ws| async move {
            let rtt = if in_function {
                ws.ping_rtt().await
            } else {
                let sender = ws.sender();
                let pinging = tokio::spawn(async move { sender.ping_rtt().await });
                assert_eq!(ws.recv().await, Some(Message::text("m")));
                pinging.await.unwrap()
            };
            done.send(rtt).unwrap();
            while ws.recv().await.is_some() {}
        });
        let task = tokio::spawn(task);
        answer(&peer).await;
        sleep(SECOND).await;
        peer.send(Frame::text("m"));
        assert_eq!(result.await.unwrap(), Ok(RTT), "in the function: {in_function}");
        peer.send(Frame::close(1000, ""));
        peer.end();
        assert!(task.await.unwrap().is_clean());
    }
}

#[tokio::test(start_paused = true)]
async fn a_servers_function_gets_an_error_if_the_held_messages_reach_their_limit() {
    let mut config = config();
    config.limits.max_held_bytes = 1000;
    let (done, result) = oneshot::channel();
    let (task, peer) = serve(config, move |mut ws| async move {
        done.send(ws.ping_rtt().await).unwrap();
        while ws.recv().await.is_some() {}
    });
    let task = tokio::spawn(task);
    for _ in 0..3 {
        sleep(RTT).await;
        peer.send(Frame::text("a".repeat(600)));
    }
    assert_eq!(result.await.unwrap(), Err(Error::HeldFull));
    peer.send(Frame::close(1000, ""));
    peer.end();
    assert!(task.await.unwrap().is_clean());
}

#[tokio::test(start_paused = true)]
async fn a_pong_counts_when_it_arrives_even_if_its_event_is_held() {
    let (received, result) = oneshot::channel();
    let (go_on, wait) = oneshot::channel::<()>();
    let (task, peer) = serve(config(), move |mut ws| async move {
        let sender = ws.sender();
        let pinging = tokio::spawn(async move { sender.ping_rtt().await });
        assert_eq!(ws.recv_event().await, Some(Event::Message(Message::text("m"))));
        let rtt = pinging.await.unwrap();
        wait.await.unwrap();
        let mut events = Vec::new();
        while let Some(event) = ws.recv_event().await {
            events.push(event);
        }
        received.send((rtt, events)).unwrap();
    });
    let task = tokio::spawn(task);
    sleep(RTT).await;
    let ping = pings(&peer).remove(0);
    peer.send_all([Frame::text("m"), Frame::text("held"), Frame::pong(ping.clone())]);
    sleep(SECOND).await;
    go_on.send(()).unwrap();
    peer.send(Frame::close(1000, ""));
    peer.end();
    let (rtt, events) = result.await.unwrap();
    assert_eq!(rtt, Ok(RTT));
    assert_eq!(events[..2], [Event::Message(Message::text("held")), Event::Pong(ping.into())]);
    assert!(task.await.unwrap().is_clean());
}
