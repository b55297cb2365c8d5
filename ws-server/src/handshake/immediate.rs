//! A handshake without waiting. It succeeds when the whole request has arrived by the time the socket is accepted. It
//! needs no task, and the runtime does not watch the socket.

use std::{
    io::{self, ErrorKind, Read as _, Write as _},
    net::TcpStream,
};

use ws_proto::handshake::RequestReader;

use crate::shard::{registration::ReservedId, server_state::ServerState};

use super::{
    Handshake,
    decide::{Refusal, admit, decide, encode, rejection_when_full},
    error::AcceptError,
    established::{AcceptedRequest, Application, Established, HandshakeFailed},
    log_failure,
    proxy_header::ProxyHeaderError,
};

/// How far a handshake has come.
pub(crate) enum Step<T: HandshakeFailed> {
    /// The 101 response is sent.
    Established {
        established: Established<T>,
        /// Whether the socket may have more to read.
        #[cfg_attr(
            not(target_os = "linux"),
            expect(dead_code, reason = "only the reactor keeps what it knows of a socket")
        )]
        has_more: bool,
    },
    /// It has to wait for the socket, or needs slower steps.
    Unfinished(Unfinished<T>),
    /// The peer has left.
    Gone,
}

/// A handshake that a task has to finish.
#[expect(clippy::large_enum_variant, reason = "it moves straight into the future of that task")]
pub(crate) enum Unfinished<T: HandshakeFailed> {
    /// The rest of the 101 response is to be written.
    Accepted(Handshake, AcceptedRequest<T>),
    /// The rest of this response is to be written.
    Rejected(Handshake, Refusal),
    /// The request is not read, or not decided about. `Handshake::received` holds what was read.
    Undecided(Handshake),
}

/// Does a handshake as far as possible without waiting. The server must [decide at
/// once](crate::options::Options::decides_at_once), and the socket must be in non-blocking mode. The connection gets
/// the reserved id, if there is one.
pub(crate) fn try_immediately<A: Application>(
    app: &A,
    server: &ServerState,
    stream: &TcpStream,
    mut handshake: Handshake,
    id: Option<ReservedId>,
) -> Step<A::Accepted> {
    handshake.received = handshake.load.shard().head_buffers.take();
    let has_more = match read(stream, &mut handshake.received) {
        Ok(true) => handshake.received.len() == handshake.received.capacity(),
        Ok(false) => return gone(&handshake, ErrorKind::UnexpectedEof.into()),
        Err(error) if error.kind() == ErrorKind::WouldBlock => return undecided(handshake),
        Err(error) => return gone(&handshake, error),
    };
    // Malformed headers and requests take the slow path, which reports the error.
    if handshake.expects_proxy_header {
        match handshake.take_proxy_header(&server.options) {
            Ok(true) => {}
            Err(ProxyHeaderError::Full(full)) => {
                return reject(stream, handshake, encode(rejection_when_full(full)));
            }
            Ok(false) | Err(_) => return undecided(handshake),
        }
    }
    let Ok(Some((request, head_len))) = RequestReader::new(&server.protocol.limits).read(&handshake.received)
    else {
        return undecided(handshake);
    };
    let rest = handshake.received[head_len..].to_vec();
    handshake.load.shard().head_buffers.put_back(std::mem::take(&mut handshake.received));
    // A server with TLS never decides at once.
    let decision = handshake.begin_request(request).and_then(|request| {
        admit(server, &request, false).and_then(|admitted| decide(app, server, admitted, request, rest))
    });
    let mut accepted = match decision {
        Ok(accepted) => accepted,
        Err(refusal) => return reject(stream, handshake, refusal),
    };
    let mut stream = stream;
    match stream.write(&accepted.response) {
        Ok(written) if written == accepted.response.len() => {
            let established = accepted.establish::<A>(server, handshake, id);
            return Step::Established { established, has_more };
        }
        Ok(written) => drop(accepted.response.drain(..written)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => {}
        Err(_) => return Step::Gone,
    }
    Step::Unfinished(Unfinished::Accepted(handshake, accepted))
}

const fn undecided<T: HandshakeFailed>(handshake: Handshake) -> Step<T> {
    Step::Unfinished(Unfinished::Undecided(handshake))
}

/// The peer has left before its request.
fn gone<T: HandshakeFailed>(handshake: &Handshake, error: io::Error) -> Step<T> {
    log_failure(handshake, &AcceptError::from(error));
    Step::Gone
}

/// Writes what the socket takes of a refusal. A server that shuts down waits for no more than that.
fn reject<T: HandshakeFailed>(
    mut stream: &TcpStream,
    mut handshake: Handshake,
    mut refusal: Refusal,
) -> Step<T> {
    handshake.progress.end(refusal.outcome);
    // The next write reports an error again.
    if let Ok(written) = stream.write(&refusal.response) {
        refusal.response.drain(..written);
    }
    Step::Unfinished(Unfinished::Rejected(handshake, refusal))
}

/// Reads once. Returns false at the end of the stream.
fn read(mut stream: &TcpStream, buffer: &mut Vec<u8>) -> io::Result<bool> {
    buffer.resize(buffer.capacity(), 0);
    let read = stream.read(buffer);
    buffer.truncate(*read.as_ref().unwrap_or(&0));
    read.map(|read| read > 0)
}
