//! Wakers run code of their executor. They run while no connection is locked, and their panics are caught.

use std::{
    io::ErrorKind,
    pin::pin,
    sync::{Arc, Mutex, mpsc},
    task::{Context, Poll, Wake, Waker},
};

use ws_proto::{CloseCode, Message, Role};
use ws_tokio::{Sender, WebSocket};

use crate::payload_destructors::{PanicOnDrop, data, use_connection, without_deadlock};
use crate::support::{Frame, ROLES, Task, config, open_with};

/// A waker that uses a connection when it wakes and when it is dropped, and may panic when it wakes.
struct ReentrantWaker {
    sender: Mutex<Option<Sender>>,
    woken: mpsc::Sender<()>,
    panics: bool,
}

impl ReentrantWaker {
    fn waker(sender: Option<Sender>, panics: bool) -> (Waker, mpsc::Receiver<()>) {
        let (woken, is_woken) = mpsc::channel();
        (Waker::from(Arc::new(Self { sender: Mutex::new(sender), woken, panics })), is_woken)
    }

    fn act(&self) {
        let sender = self.sender.lock().unwrap().clone();
        if let Some(sender) = sender {
            use_connection(&sender);
        }
    }
}

impl Wake for ReentrantWaker {
    fn wake(self: Arc<Self>) {
        let _ = self.woken.send(());
        self.act();
        if self.panics {
            std::panic::panic_any(PanicOnDrop);
        }
    }
}

impl Drop for ReentrantWaker {
    fn drop(&mut self) {
        self.act();
    }
}

/// A send waits for room with such a waker; then the transport continues or ends, and the waker must have been woken.
fn wake_in_send(panics: bool) {
    for role in ROLES {
        for end in 0..5 {
            let mut config = config();
            config.write_queue_messages = 1;
            let (mut ws, peer) = open_with(role, config);
            let sender = ws.sender();
            peer.take_only(0);
            let _ = Task::new().poll(&mut Box::pin(ws.feed("first")));
            let _ = Task::new().poll(&mut Box::pin(ws.flush()));
            let (waker, is_woken) = ReentrantWaker::waker(Some(sender.clone()), panics);
            let mut waiting = pin!(sender.send("second"));
            assert!(waiting.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            match end {
                0 => peer.take_everything(),
                1 => {
                    peer.fail_writes(ErrorKind::ConnectionReset);
                    peer.fail_reads(ErrorKind::ConnectionReset);
                }
                2 => peer.end(),
                3 => sender.abort(),
                _ => sender.close(CloseCode::NORMAL, ""),
            }
            for _ in 0..5 {
                let _ = ws.poll_recv(&mut Task::new().cx());
            }
            drop(ws);
            drop(waker);
            is_woken.try_recv().unwrap_or_else(|_| panic!("{role:?}, end {end}: it is woken"));
        }
    }
}

#[test]
fn a_waker_may_use_the_connection_that_wakes_it() {
    without_deadlock(|| wake_in_send(false));
}

#[test]
fn the_wakers_of_senders_that_wait_may_use_the_connection_that_drops_them() {
    without_deadlock(|| {
        for role in ROLES {
            let mut config = config();
            config.write_queue_messages = 1;
            let (ws, peer) = open_with(role, config);
            let sender = ws.sender();
            peer.take_only(0);
            sender.try_send("first").unwrap();
            let (old, (new, is_woken)) = (
                ReentrantWaker::waker(Some(sender.clone()), false).0,
                ReentrantWaker::waker(Some(sender.clone()), false),
            );
            let mut moved = Box::pin(sender.send("moved to another task"));
            let mut left = Box::pin(sender.send("given up"));
            for waiting in [&mut moved, &mut left] {
                assert!(waiting.as_mut().poll(&mut Context::from_waker(&old)).is_pending());
            }
            drop(old);
            assert!(moved.as_mut().poll(&mut Context::from_waker(&new)).is_pending());
            drop(left);
            peer.take_everything();
            assert!(is_woken.try_recv().is_ok(), "{role:?}");
            assert!(moved.as_mut().poll(&mut Context::from_waker(&new)).is_ready());
            assert_eq!(data(&peer)[1], Frame::text("moved to another task"));
        }
    });
}

#[test]
fn the_waker_of_a_task_that_waits_for_the_end_may_use_the_connection() {
    without_deadlock(|| {
        for role in ROLES {
            for end in 0..4 {
                let (mut ws, peer) = open_with(role, config());
                let sender = ws.sender();
                let (old, (new, is_woken)) = (
                    ReentrantWaker::waker(Some(sender.clone()), false).0,
                    ReentrantWaker::waker(Some(sender.clone()), true),
                );
                let (mut moved, mut left) = (Box::pin(sender.closed()), Box::pin(sender.closed()));
                assert!(moved.as_mut().poll(&mut Context::from_waker(&old)).is_pending());
                assert!(left.as_mut().poll(&mut Context::from_waker(&old)).is_pending());
                drop(old);
                assert!(moved.as_mut().poll(&mut Context::from_waker(&new)).is_pending());
                drop(left);
                match end {
                    0 => sender.abort(),
                    1 => sender.close(CloseCode::NORMAL, ""),
                    2 => drop(ws),
                    _ => {
                        peer.end();
                        let _ = ws.poll_recv(&mut Task::new().cx());
                    }
                }
                assert!(is_woken.try_recv().is_ok(), "{role:?}, end {end}");
                assert!(moved.as_mut().poll(&mut Context::from_waker(&new)).is_ready());
            }
        }
    });
}

#[test]
fn a_waker_that_panics_harms_no_other_connection() {
    without_deadlock(|| wake_in_send(true));
}

#[test]
fn a_task_that_is_polled_by_its_waker_gets_its_message() {
    /// Polls the other end inside its own wake-up, as an executor without a queue does.
    struct PollOnWake(Mutex<Option<WebSocket<tokio::io::DuplexStream>>>, mpsc::Sender<Message>, Sender);

    impl Wake for PollOnWake {
        fn wake(self: Arc<Self>) {
            // The waker uses the connection that wakes it.
            assert!(self.2.is_open());
            let Ok(mut ws) = self.0.try_lock() else { return };
            let waker = Waker::from(Arc::clone(&self));
            while let Some(ws) = ws.as_mut()
                && let Poll::Ready(Some(message)) = ws.poll_recv(&mut Context::from_waker(&waker))
            {
                self.1.send(message).unwrap();
            }
        }
    }

    without_deadlock(|| {
        let (client, server) = tokio::io::duplex(1000);
        let mut client = WebSocket::new(client, crate::support::connection(Role::Client, config()));
        let server = WebSocket::new(server, crate::support::connection(Role::Server, config()));
        let (got, gets) = mpsc::channel();
        let poll_on_wake = Arc::new(PollOnWake(Mutex::new(Some(server)), got, client.sender()));
        let waker = Waker::from(Arc::clone(&poll_on_wake));
        waker.wake_by_ref();
        // From the second one on, the fast path has given the transport the waker.
        for text in ["hello", "hello again", "and again"] {
            let _ = Task::new().poll(&mut Box::pin(client.send(text)));
            assert_eq!(gets.try_iter().collect::<Vec<_>>(), [Message::text(text)]);
        }
        poll_on_wake.0.lock().unwrap().take();
    });
}
