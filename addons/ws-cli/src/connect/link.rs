//! One connection, or one after the other with `--reconnect`.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use ws_client::{
    CloseCode, CloseInfo, Error, Event, Message, Reconnecting, Sender,
    error::ControlError,
    reconnecting::{self, Cause, Event as Change, GiveUp, SendError, WhileAway},
};

use super::{Io, Socket, Target};
use crate::exit::{Code, Failure, Outcome, chain, of_close};

/// A connection, or a client that connects again.
pub(crate) enum Link {
    Once(Socket),
    Again(Box<Again>),
}

pub(crate) struct Again {
    client: Reconnecting<Box<dyn Io>>,
    current: Current,
    /// Why there is no further attempt.
    cause: Option<Cause>,
}

/// The sender of the current connection, for control frames.
type Current = Arc<Mutex<Option<Sender>>>;

/// What happens.
pub(crate) enum News {
    Event(Event),
    /// There is a connection. The text is for the user.
    Up(String),
    /// An attempt failed, or a connection ended, and another attempt follows. The text is for the user.
    Away(String, Option<CloseInfo>),
}

impl Link {
    /// A client that connects and connects again. It stops when `give_up` has passed without a connection.
    pub(crate) fn again(target: Target, give_up: Option<Duration>, while_away: WhileAway) -> Self {
        let current = Current::default();
        let slot = Arc::clone(&current);
        let dial = move |_| {
            let (target, slot) = (target.clone(), Arc::clone(&slot));
            async move {
                let ws =
                    target.attempt().await?.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
                *lock(&slot) = Some(ws.sender());
                Ok(ws)
            }
        };
        let client = Reconnecting::dialling(dial)
            .while_away(while_away)
            .give_up(give_up.map_or(GiveUp::Never, GiveUp::After))
            .build();
        Self::Again(Box::new(Again { client, current, cause: None }))
    }

    pub(crate) fn sender(&self) -> Outgoing {
        match self {
            Self::Once(ws) => Outgoing::Once(ws.sender()),
            Self::Again(again) => Outgoing::Again(again.client.sender(), Arc::clone(&again.current)),
        }
    }

    /// Waits for what happens next. `None` means that there is no connection and will be none.
    pub(crate) async fn next(&mut self) -> Option<News> {
        match self {
            Self::Once(ws) => ws.recv_event().await.map(News::Event),
            Self::Again(again) => again.next().await,
        }
    }

    /// How the connection ended, if that is why there is no further one.
    pub(crate) fn close_info(&self) -> Option<CloseInfo> {
        match self {
            Self::Once(ws) => ws.close_info(),
            Self::Again(again) => match &again.cause {
                Some(Cause::Closed(info) | Cause::Expired(info)) => Some(info.clone()),
                _ => None,
            },
        }
    }

    /// The outcome once `next` has returned `None`. `asked` is as for [`of_close`].
    pub(crate) fn outcome(&self, asked: bool) -> Outcome {
        if let Some(info) = self.close_info() {
            return of_close(&info, asked);
        }
        match self {
            Self::Once(_) => Err(Failure::new(Code::Abnormal, "the connection is over")),
            Self::Again(again) => again.outcome(),
        }
    }
}

impl Again {
    async fn next(&mut self) -> Option<News> {
        loop {
            match self.client.next_event().await? {
                Change::Message(message) => return Some(News::Event(message.into())),
                Change::Up(up) => {
                    let text = match (up.connection, up.attempts) {
                        (1, _) => "connected".to_owned(),
                        (_, 1) => "connected again".to_owned(),
                        (_, attempts) => format!("connected again, after {attempts} attempts"),
                    };
                    return Some(News::Up(text));
                }
                Change::Down(down) => {
                    lock(&self.current).take();
                    let info = match &down.cause {
                        Cause::Closed(info) | Cause::Expired(info) => Some(info.clone()),
                        _ => None,
                    };
                    let mut text = chain(&down.cause);
                    if !down.in_doubt.is_empty() {
                        text += &format!("; the last {} messages may be lost", down.in_doubt.len());
                    }
                    let Some(delay) = down.retry_in else {
                        self.cause = Some(down.cause);
                        continue;
                    };
                    return Some(News::Away(text + &next_attempt(delay), info));
                }
                Change::AttemptFailed(failed) => {
                    lock(&self.current).take();
                    let Some(delay) = failed.retry_in else {
                        self.cause = Some(failed.cause);
                        continue;
                    };
                    return Some(News::Away(chain(&failed.cause) + &next_attempt(delay), None));
                }
                // Nothing is kept for a later connection, so nothing is discarded or left over.
                _ => {}
            }
        }
    }

    /// The outcome unless it follows from the end of a connection.
    fn outcome(&self) -> Outcome {
        match &self.cause {
            Some(Cause::Connect(error)) => Err(Failure::of_connect(error)),
            Some(cause @ Cause::AttemptTimedOut(_)) => Err(Failure::new(Code::Timeout, chain(cause))),
            Some(cause) => Err(Failure::usage(chain(cause))),
            // It was closed while there was no connection.
            None => Ok(()),
        }
    }
}

fn next_attempt(delay: Duration) -> String {
    format!("; next attempt in {:.1} s", delay.as_secs_f64())
}

fn lock(current: &Current) -> std::sync::MutexGuard<'_, Option<Sender>> {
    current.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sends on a [`Link`].
#[derive(Clone)]
pub(crate) enum Outgoing {
    Once(Sender),
    Again(reconnecting::Sender, Current),
}

/// Why a message was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotSent {
    /// There is no connection now.
    Away,
    /// There will be none.
    Over,
}

impl Outgoing {
    pub(crate) async fn send(&self, message: Message) -> Result<(), NotSent> {
        match self {
            Self::Once(sender) => sender.send(message).await.map_err(|_| NotSent::Over),
            Self::Again(sender, _) => match sender.send(message).await {
                Ok(_) => Ok(()),
                Err(SendError::Over(_)) => Err(NotSent::Over),
                Err(_) => Err(NotSent::Away),
            },
        }
    }

    /// The sender of the current connection.
    fn current(&self) -> Option<Sender> {
        match self {
            Self::Once(sender) => Some(sender.clone()),
            Self::Again(_, current) => lock(current).clone(),
        }
    }

    pub(crate) fn ping(&self, payload: &[u8]) -> Result<(), ControlError> {
        self.control(|sender| sender.ping(payload))
    }

    pub(crate) fn pong(&self, payload: &[u8]) -> Result<(), ControlError> {
        self.control(|sender| sender.pong(payload))
    }

    /// Sends a control frame. A client that connects again drops it while there is no connection.
    fn control(&self, send: impl FnOnce(&Sender) -> Result<(), ControlError>) -> Result<(), ControlError> {
        let sent = self.current().map_or(Ok(()), |sender| send(&sender));
        match (self, sent) {
            (Self::Again(..), Err(ControlError::Closed)) => Ok(()),
            (_, sent) => sent,
        }
    }

    pub(crate) async fn ping_rtt(&self) -> Result<Duration, Error> {
        match self.current() {
            Some(sender) => sender.ping_rtt().await,
            None => Err(Error::Closed),
        }
    }

    /// Ends the connection. None follows.
    pub(crate) fn close(&self, code: CloseCode, reason: &str) {
        match self {
            Self::Once(sender) => sender.close(code, reason),
            Self::Again(sender, _) => sender.close(code, reason),
        }
    }
}
