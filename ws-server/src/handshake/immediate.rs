//! A handshake in one go, for the request that is all there when its connection is accepted: without a task, and without
//! telling the runtime of the socket.

use std::{
    io::{self, ErrorKind, Read as _, Write as _},
    net::TcpStream,
};

use ws_proto::handshake::RequestReader;

use crate::{
    admission::Request,
    handshake::established::{Application, Established},
    shard::server_state::ServerState,
};

use crate::handshake::{
    Candidate, Handshaken,
    decide::{admit, decide},
    established::HandshakeFailed,
};

/// What came of it.
pub(crate) enum Step<T: HandshakeFailed> {
    /// It is a connection; the 101 is sent.
    Established(Established<TcpStream, T>),
    /// It is to get this answer, and no more.
    Refused(Candidate<TcpStream>, Vec<u8>),
    /// It is to be a connection once these bytes are written, too.
    Writing(Candidate<TcpStream>, Handshaken<T>, Vec<u8>),
    /// It takes its time, with what was read.
    Later(Candidate<TcpStream>),
    /// The peer has left.
    Over,
}

/// Does a handshake without waiting, as far as that goes. The socket is in non-blocking mode.
pub(crate) fn try_immediately<A: Application>(
    app: &A,
    server: &ServerState,
    mut candidate: Candidate<TcpStream>,
) -> Step<A::Accepted> {
    if !server.options.decides_at_once() {
        return Step::Later(candidate);
    }
    candidate.received = candidate.place.shard().head_buffers.take();
    match read(&mut candidate) {
        Ok(true) => {}
        Ok(false) => return Step::Over,
        Err(error) if error.kind() == ErrorKind::WouldBlock => return Step::Later(candidate),
        Err(_) => return Step::Over,
    }
    // What is no request is found out, and answered, by whoever has time for it.
    let Ok(Some((request, head_len))) = RequestReader::new(&server.protocol.limits).read(&candidate.received)
    else {
        return Step::Later(candidate);
    };
    let mut request = Request::new(request, candidate.peer);
    // With TLS nothing is decided at once.
    let decision =
        admit(server, &request, false).and_then(|admitted| decide(app, server, admitted, &mut request));
    let decision = match decision {
        Ok(decision) => decision,
        Err(answer) => return Step::Refused(candidate, answer),
    };
    let written = match (&candidate.io).write(&decision.response) {
        Ok(written) => written,
        Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
        Err(_) => return Step::Over,
    };
    let left = decision.response[written..].to_vec();
    let rest = candidate.received[head_len..].to_vec();
    candidate.place.shard().head_buffers.put_back(std::mem::take(&mut candidate.received));
    let accepted = Handshaken::new(decision, request, rest);
    if left.is_empty() {
        Step::Established(accepted.establish::<_, A>(server, candidate))
    } else {
        Step::Writing(candidate, accepted, left)
    }
}

/// Reads once; false at the end of the stream.
fn read(candidate: &mut Candidate<TcpStream>) -> io::Result<bool> {
    let buffer = &mut candidate.received;
    buffer.resize(buffer.capacity(), 0);
    let read = (&candidate.io).read(buffer);
    buffer.truncate(*read.as_ref().unwrap_or(&0));
    read.map(|read| read > 0)
}
