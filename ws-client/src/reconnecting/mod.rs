//! A client that reconnects: [`Reconnecting`](crate::Reconnecting).
//!
//! ```no_run
//! use ws_client::{Connector, Reconnecting, reconnecting::{Event, Request}};
//!
//! # async fn token(_fresh: bool) -> Result<String, std::io::Error> { Ok(String::new()) }
//! # async fn run() {
//! // Runs for each attempt, so each has a valid token.
//! let mut client = Reconnecting::builder(Connector::new(), |attempt| async move {
//!     let token = token(attempt.credentials_refused).await?;
//!     Ok(Request::new("wss://feed.example/").header("authorization", format!("Bearer {token}")))
//! })
//! // Runs on each connection, before anything else is sent there.
//! .on_connected(|ws, _connection| {
//!     Box::pin(async move {
//!         ws.send(r#"{"subscribe":"trades"}"#).await?;
//!         Ok(())
//!     })
//! })
//! .build();
//!
//! while let Some(event) = client.next_event().await {
//!     match event {
//!         Event::Up(up) => println!("connection {}", up.connection),
//!         Event::Message(message) => println!("{:?}", message.as_text()),
//!         Event::Down(down) => println!("{}, next attempt in {:?}", down.cause, down.retry_in),
//!         Event::AttemptFailed(failed) => println!("{}", failed.cause),
//!         _ => {}
//!     }
//! }
//! println!("over: {:?}", client.outcome());
//! # }
//! ```
//!
//! # States
//! | state | what happens | a message that is sent | `close` |
//! |---|---|---|---|
//! | attempt | the request hook, connecting, then the hook for new connections | as [`WhileAway`] says | drops the attempt |
//! | up | messages are received; deadlines and keepalive are watched | goes into the write queue | closing handshake |
//! | delay | the back-off, at least the server's `Retry-After` | as [`WhileAway`] says | ends the delay |
//! | over | nothing; `next_event` returns `None` | [`SendError::Over`] | nothing |
//!
//! A connection that is closing, or that this client closes at its maximal lifetime, still receives. Messages that are
//! sent then are handled as in a delay.
//!
//! # Guarantees
//! | guarantee | detail |
//! |---|---|
//! | There are never two connections. | An attempt begins after the connection before has ended and its transport is dropped. |
//! | Each [`Event::Up`] has one [`Event::Down`], before the next `Up`. | Messages are reported between the two. |
//! | Nothing overtakes the hook for new connections. | It has the connection for itself until it returns. |
//! | A message is sent at most once. | Nothing is ever sent again by this library. |
//! | A message that was accepted is handed to the transport, or reported. | [`Down::in_doubt`], [`Event::Discarded`], [`Event::Unsent`]. |
//! | A server that accepts and drops is not hammered. | The back-off is reset only after [`Builder::healthy_after`]. |
//! | All futures are cancel-safe. | All state is in the client. |
//! | Equal seeds give equal delays. | [`Builder::jitter_seed`], and tokio's paused time. |
//!
//! A message that the transport has taken may still be lost with the connection: neither TCP nor WebSocket confirms
//! that a message was processed. [`Accepted::Queued`] has the number of its connection, and the [`Down`] of that
//! connection is the signal that it is uncertain. If it matters, let the server confirm messages, and send those that
//! are not confirmed again yourself.
//!
//! # Who does the work
//! There is no background task. Whatever polls [`next_event`](crate::Reconnecting::next_event) runs attempts, reads,
//! answers pings and watches deadlines. This needs no spawning, one task can run many clients, a slow application slows
//! the server down instead of filling a queue, and dropping the client ends everything at once. It also means, while
//! nothing polls the client:
//!
//! - Nothing is received, no attempt is made, and no event is lost. With the default keepalive of most servers, a
//!   client that is not polled for a minute loses its connection.
//! - Senders still write on the current connection as far as the transport takes it. With [`WhileAway::Wait`], sends
//!   wait while there is no connection.
//!
//! Keep one task in `next_event`, give long work to other tasks, and send through a [`Sender`] from anywhere. In the
//! task that polls the client, `send` is safe with [`WhileAway::Fail`] and [`WhileAway::Keep`]: it moves the bytes
//! itself. With [`WhileAway::Wait`] it would wait for itself; use `try_send` there.
//!
//! # Dead servers
//! A connection whose server vanished is found by [`Connector::keepalive`](crate::Connector::keepalive), by default
//! within a minute. An attempt is limited by [`Connector::handshake_timeout`](crate::Connector::handshake_timeout) and
//! [`Builder::attempt_timeout`].

mod attempt;
mod backoff;
mod builder;
mod cause;
pub(crate) mod client;
mod decision;
mod event;
mod http_date;
mod live;
mod queue;
mod request;
mod retry_after;
mod schedule;
mod sender;
mod shared;
mod tasks;

pub use attempt::BoxFuture;
pub use backoff::Backoff;
pub use builder::Builder;
pub use cause::{BoxError, Cause};
pub use decision::Decision;
pub use event::{AttemptFailed, Discarded, Down, Event, Outcome, Up};
pub use queue::{WhenFull, WhileAway};
pub use request::{Attempt, Request};
pub use schedule::GiveUp;
pub use sender::{Accepted, SendError, Sender};
