//! The fast path of `recv` and `send`, for the usual case: the connection is settled, a read brings a small message or
//! nothing, and the transport takes what is sent at once. It leads through a turn of a server's task, and through polls
//! without such a task.
//!
//! It has the same effects as the steps of [`receive`](super::receive), [`send`](super::send) and
//! [`transfer`](super::transfer), and leaves out those that can have none. In any other case, those steps continue.

use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite};
use ws_proto::Connection;

use super::{
    input::Input,
    lent_run::LentRun,
    mode::{Mode, Turn},
    received::Taken,
    state::{SharedState, advance},
    transfer::READS_PER_TURN,
    turn,
};
use crate::{
    thread_buffers::{LendPermit, ThreadReceiveBuffer},
    time::now,
    turn_work::{count_work, is_check_due},
};

#[cfg(test)]
thread_local! {
    /// How many calls of `recv` have taken the fast path on this thread.
    static FAST_RECEIVES: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
    /// How many messages were written on the fast path on this thread.
    static FAST_SENDS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

impl<S: AsyncRead + AsyncWrite + Unpin> SharedState<S> {
    /// Receives, if nothing is in progress or waits. `None`: take the usual steps. In a turn of a server's task,
    /// `rest` gets the messages of a read behind those that are returned.
    #[inline]
    pub(crate) fn poll_recv_fast<R: Taken>(
        &mut self,
        cx: &mut Context<'_>,
        rest: &mut Option<LentRun>,
    ) -> Option<Poll<Option<R>>> {
        let driver = self.driver.as_mut().filter(|driver| driver.reads_plainly())?;
        if self.rare.is_some() || self.waker_added || is_check_due() {
            return None;
        }
        let waker = match &mut self.mode {
            Mode::ServerTask(task) if task.turn == Turn::Application && task.reads < READS_PER_TURN => {
                let waker = self.waiting.only_server_task().filter(|waker| waker.will_wake(cx.waker()))?;
                task.reads += u8::from(self.input != Input::None);
                task.is_receiving = false;
                waker
            }
            Mode::Inline { .. } if driver.has_no_output() && self.waiting.note_poll(cx.waker()) => {
                self.waiting.transport()
            }
            _ => return None,
        };
        #[cfg(test)]
        FAST_RECEIVES.set(FAST_RECEIVES.get() + 1);
        (self.waker_missing, self.has_received) = (false, true);
        driver.connection_mut().resume_plain();
        if self.input == Input::None {
            return self.wait_fast(cx).then_some(Poll::Pending);
        }
        let is_inline = matches!(self.mode, Mode::Inline { .. });
        let time = || if is_inline { advance(&mut self.now, now()) } else { self.now };
        let mut rx = ThreadReceiveBuffer::take();
        let Poll::Ready(fills) = driver.read_plain(&mut Context::from_waker(waker), time, &mut rx) else {
            return self.wait_fast(cx).then_some(Poll::Pending);
        };
        if self.input == Input::Some && !fills {
            self.input = Input::None;
        }
        if R::TAKES_RUNS && rx.is_half_filled() {
            return Some(self.poll_parsed(cx, rx));
        }
        let (from, may_lend) = (rx.position(), rx.may_lend());
        let (connection, tx) = driver.parts_mut();
        let Some((message, has_more)) = connection.poll_first_message(&mut rx, tx) else {
            return Some(self.poll_parsed(cx, rx));
        };
        if has_more
            && may_lend
            && !is_inline
            && let Some(permit) = LendPermit::take()
        {
            count_work(1);
            let first = R::from_first(message);
            return Some(Poll::Ready(self.take_together(first, from, permit, rx, rest)));
        }
        let received = R::from_message(message);
        self.end_receive(&mut rx, has_more, is_inline);
        Some(Poll::Ready(Some(received)))
    }

    /// Ends the step after a message is received. `has_more`: other frames came behind it; they are held.
    #[inline]
    fn end_receive(&mut self, rx: &mut ThreadReceiveBuffer, has_more: bool, is_inline: bool) {
        if has_more {
            self.hold_received(rx, Connection::hold);
        } else if let Some(driver) = &mut self.driver {
            driver.connection_mut().hold();
        }
        if is_inline {
            self.end_receive_outside_turn(has_more);
        } else {
            count_work(1);
        }
    }

    /// Takes the messages of a read that has several. They stay where they are: the run takes the receive buffer. Its
    /// first frame is at `from`, unless its first message was taken.
    #[inline(never)]
    fn take_together<R: Taken>(
        &mut self,
        first: Option<R>,
        from: usize,
        permit: LendPermit,
        mut rx: ThreadReceiveBuffer,
        rest: &mut Option<LentRun>,
    ) -> Option<R> {
        let (connection, tx) = self.driver.as_mut()?.parts_mut();
        let from = if first.is_some() { rx.position() } else { from };
        let messages = connection.lend_received(from, &mut rx, tx);
        debug_assert!(messages.is_some() || first.is_some(), "the buffer may lend, so no message is lost");
        if !rx.is_empty() {
            self.hold_received(&mut rx, Connection::hold);
        }
        match messages.and_then(|messages| LentRun::in_buffer(messages, rx, permit)) {
            Some(run) => R::from_run(first, run, rest),
            None => first,
        }
    }

    /// The last part of [`end_receive`](Self::end_receive) without a server's task. `has_more`: other frames came
    /// behind the message, so there may be replies.
    #[inline(never)]
    fn end_receive_outside_turn(&mut self, has_more: bool) {
        if has_more { self.write_replies() } else { self.end_step() }
    }

    /// Waits, because nothing has arrived. `false`: a deadline has passed, so there may be an event.
    #[inline]
    fn wait_fast(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.has_server_task() {
            return self.poll_timer().is_pending();
        }
        self.set_receiving(true);
        self.end_turn_fast(cx);
        true
    }

    /// Ends the turn, as [`end_turn_early`](Self::end_turn_early) does.
    #[inline]
    fn end_turn_fast(&mut self, cx: &mut Context<'_>) {
        if self.has_refused || !turn::is_entered(self, cx.waker()) || !self.write_in_turn(cx) {
            return self.end_turn_early(cx);
        }
        self.end_turn();
        if self.driver().is_some_and(|driver| driver.is_quiet()) {
            turn::set_done();
        }
    }

    /// Writes what was sent in this turn. `false`: something is left.
    #[inline]
    fn write_in_turn(&mut self, cx: &Context<'_>) -> bool {
        let Some(driver) = &mut self.driver else { return false };
        driver.write_plain(&mut Context::from_waker(cx.waker()), self.now)
    }

    /// Writes what was queued on the [fast path](Self::queue_fast), as [`poll_sent`](Self::poll_sent) does. `false`:
    /// call that.
    #[inline]
    pub(crate) fn write_fast(&mut self) -> bool {
        // A task that only sends reads too.
        if !self.has_received || self.rare.is_some() {
            return false;
        }
        self.refresh_now();
        let Some(driver) = self.driver.as_mut().filter(|driver| driver.connection().is_plain()) else {
            return false;
        };
        let is_written = driver.write_plain(&mut Context::from_waker(self.waiting.transport()), self.now);
        // A flush that fails leaves nothing to write.
        if !is_written || !driver.connection().is_plain() {
            return false;
        }
        #[cfg(test)]
        FAST_SENDS.set(FAST_SENDS.get() + 1);
        self.has_received = false;
        self.end_step();
        true
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::{Future, poll_fn},
        pin::Pin,
        task::{Poll, Waker},
        time::Instant,
    };

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
    use ws_proto::{Config, Connection};

    use super::{FAST_RECEIVES, FAST_SENDS};
    use crate::{internal::ServerHalf, websocket::WebSocket};

    struct Fixture {
        half: ServerHalf<DuplexStream>,
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
            let (half, mut ws): (_, WebSocket<_>) = ServerHalf::new(transport, connection, &[]);
            let application = Box::pin(async move {
                while let Some(message) = ws.recv().await {
                    ws.send(message).await.unwrap();
                }
            });
            let mut fixture = Self { half, application, peer };
            fixture.turn(true);
            fixture
        }

        /// Polls the application, in a turn of the server's task or outside of one. Returns how many calls of `recv`
        /// took the fast path.
        fn turn(&mut self, of_server: bool) -> usize {
            FAST_RECEIVES.set(0);
            let (cx, now) = (&mut std::task::Context::from_waker(Waker::noop()), Instant::now());
            if of_server {
                self.half.begin_turn(cx, now);
            }
            assert!(self.application.as_mut().poll(cx).is_pending());
            if of_server {
                assert!(self.half.end_turn(cx, now).is_pending());
            }
            FAST_RECEIVES.get()
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
    async fn a_small_echo_is_received_on_the_fast_path_in_a_turn_of_the_server_only() {
        let mut fixture = Fixture::new();
        for _ in 0..3 {
            assert!(fixture.echo(true).await > 0);
        }
        assert_eq!(fixture.echo(false).await, 0);
    }

    #[cfg(feature = "deflate")]
    #[tokio::test]
    async fn a_connection_that_compresses_receives_on_the_fast_path_too() {
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

    #[tokio::test]
    async fn without_a_server_task_a_small_echo_takes_the_fast_path() {
        let (mut peer, transport) = tokio::io::duplex(1000);
        let mut ws = WebSocket::server(transport, Config::default().validate().unwrap());
        let (receives, sends) = (FAST_RECEIVES.get(), FAST_SENDS.get());
        for _ in 0..3 {
            assert!(poll_fn(|cx| Poll::Ready(ws.poll_recv(cx).is_pending())).await);
            peer.write_all(&[0x82, 0x81, 0, 0, 0, 0, b'x']).await.unwrap();
            let message = ws.recv().await.unwrap();
            ws.send(message).await.unwrap();
            let mut echo = [0; 3];
            peer.read_exact(&mut echo).await.unwrap();
            assert_eq!(echo, [0x82, 1, b'x']);
        }
        // The first poll registers the task.
        assert_eq!((FAST_RECEIVES.get() - receives, FAST_SENDS.get() - sends), (5, 3));
    }
}
