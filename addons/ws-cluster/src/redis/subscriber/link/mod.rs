//! One connection that subscribes. Its task reads, writes and keeps the time; it never waits for anything else.

mod exchange;

use std::{
    collections::{HashSet, VecDeque},
    io,
    sync::Arc,
    time::Instant,
};

use bytes::BytesMut;
use tokio::{
    io::{AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::mpsc,
    time::{sleep_until, timeout},
};

use super::{
    Context,
    probe::{Probe, Step},
    registry::LinkId,
    requests::{Addition, Request, Requests},
};
use crate::{
    event::GapCause,
    redis::{
        commands::{self, PROBING},
        endpoint::{Endpoint, Io},
        log::publish_command,
        names::slot,
        wire::{Frames, Incoming, WireError, encode},
    },
};

/// Bytes to read at least at once.
const READ: usize = 16 * 1024;

/// A change of what is subscribed.
#[derive(Debug)]
pub(super) enum Order {
    Add(Addition),
    Remove(Arc<str>),
}

/// What a connection reports.
#[derive(Debug)]
pub(super) enum Report {
    /// A probe came back.
    Heard,
    /// The broker answered.
    Changes(Vec<Change>),
    /// The last report.
    Ended(Ended),
}

#[derive(Debug)]
pub(super) enum Change {
    Confirmed(Arc<str>),
    /// The broker has ended the subscription, or another server has the slot.
    Moved(Arc<str>),
    /// The broker refuses the subscription, with this error.
    Refused(Arc<str>, Arc<str>),
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum Ended {
    #[error("the connection failed")]
    Io(#[from] io::Error),
    #[error("the protocol was broken")]
    Protocol(#[from] WireError),
    #[error("the server refused the connection: {0}")]
    Refused(String),
    #[error("the server sent what was not asked for")]
    Unexpected,
    #[error("a probe did not come back")]
    Deaf,
    #[error("the server has no slots any more")]
    NoHome,
    #[error("the connection is not needed any more")]
    Dismissed,
}

/// The state of a connection.
pub(super) struct Link {
    context: Arc<Context>,
    id: LinkId,
    endpoint: Endpoint,
    reports: mpsc::UnboundedSender<(LinkId, Report)>,
    sharded: bool,
    frames: Frames,
    out: BytesMut,
    is_unflushed: bool,
    topics: HashSet<Arc<str>>,
    orders: VecDeque<Order>,
    requests: Requests,
    next_batch: Instant,
    probe: Probe,
    gaps: Vec<(Arc<str>, GapCause)>,
    changes: Vec<Change>,
}

impl Link {
    pub(super) fn new(
        context: Arc<Context>,
        id: LinkId,
        endpoint: Endpoint,
        reports: mpsc::UnboundedSender<(LinkId, Report)>,
    ) -> Self {
        let now = Instant::now();
        Self {
            sharded: context.topology.is_sharded(),
            probe: Probe::new(context.probe_interval, context.probe_timeout, now),
            context,
            id,
            endpoint,
            reports,
            frames: Frames::default(),
            out: BytesMut::new(),
            is_unflushed: false,
            topics: HashSet::new(),
            orders: VecDeque::new(),
            requests: Requests::default(),
            next_batch: now,
            gaps: Vec::new(),
            changes: Vec::new(),
        }
    }

    /// Runs until the connection ends or the sender of the orders is dropped.
    pub(super) async fn run(mut self, orders: mpsc::UnboundedReceiver<Vec<Order>>) {
        let opened = timeout(self.context.connecting.timeout, self.open()).await;
        let ended = match opened.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into())) {
            Ok(stream) => match self.serve(stream, orders).await {
                Err(ended) => ended,
                Ok(()) => Ended::Dismissed,
            },
            Err(ended) => ended,
        };
        self.report(Report::Ended(ended));
    }

    /// Connects, says who this is, and waits for an answer.
    async fn open(&mut self) -> Result<Box<dyn Io>, Ended> {
        let mut stream = self.context.connecting.stream(&self.endpoint).await?;
        let credentials = &self.context.connecting.credentials.0;
        let mut answers = 1;
        if let Some(password) = credentials.password() {
            answers += 1;
            let user = credentials.username();
            let words: Vec<&str> = ["AUTH"].into_iter().chain(user).chain([password]).collect();
            encode(&mut self.out, words.iter().map(|word| word.as_bytes()));
        }
        encode(&mut self.out, [b"PING".as_slice()].into_iter());
        stream.write_all(&self.out).await?;
        stream.flush().await?;
        self.out.clear();
        while answers > 0 {
            match self.frames.next()? {
                Some(Incoming::Error(error)) => return Err(Ended::Refused(error)),
                Some(_) => answers -= 1,
                None => {
                    if stream.read_buf(&mut self.frames.buffer).await? == 0 {
                        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
                    }
                }
            }
        }
        Ok(stream)
    }

    async fn serve(
        &mut self,
        stream: Box<dyn Io>,
        mut orders: mpsc::UnboundedReceiver<Vec<Order>>,
    ) -> Result<(), Ended> {
        let (mut reader, mut writer) = tokio::io::split(stream);
        loop {
            let wake = self.advance(Instant::now())?;
            self.frames.buffer.reserve(READ);
            tokio::select! {
                read = reader.read_buf(&mut self.frames.buffer) => {
                    if read? == 0 {
                        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
                    }
                    self.receive()?;
                }
                wrote = write(&mut writer, &mut self.out), if self.is_unflushed || !self.out.is_empty() => {
                    self.is_unflushed = wrote?;
                }
                more = orders.recv() => match more {
                    Some(more) => self.orders.extend(more),
                    None => return Ok(()),
                },
                () = sleep_until(wake.into()) => {}
            }
        }
    }

    /// Does what is due. Returns when to call it again.
    fn advance(&mut self, now: Instant) -> Result<Instant, Ended> {
        let overdue = self.requests.overdue_at(self.context.probe_timeout);
        if overdue.is_some_and(|overdue| overdue <= now) {
            return Err(Ended::Deaf);
        }
        let mut wake = now + self.context.probe_interval;
        wake = wake.min(overdue.unwrap_or(wake));
        loop {
            match self.step_probe(now) {
                Step::Wait(until) => {
                    wake = wake.min(until.unwrap_or(wake));
                    break;
                }
                Step::Subscribe(channel) => {
                    self.send(if self.sharded { "SSUBSCRIBE" } else { "SUBSCRIBE" }, &[channel]);
                    self.requests.push(Request::Probe, now);
                }
                Step::Publish { tag, channel, nonce } => self.publish_probe(&tag, channel, nonce),
                Step::Deaf => return Err(Ended::Deaf),
                Step::NoHome => return Err(Ended::NoHome),
            }
        }
        if !self.orders.is_empty() && self.requests.is_empty() {
            if self.next_batch <= now {
                self.send_batch(now);
            } else {
                wake = wake.min(self.next_batch);
            }
        }
        Ok(wake)
    }

    fn step_probe(&mut self, now: Instant) -> Step {
        let find_tag = || self.context.topology.current()?.tag_on(&self.endpoint);
        self.probe.step(now, &self.context.names, find_tag)
    }

    /// Publishes in a task: this one must not wait. The task has no part of the events, which end with the connections.
    fn publish_probe(&self, tag: &str, channel: String, nonce: String) {
        let commands = Arc::clone(&self.context.commands);
        let key = [self.context.names.probe_key(tag)];
        let (command, within) = (publish_command(self.sharded), self.context.probe_timeout);
        tokio::spawn(async move {
            let args = [command.as_bytes(), channel.as_bytes(), nonce.as_bytes()];
            let request = commands::Request::Script { script: &PROBING, keys: &key, args: &args };
            if let Err(error) = commands.call(slot(&key[0]), &request, within).await {
                tracing::debug!(%error, "a probe cannot be published");
            }
        });
    }

    fn report(&self, report: Report) {
        // Without a receiver, the backplane was shut down.
        let _ = self.reports.send((self.id, report));
    }
}

/// Writes some bytes, or flushes if all are written. Returns whether it has to be flushed.
///
/// # Cancel safety
/// No byte is lost or written twice.
async fn write(writer: &mut (impl AsyncWrite + Unpin), out: &mut BytesMut) -> io::Result<bool> {
    if out.is_empty() {
        writer.flush().await?;
        return Ok(false);
    }
    writer.write_buf(out).await?;
    Ok(true)
}
