//! Request and response heads, parsed in pieces and at once.

use ws_proto::{
    Config, Limits,
    handshake::{
        ClientHandshake, ClientRequest, Rejection, RequestReader, ResponseParts, ResponseReader,
        ServerHandshake,
    },
};

use crate::input::Input;

fn limits(input: &mut Input<'_>) -> Limits {
    let mut limits = Limits::default();
    limits.max_head_size = 64 + input.number() % 2048;
    limits.max_header_lines = 5 + input.below(20);
    limits
}

/// The result of a reader that gets `head` in steps of `step` bytes.
fn in_steps<T>(head: &[u8], step: usize, mut read: impl FnMut(&[u8]) -> Option<T>) -> Option<T> {
    let mut seen = 0;
    while seen < head.len() {
        seen = (seen + step).min(head.len());
        if let Some(verdict) = read(&head[..seen]) {
            return Some(verdict);
        }
    }
    None
}

pub fn request_head(data: &[u8]) {
    let mut input = Input::new(data);
    let (limits, step) = (limits(&mut input), 1 + input.below(64));
    let head = input.rest();
    let read = |step| {
        let mut reader = RequestReader::new(&limits);
        in_steps(head, step, |seen| reader.read(seen).transpose())
    };
    let (at_once, in_steps) = (read(usize::MAX), read(step));
    match (&at_once, &in_steps) {
        (Some(Ok((one, len))), Some(Ok((other, other_len)))) => {
            assert_eq!((len, one.headers(), one.uri()), (other_len, other.headers(), other.uri()));
            assert!(*len <= limits.max_head_size && one.headers().len() <= limits.max_header_lines);
        }
        (None, None) | (Some(Err(_)), Some(Err(_))) => {}
        // A head that is too large, or invalid bytes after a valid head, may be found earlier or later.
        (Some(Err(_)), _) | (_, Some(Err(_))) => {}
        other => panic!("{other:?}"),
    }
    let Some(Ok((request, _))) = at_once else { return };
    let answer = match ServerHandshake::new(&request) {
        Err(error) => Rejection::from(error).encode(),
        Ok(mut handshake) => {
            let mut config = Config::default();
            config.deflate = Some(ws_proto::deflate::DeflateConfig::server());
            handshake.negotiate(&config.validate().expect("valid"));
            handshake.accept(&ResponseParts::default()).expect("nothing was added")
        }
    };
    let mut reader = ResponseReader::new(&Limits::default());
    let (response, len) = reader.read(&answer).expect("our own answer is valid").expect("and complete");
    assert!(
        response.status().as_u16() == 101
            || response.status().is_client_error()
            || response.status().is_server_error()
    );
    assert!(len <= answer.len());
}

pub fn response_head(data: &[u8]) {
    let mut input = Input::new(data);
    let (limits, step) = (limits(&mut input), 1 + input.below(64));
    let deflate = input.below(2) == 0;
    let head = input.rest();
    let read = |step| {
        let mut reader = ResponseReader::new(&limits);
        in_steps(head, step, |seen| reader.read(seen).transpose())
    };
    let (at_once, in_steps) = (read(usize::MAX), read(step));
    if let (Some(Ok((one, len))), Some(Ok((other, other_len)))) = (&at_once, &in_steps) {
        assert_eq!((len, one.headers(), one.status()), (other_len, other.headers(), other.status()));
    }
    let Some(Ok((response, _))) = at_once else { return };
    let mut config = Config::default();
    config.deflate = deflate.then(ws_proto::deflate::DeflateConfig::client);
    let request = ClientRequest::new("example.com", "/").with_extensions(&config.validate().expect("valid"));
    let (handshake, _) = ClientHandshake::new(&request, *b"the sample nonce").expect("a valid request");
    if let Ok(accepted) = handshake.finish(&response) {
        assert_eq!(response.status().as_u16(), 101);
        assert!(deflate || accepted.extensions.deflate().is_none());
        assert_eq!(accepted.subprotocol, None, "none was offered");
    }
}
