//! The short way of `recv` in a turn of a server's task, for the usual case: the connection is settled, and a read brings
//! a small message or nothing.
//!
//! It has the same effects as the steps of [`receive`](super::receive) and [`transfer`](super::transfer), and leaves out
//! those that can have none. Where something unusual shows, it goes on with them.

use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite};
use ws_proto::{Connection, Event as Parsed};

use super::{
    input::Input,
    lent_run::LentRun,
    received::Taken,
    state::{Mode, SharedState, Turn},
    transfer::READS_PER_TURN,
    turn,
};
use crate::{
    thread_buffers::{LendPermit, ReceiveLease},
    turn_work::{count_work, is_check_due},
};

#[cfg(test)]
thread_local! {
    /// How many calls of `recv` have gone the short way on this thread.
    static SHORT_RECEIVES: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

impl<S: AsyncRead + AsyncWrite + Unpin> SharedState<S> {
    /// Receives, if this is a turn of the server's task and nothing is in progress or waits. `None`: nothing was done.
    /// `rest` gets the messages of a read behind those that are returned.
    #[inline]
    pub(crate) fn poll_shortly<R: Taken>(
        &mut self,
        cx: &mut Context<'_>,
        rest: &mut Option<LentRun>,
    ) -> Option<Poll<Option<R>>> {
        let Mode::ServerTask { turn: Turn::Application, receiving, reads, .. } = &mut self.mode else {
            return None;
        };
        let driver = self.driver.as_mut().filter(|driver| driver.reads_plainly())?;
        let waker = self.waiting.only_server_task().filter(|waker| waker.will_wake(cx.waker()))?;
        if self.rare.is_some() || self.waker_added || *reads >= READS_PER_TURN || is_check_due() {
            return None;
        }
        #[cfg(test)]
        SHORT_RECEIVES.set(SHORT_RECEIVES.get() + 1);
        (self.waker_missing, self.has_received) = (false, true);
        driver.connection_mut().resume_plain();
        if self.input == Input::None {
            *receiving = true;
            self.end_turn_shortly(cx);
            return Some(Poll::Pending);
        }
        *reads += 1;
        let mut rx = ReceiveLease::take();
        let read = driver.read_plain(&mut Context::from_waker(waker), self.now, &mut rx);
        *receiving = read.is_pending();
        let Poll::Ready(fills) = read else {
            self.end_turn_shortly(cx);
            return Some(Poll::Pending);
        };
        if self.input == Input::Some && !fills {
            self.input = Input::None;
        }
        if R::TAKES_RUNS && rx.is_mostly_filled() {
            return Some(self.poll_parsed(cx, rx));
        }
        let (from, may_lend) = (rx.position(), rx.may_lend());
        let (connection, tx) = driver.parts_mut();
        let Some((message, has_more)) = connection.poll_first_message(&mut rx, tx) else {
            return Some(self.poll_parsed(cx, rx));
        };
        count_work(1);
        if has_more
            && may_lend
            && let Some(permit) = LendPermit::take()
        {
            let first = R::from_first(message);
            return Some(Poll::Ready(self.take_together(first, from, permit, rx, rest)));
        }
        let received = R::from_parsed(Parsed::Message(message));
        if has_more {
            self.hold_received(&mut rx, Connection::hold);
        } else {
            connection.hold();
        }
        Some(Poll::Ready(received))
    }

    /// Takes the messages of a read that has several. They stay where they are: the run takes the receive buffer. Its
    /// first frame is at `from`, unless its first message was taken.
    #[inline(never)]
    fn take_together<R: Taken>(
        &mut self,
        first: Option<R>,
        from: usize,
        permit: LendPermit,
        mut rx: ReceiveLease,
        rest: &mut Option<LentRun>,
    ) -> Option<R> {
        let (connection, tx) = self.driver.as_mut()?.parts_mut();
        let from = if first.is_some() { rx.position() } else { from };
        let messages = connection.lend_received(from, &mut rx, tx);
        if !rx.is_empty() {
            self.hold_received(&mut rx, Connection::hold);
        }
        match messages.and_then(|messages| LentRun::in_buffer(messages, rx, permit)) {
            Some(run) => R::from_run(first, run, rest),
            None => first,
        }
    }

    /// Ends the turn, as [`end_turn_early`](Self::end_turn_early) does.
    #[inline]
    fn end_turn_shortly(&mut self, cx: &mut Context<'_>) {
        if self.has_refused || !turn::is_entered(self, cx.waker()) || !self.write_shortly(cx) {
            return self.end_turn_early(cx);
        }
        self.end_turn();
        if self.driver().is_some_and(|driver| driver.is_quiet()) {
            turn::set_done();
        }
    }

    /// Writes what was sent in this turn. `false`: something is left.
    #[inline]
    fn write_shortly(&mut self, cx: &Context<'_>) -> bool {
        let Some(driver) = &mut self.driver else { return false };
        driver.write_plain(&mut Context::from_waker(cx.waker()), self.now)
    }
}

#[cfg(test)]
mod tests {
    use std::{future::Future, pin::Pin, task::Waker, time::Instant};

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
    use ws_proto::{Config, Connection};

    use super::SHORT_RECEIVES;
    use crate::{internal::ServerHalf, websocket::WebSocket};

    struct Fixture {
        served: ServerHalf<DuplexStream>,
        application: Pin<Box<dyn Future<Output = ()>>>,
        peer: DuplexStream,
    }

    impl Fixture {
        /// An echo whose first turn is done.
        fn new() -> Self {
            Self::with(Connection::server(Config::default().validate().unwrap(), Instant::now()))
        }

        fn with(connection: Connection) -> Self {
            let (peer, transport) = tokio::io::duplex(1000);
            let (served, mut ws): (_, WebSocket<_>) = ServerHalf::new(transport, connection, &[]);
            let application = Box::pin(async move {
                while let Some(message) = ws.recv().await {
                    ws.send(message).await.unwrap();
                }
            });
            let mut fixture = Self { served, application, peer };
            fixture.turn(true);
            fixture
        }

        /// Polls the application, in a turn of the server's task or outside of one. Returns how many calls of `recv`
        /// went the short way.
        fn turn(&mut self, of_server: bool) -> usize {
            SHORT_RECEIVES.set(0);
            let (cx, now) = (&mut std::task::Context::from_waker(Waker::noop()), Instant::now());
            if of_server {
                self.served.begin_turn(cx, now);
            }
            assert!(self.application.as_mut().poll(cx).is_pending());
            if of_server {
                assert!(self.served.end_turn(cx, now).is_pending());
            }
            SHORT_RECEIVES.get()
        }

        async fn echo(&mut self, of_server: bool) -> usize {
            self.peer.write_all(&[0x82, 0x81, 0, 0, 0, 0, b'x']).await.unwrap();
            let count = self.turn(of_server);
            let mut echo = [0; 3];
            self.peer.read_exact(&mut echo).await.unwrap();
            assert_eq!(echo, [0x82, 1, b'x']);
            count
        }
    }

    #[tokio::test]
    async fn a_small_echo_is_received_the_short_way_in_a_turn_of_the_server_only() {
        let mut fixture = Fixture::new();
        for _ in 0..3 {
            assert!(fixture.echo(true).await > 0);
        }
        assert_eq!(fixture.echo(false).await, 0);
    }

    #[cfg(feature = "deflate")]
    #[tokio::test]
    async fn a_connection_that_compresses_receives_the_short_way_too() {
        use ws_proto::handshake::{RequestReader, ServerHandshake};

        let request = b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
            Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
            Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n";
        let mut config = Config::default();
        config.deflate = Some(ws_proto::deflate::DeflateConfig::server());
        let config = config.validate().unwrap();
        let (request, _) = RequestReader::new(&config.limits).read(request).unwrap().unwrap();
        let extensions = ServerHandshake::new(&request).unwrap().negotiate(&config);
        let connection = Connection::server(config, Instant::now()).with_extensions(extensions);
        assert!(connection.deflate_params().is_some());
        let mut fixture = Fixture::with(connection);
        for _ in 0..3 {
            assert!(fixture.echo(true).await > 0);
        }
    }
}
