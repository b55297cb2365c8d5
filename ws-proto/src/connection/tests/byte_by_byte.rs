//! A whole conversation over a transport that reads and writes one byte at a time: the opening handshake, messages of
//! every size in both directions, pings, and the closing handshake.

use std::{collections::VecDeque, time::Instant};

use bytes::Buf as _;

use crate::{
    CloseCode, CloseInfo, Config, Connection, Event, Limits, MessageKind, ReceiveBuffer, TransmitQueue,
    TransportAction, ValidConfig,
    handshake::{
        ClientHandshake, ClientRequest, RequestReader, ResponseParts, ResponseReader, ServerHandshake,
    },
    mask::ChaChaMaskSource,
};

/// One direction.
#[derive(Default)]
struct Wire {
    bytes: VecDeque<u8>,
    ended: bool,
}

struct Side {
    connection: Connection,
    rx: ReceiveBuffer,
    tx: TransmitQueue,
    messages: Vec<(MessageKind, Vec<u8>)>,
    pings: Vec<Vec<u8>>,
    pongs: Vec<Vec<u8>>,
    closed: Option<CloseInfo>,
    echoes: bool,
}

impl Side {
    fn new(connection: Connection, echoes: bool) -> Self {
        let (rx, tx) = (ReceiveBuffer::default(), TransmitQueue::new());
        Self { connection, rx, tx, messages: vec![], pings: vec![], pongs: vec![], closed: None, echoes }
    }

    /// Reads a byte, drains the events, and writes a byte. Returns whether anything changed.
    fn step(&mut self, now: Instant, from: &mut Wire, to: &mut Wire) -> bool {
        let read = self.read(now, from);
        while let Some(event) = self.connection.poll_event(&mut self.rx, &mut self.tx) {
            match event {
                Event::Message(message) => {
                    if self.echoes {
                        self.connection.send(message.kind(), message.as_bytes(), &mut self.tx).unwrap();
                    }
                    self.messages.push((message.kind(), message.as_bytes().to_vec()));
                }
                Event::Ping(payload) => self.pings.push(payload.to_vec()),
                Event::Pong(payload) => self.pongs.push(payload.to_vec()),
                Event::Closed(info) => assert_eq!(self.closed.replace(info), None),
            }
        }
        let written = self.write(now, to);
        to.ended |= self.connection.transport_action(&self.tx) != TransportAction::Continue;
        read || written
    }

    fn read(&mut self, now: Instant, from: &mut Wire) -> bool {
        if !self.connection.wants_read() {
            return false;
        }
        if let Some(byte) = from.bytes.pop_front() {
            self.connection.read_target(&mut self.rx)[0] = byte;
            self.connection.handle_received(1, now, &mut self.rx);
        } else if from.ended {
            self.connection.handle_eof(now);
        } else {
            return false;
        }
        true
    }

    fn write(&mut self, now: Instant, to: &mut Wire) -> bool {
        self.connection.pump(&mut self.tx);
        let Some(byte) = self.tx.chunk().first().copied() else { return false };
        to.bytes.push_back(byte);
        self.tx.advance(1);
        self.connection.handle_written(now);
        // The transport took one byte and is now blocked.
        self.tx.set_blocked(now);
        true
    }
}

/// Both sides of the opening handshake, a byte at a time. The server's frames follow its response in the same stream.
fn open(config: &ValidConfig, now: Instant) -> (Side, Side) {
    let (limits, request) =
        (Limits::default(), ClientRequest::new("example.com", "/").with_extensions(config));
    let (handshake, bytes) = ClientHandshake::new(&request, *b"the sample nonce").unwrap();
    let (mut reader, mut received) = (RequestReader::new(&limits), Vec::new());
    let request = bytes.iter().find_map(|byte| {
        received.push(*byte);
        reader.read(&received).unwrap()
    });
    let (request, length) = request.expect("the request is complete");
    assert_eq!(length, bytes.len());
    let mut answer = ServerHandshake::new(&request).unwrap();
    let extensions = answer.negotiate(config);
    let server = Connection::server(config.clone(), now).with_extensions(extensions);
    let bytes = answer.accept(&ResponseParts::default()).unwrap();
    let (mut reader, mut received) = (ResponseReader::new(&limits), Vec::new());
    let response = bytes.iter().find_map(|byte| {
        received.push(*byte);
        reader.read(&received).unwrap()
    });
    let (response, length) = response.expect("the response is complete");
    assert_eq!(length, bytes.len());
    let accepted = handshake.finish(&response).unwrap();
    let masks = Box::new(ChaChaMaskSource::from_seed([7; 32]));
    let client = Connection::client(config.clone(), masks, now).with_extensions(accepted.extensions);
    (Side::new(client, false), Side::new(server, true))
}

fn converse(config: Config) {
    let (now, config) = (Instant::now(), config.validate().unwrap());
    let (mut client, mut server) = open(&config, now);
    let text = "é€😀 and letters. ".repeat(5000);
    let mut sent = Vec::new();
    for length in [0, 1, 125, 126, 127, 300, 65_535, 65_536] {
        let length = (0..=length).rev().find(|end| text.is_char_boundary(*end)).unwrap();
        for kind in [MessageKind::Text, MessageKind::Binary] {
            client.connection.send(kind, &text.as_bytes()[..length], &mut client.tx).unwrap();
            sent.push((kind, text.as_bytes()[..length].to_vec()));
        }
        let _ = client.connection.ping(format!("{length}").as_bytes(), &mut client.tx);
    }
    let (mut up, mut down) = (Wire::default(), Wire::default());
    let mut closes = false;
    while client.step(now, &mut down, &mut up) | server.step(now, &mut up, &mut down) {
        if !closes && client.messages.len() == sent.len() {
            closes = true;
            client.connection.close(CloseCode::NORMAL, "bye", now, &mut client.tx);
        }
    }
    assert!(server.messages == sent && client.messages == sent, "each message is sent and echoed");
    assert!(server.pings.len() >= 8 && !client.pongs.is_empty(), "{:?} {:?}", server.pings, client.pongs);
    for side in [&client, &server] {
        let info = side.closed.as_ref().expect("closed");
        assert!(info.is_clean() && info.reason() == "bye", "{info:?}");
    }
}

#[test]
fn a_conversation_of_single_bytes_is_complete() {
    converse(Config::default());
}

#[cfg(feature = "deflate")]
#[test]
fn a_compressed_conversation_of_single_bytes_is_complete() {
    for deflate in [crate::deflate::DeflateConfig::server(), crate::deflate::DeflateConfig::client()] {
        converse(Config { deflate: Some(deflate), ..Config::default() });
    }
}
