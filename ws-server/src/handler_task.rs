//! The task of one connection that a [`Handler`] serves.

use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use tokio::io::{AsyncRead, AsyncWrite};
use ws_proto::{CloseCode, Connection, ConnectionError, ConnectionState, Event, Transport};
use ws_tokio::{Driver, ReceiveLease};

use crate::{conn::Conn, handler::Handler, hub::Phase, mailbox::Mailbox, shard::Seat};

/// Reads per turn; then others have theirs.
const READS_PER_TURN: usize = 4;

pub(crate) struct HandlerTask<H, S> {
    driver: Driver<S>,
    handler: H,
    seat: Seat,
    mailbox: Option<Arc<Mailbox>>,
    opened: bool,
    /// By the handler.
    paused: bool,
    /// Because the peer does not take what is written.
    held_back: bool,
    /// A send was refused since the handler was last told that there is room.
    refused: bool,
    /// A callback has panicked.
    failed: bool,
    over: bool,
}

impl<H: Handler, S: AsyncRead + AsyncWrite + Unpin> HandlerTask<H, S> {
    pub(crate) fn new(handler: H, io: S, connection: Connection, received: &[u8], seat: Seat) -> Self {
        let mut driver = Driver::new(io, connection);
        driver.preload(received);
        Self {
            driver,
            handler,
            seat,
            mailbox: None,
            opened: false,
            paused: false,
            held_back: false,
            refused: false,
            failed: false,
            over: false,
        }
    }

