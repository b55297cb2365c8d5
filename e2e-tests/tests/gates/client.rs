//! The client's role, in memory: sends of borrowed slices, and their echoes.

use crate::counting::allocations;
use crate::server::PER_CUT;
use bytes::Buf as _;
use e2e_tests::raw_peer::{RawFrame, Side, opcode};
use std::time::Instant;
use ws_proto::{
    Config, Connection, Event, MessageKind, ReceiveBuffer, TransmitQueue, mask::ChaChaMaskSource,
};

const MESSAGES: u64 = 2000;

/// A client and the buffers that its driver lends it.
struct Client {
    connection: Connection,
    rx: ReceiveBuffer,
    tx: TransmitQueue,
    now: Instant,
}

impl Client {
    fn new() -> Self {
        let (config, now) = (Config::default().validate().expect("the defaults are valid"), Instant::now());
        let connection = Connection::client(config, Box::new(ChaChaMaskSource::from_seed([1; 32])), now);
        Self { connection, rx: ReceiveBuffer::default(), tx: TransmitQueue::new(), now }
    }

    /// Sends `depth` messages in one write, then receives their echoes in one read.
    fn exchange(&mut self, kind: MessageKind, payload: &[u8], depth: usize, echoes: &[u8]) {
        for _ in 0..depth {
            self.connection.send(kind, payload, &mut self.tx).expect("room");
        }
        self.connection.pump(&mut self.tx);
        while !self.tx.is_empty() {
            let written = self.tx.chunk().len();
            self.tx.advance(written);
            self.connection.handle_written(self.now);
            self.connection.pump(&mut self.tx);
        }
        assert_eq!(self.receive(kind, payload, echoes), depth);
    }

    /// Handles the bytes of one read. Returns the number of complete messages.
    fn receive(&mut self, kind: MessageKind, payload: &[u8], bytes: &[u8]) -> usize {
        self.connection.read_target(&mut self.rx)[..bytes.len()].copy_from_slice(bytes);
        self.connection.handle_received(bytes.len(), self.now, &mut self.rx);
        let mut received = 0;
        while let Some(event) = self.connection.poll_event(&mut self.rx, &mut self.tx) {
            let Event::Message(message) = event else { panic!("unexpected: {event:?}") };
            assert!(message.kind() == kind && message.as_bytes() == payload, "not an echo");
            received += 1;
        }
        received
    }
}

#[test]
fn a_clients_messages_allocate_nothing() {
    for (kind, opcode) in [(MessageKind::Text, opcode::TEXT), (MessageKind::Binary, opcode::BINARY)] {
        for size in [20, 1000] {
            for depth in [1, 64] {
                let mut client = Client::new();
                let payload = vec![b'x'; size];
                let echoes = RawFrame::new(opcode, payload.clone()).encode(Side::Server).repeat(depth);
                client.exchange(kind, &payload, depth, &echoes);
                let before = allocations();
                for _ in 0..MESSAGES {
                    client.exchange(kind, &payload, depth, &echoes);
                }
                let allocated = allocations() - before;
                println!("{kind:?}, {size} bytes, {depth} in flight: {allocated} allocations");
                assert_eq!(allocated, 0, "{kind:?}, {size} bytes, {depth} in flight");
            }
        }
    }
}

#[test]
fn a_message_that_is_cut_in_two_waits_on_the_heap_and_costs_no_more() {
    for size in [20, 1000] {
        let mut client = Client::new();
        let payload = vec![b'x'; size];
        let echo = RawFrame::new(opcode::BINARY, payload.clone()).encode(Side::Server);
        let mut most = 0;
        for cut in (1..echo.len()).chain(1..echo.len()) {
            let before = allocations();
            let whole = [&echo[..cut], &echo[cut..]]
                .map(|piece| client.receive(MessageKind::Binary, &payload, piece));
            most = most.max(allocations() - before);
            assert_eq!(whole, [0, 1]);
        }
        println!("{size} bytes in two pieces: {most} allocations");
        assert!(most <= PER_CUT, "{size} bytes: {most}");
    }
}
