//! A handshake in one go, for the request that is all there when its connection is accepted: without a task, and without
//! telling the runtime of the socket.

use std::{
    io::{self, ErrorKind, Read as _, Write as _},
    net::TcpStream,
};

use ws_proto::handshake::RequestReader;

use crate::{
    app::{App, Established},
    hub::Hub,
    request::Request,
};

use super::{
    Candidate, Handshaken,
    decide::{admit, decide},
    guard::FailOnDrop,
};

/// What came of it.
pub(crate) enum AtOnce<T: FailOnDrop> {
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
pub(crate) fn try_at_once<A: App>(
    app: &A,
    hub: &Hub,
    mut candidate: Candidate<TcpStream>,
) -> AtOnce<A::Accepted> {
    if !hub.options.decides_at_once() {
        return AtOnce::Later(candidate);
    }
    candidate.received = candidate.place.shard().heads.take();
    match read(&mut candidate) {
        Ok(true) => {}
        Ok(false) => return AtOnce::Over,
        Err(error) if error.kind() == ErrorKind::WouldBlock => return AtOnce::Later(candidate),
        Err(_) => return AtOnce::Over,
    }
    // What is no request is found out, and answered, by whoever has time for it.
    let Ok(Some((request, head_len))) = RequestReader::new(&hub.protocol.limits).read(&candidate.received)
    else {
        return AtOnce::Later(candidate);
    };
    let mut request = Request::new(request, candidate.peer);
    // With TLS nothing is decided at once.
    let decision = admit(hub, &request, false).and_then(|admitted| decide(app, hub, admitted, &mut request));
    let decision = match decision {
        Ok(decision) => decision,
        Err(answer) => return AtOnce::Refused(candidate, answer),
    };
    let written = match (&candidate.io).write(&decision.response) {
        Ok(written) => written,
        Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
        Err(_) => return AtOnce::Over,
    };
    let left = decision.response[written..].to_vec();
    let rest = candidate.received[head_len..].to_vec();
    candidate.place.shard().heads.put_back(std::mem::take(&mut candidate.received));
    let accepted = Handshaken::new(decision, request, rest);
    if left.is_empty() {
        AtOnce::Established(accepted.establish::<_, A>(hub, candidate))
    } else {
        AtOnce::Writing(candidate, accepted, left)
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