    fn turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let now = self.seat.shard().now();
        self.begin(cx, now);
        let mut rx = ReceiveLease::take();
        for read in 0.. {
            self.dispatch(cx, now, &mut rx);
            self.write(cx, now);
            if self.over {
                return Poll::Ready(());
            }
            if self.driver.transport() == Transport::Finished {
                self.lift_pauses();
                continue;
            }
            if read >= READS_PER_TURN {
                cx.waker().wake_by_ref();
                break;
            }
            if self.driver.poll_read(cx, now, &mut rx).is_pending() {
                break;
            }
        }
        let state = self.driver.connection().state();
        if let Some(mailbox) = self.mailbox.as_ref().filter(|_| state != ConnectionState::Open) {
            mailbox.shut(state);
        }
        self.driver.end_turn();
        self.seat.arm(self.driver.poll_timeout(), now);
        Poll::Pending
    }

    /// What is due before anything is read.
    fn begin(&mut self, cx: &Context<'_>, now: Instant) {
        if !self.opened {
            self.opened = true;
            self.seat.set_waker(cx.waker());
            self.call(cx, now, |handler, conn| handler.on_open(conn));
        }
        if let Some(mailbox) = &self.mailbox {
            let (connection, tx) = self.driver.parts_mut();
            mailbox.deliver(connection, tx, now);
        }
        if self.driver.poll_timeout().is_some_and(|due| due <= now) {
            self.driver.handle_timeout(now);
        }
        match self.seat.shard().hub.phase() {
            Phase::Running => {}
            Phase::Draining => {
                let (connection, tx) = self.driver.parts_mut();
                connection.close(CloseCode::GOING_AWAY, "", now, tx);
            }
            Phase::Forcing => {
                let (connection, tx) = self.driver.parts_mut();
                connection.abort(tx);
            }
        }
    }

    /// Hands every event to the handler.
    fn dispatch(&mut self, cx: &Context<'_>, now: Instant, rx: &mut ReceiveLease) {
        loop {
            let (connection, tx, mut writer) = self.driver.writer_parts();
            let Some(event) = connection.poll_event(rx, tx) else { return };
            let mut conn = Conn {
                writer: &mut writer,
                connection,
                tx,
                mailbox: &mut self.mailbox,
                paused: &mut self.paused,
                held_back: self.held_back,
                refused: &mut self.refused,
                now,
                waker: cx.waker(),
            };
            match event {
                // Only the end is left to be told.
                Event::Message(_) | Event::Ping(_) | Event::Pong(_) if self.failed => {}
                Event::Message(message) => self.handler.on_message(&mut conn, message),
                Event::Ping(payload) => self.handler.on_ping(&mut conn, payload),
                Event::Pong(payload) => self.handler.on_pong(&mut conn, payload),
                Event::Closed(info) => {
                    self.over = true;
                    self.seat.shard().hub.count_end(Some(&info));
                    if let Some(mailbox) = conn.mailbox {
                        mailbox.shut(ConnectionState::Closed);
                    }
                    self.handler.on_close(&mut conn, &info);
                }
                _ => {}
            }
        }
    }

    /// Writes what the callbacks sent; completions may make them send more.
    fn write(&mut self, cx: &mut Context<'_>, now: Instant) {
        loop {
            let blocked = self.driver.poll_write(cx, now).is_pending();
            let completed = self.report_completions(cx, now) | self.report_room(cx, now);
            if blocked {
                if !self.seat.shard().hub.options.read_while_blocked {
                    self.held_back = true;
                    self.driver.parts_mut().0.pause();
                }
                break;
            }
            if !completed {
                self.on_drained(cx);
                break;
            }
        }
        self.driver.poll_shut_down(cx);
    }

    fn report_completions(&mut self, cx: &Context<'_>, now: Instant) -> bool {
        let mut any = false;
        loop {
            let (connection, tx) = self.driver.parts_mut();
            let Some(completion) = connection.poll_completion(tx) else { return any };
            any = true;
            self.call(cx, now, |handler, conn| handler.on_write_complete(conn, completion));
        }
    }

    fn report_room(&mut self, cx: &Context<'_>, now: Instant) -> bool {
        if !self.refused || !self.driver.has_room() {
            return false;
        }
        self.refused = false;
        self.call(cx, now, |handler, conn| handler.on_writable(conn));
        true
    }

    /// Nothing waits any more: messages flow again.
    fn on_drained(&mut self, cx: &Context<'_>) {
        let was_held_back = std::mem::take(&mut self.held_back);
        if was_held_back && !self.paused {
            self.driver.parts_mut().0.resume();
        }
        // Held messages, and mail that did not fit, are looked at in another turn.
        if was_held_back || self.mailbox.as_ref().is_some_and(|mailbox| mailbox.has_messages()) {
            cx.waker().wake_by_ref();
        }
    }

    /// Nothing holds the end up any more: what was held is delivered, then the end.
    fn lift_pauses(&mut self) {
        self.paused = false;
        self.held_back = false;
        self.driver.parts_mut().0.resume();
    }

    fn call(&mut self, cx: &Context<'_>, now: Instant, f: impl FnOnce(&mut H, &mut Conn<'_>)) {
        let (connection, tx, mut writer) = self.driver.writer_parts();
        let mut conn = Conn {
            writer: &mut writer,
            connection,
            tx,
            mailbox: &mut self.mailbox,
            paused: &mut self.paused,
            held_back: self.held_back,
            refused: &mut self.refused,
            now,
            waker: cx.waker(),
        };
        f(&mut self.handler, &mut conn);
    }

    /// A callback panicked: the connection ends with 1011, the shard lives.
    fn on_panic(&mut self) {
        let now = self.seat.shard().now();
        let (connection, tx) = self.driver.parts_mut();
        connection.fail(ConnectionError::Internal, now, tx);
        self.failed = true;
        self.lift_pauses();
    }
}

impl<H: Handler + Unpin, S: AsyncRead + AsyncWrite + Unpin> Future for HandlerTask<H, S> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        // The state machine is consistent between callbacks, and the handler is only asked to hear of the end.
        if let Ok(poll) = catch_unwind(AssertUnwindSafe(|| this.turn(cx))) {
            return poll;
        }
        if this.over {
            return Poll::Ready(());
        }
        tracing::error!("a handler panicked; its connection is closed with 1011");
        this.on_panic();
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<H, S> Drop for HandlerTask<H, S> {
    fn drop(&mut self) {
        if let Some(mailbox) = &self.mailbox {
            mailbox.shut(ConnectionState::Closed);
        }
        if !self.over {
            self.seat.shard().hub.count_end(None);
        }
    }
}
