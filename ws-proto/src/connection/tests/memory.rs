//! Memory follows the bytes received, never an announced length, and is released.

use crate::{
    Connection, Event, MessageKind, ReceiveBuffer, Role, TransmitQueue,
    connection::partial::Partial,
    memory::{BufferPool, BufferPoolConfig},
};

use super::{
    endpoint::{Endpoint, both, both_with, config},
    wire::{binary, continuation, ping, text},
};

const MIB: usize = 1 << 20;
/// What a large block may take beyond its capacity: it is placed within a page, and has room for a header.
const EXTRA: usize = 4096 + 64;

/// The memory that the message in progress has allocated.
fn allocated(connection: &Connection) -> usize {
    let message = connection.partial.as_ref().and_then(|partial| partial.message.as_ref());
    message.map_or(0, |message| message.buffer.capacity())
}

fn received(connection: &Connection) -> usize {
    let message = connection.partial.as_ref().and_then(|partial| partial.message.as_ref());
    message.map_or(0, |message| message.buffer.len())
}

fn with_pool(role: Role, pool: &BufferPool) -> Endpoint {
    Endpoint::with_buffer(role, &config(|_| ()), ReceiveBuffer::new(4096, pool.clone()))
}

fn small_pool() -> BufferPool {
    BufferPool::new(BufferPoolConfig { buffer_size: 64 * 1024, preheat: 1, max_retained: MIB })
}

#[test]
fn a_connection_is_small() {
    assert!(size_of::<Connection>() <= 128, "{}", size_of::<Connection>());
}

#[test]
fn a_connection_that_counts_takes_what_the_documentation_says() {
    let monitor = size_of::<crate::connection::monitor::Monitor>();
    assert!((400..=450).contains(&monitor), "{monitor}");
}

#[test]
fn a_message_in_progress_takes_little_more_than_its_bytes() {
    assert!(size_of::<Partial>() <= 320, "{}", size_of::<Partial>());
}

#[test]
fn between_messages_a_connection_holds_nothing() {
    both(|mut end| {
        end.receives([text("a").not_final(), ping("p"), continuation("b"), binary([0; 300])]);
        for byte in text("c").encode(end.role() == Role::Server) {
            end.receives_bytes(&[byte]);
        }
        end.transport_blocks();
        end.sends_text("x");
        end.sends_text("y");
        end.pauses();
        end.receives([text("held")]);
        end.resumes();
        end.transport_flows();
        let Connection { partial, inbox, outbox, closing, .. } = &end.connection;
        assert!(partial.is_none() && inbox.is_none() && outbox.is_none() && closing.is_none());
    });
}

#[test]
fn an_announced_length_allocates_nothing() {
    both(|mut end| {
        end.receives([binary("").announcing(16 * MIB as u64)]);
        assert!(allocated(&end.connection) <= 1024);
        end.receives_bytes(&[0; 10]);
        assert!(allocated(&end.connection) <= 1024);
    });
}

#[test]
fn memory_stays_within_twice_the_bytes_received() {
    both(|mut end| {
        end.receives([binary("").announcing(16 * MIB as u64)]);
        let mut sent = 0;
        while sent < 15 * MIB {
            end.receives_bytes(&[1; 50_000]);
            sent += 50_000;
            let (allocated, received) = (allocated(&end.connection), received(&end.connection));
            assert_eq!(received, sent);
            // A direct read has at least 16 KiB of room.
            assert!(allocated <= 2 * (received + 16 * 1024) + EXTRA, "{allocated} for {received}");
        }
    });
}

#[test]
fn memory_never_exceeds_the_announced_length() {
    both(|mut end| {
        let length = MIB + 17;
        end.receives([binary("").announcing(length as u64)]);
        end.receives_bytes(&vec![1; length - 1]);
        // The position of a large payload within a page is chosen, which may take up to a page.
        assert!((length..length + EXTRA).contains(&allocated(&end.connection)));
    });
}

#[test]
fn a_message_of_many_fragments_grows_by_doubling() {
    both_with(&config(|config| config.limits.max_fragments = 1 << 20), |mut end| {
        end.receives([binary("x").not_final()]);
        let (mut growths, mut before) = (0, allocated(&end.connection));
        for _ in 0..20_000 {
            end.receives([continuation("x").not_final()]);
            let now = allocated(&end.connection);
            growths += usize::from(now != before);
            before = now;
        }
        assert!(growths <= 20, "{growths} reallocations");
        assert!(before <= 2 * 20_001 + 1024);
        end.receives([continuation("x")]);
        end.delivers_binary([b'x'; 20_002]);
    });
}

#[test]
fn a_large_message_is_read_straight_into_its_own_buffer() {
    both(|mut end| {
        let payload: Vec<u8> = (0..MIB).map(|at| (at % 253) as u8).collect();
        let bytes = binary(&payload).encode(end.role() == Role::Server);
        let (mut at, mut direct) = (0, 0);
        while at < bytes.len() {
            let Endpoint { connection, rx, tx, now, .. } = &mut end;
            let window = rx.spare_mut().as_ptr();
            let target = connection.read_target(rx);
            let n = target.len().min(bytes.len() - at);
            assert!(n > 0);
            direct += if target.as_ptr() == window { 0 } else { n };
            target[..n].copy_from_slice(&bytes[at..at + n]);
            connection.handle_received(n, *now, rx);
            at += n;
            if at < bytes.len() {
                assert!(connection.poll_event(rx, tx).is_none());
            }
        }
        assert!(direct > MIB * 9 / 10, "{direct} of {MIB}");
        end.drive();
        end.delivers_binary(&payload);
    });
}

#[test]
fn a_direct_read_stops_at_the_end_of_the_message() {
    both(|mut end| {
        end.receives([binary(vec![1; 100_000]), text("behind"), binary(vec![2; 100_000]), ping("last")]);
        end.delivers_binary(vec![1; 100_000]);
        end.delivers_text("behind");
        end.delivers_binary(vec![2; 100_000]);
        end.delivers_ping(b"last");
    });
}

#[test]
fn a_ping_inside_a_large_message_is_not_part_of_its_payload() {
    both(|mut end| {
        end.receives([binary(vec![1; 50_000]).not_final(), ping([9; 125]), continuation(vec![2; 50_000])]);
        end.delivers_ping(&[9; 125]);
        end.delivers_binary([vec![1; 50_000], vec![2; 50_000]].concat());
    });
}

#[test]
fn a_close_during_a_direct_read_ends_the_message() {
    both(|mut end| {
        end.receives([binary("").announcing(MIB as u64)]);
        end.receives_bytes(&[0; 100_000]);
        end.closes(1000, "");
        end.receives_bytes(&[0; 100_000]);
        end.receives_bytes(&vec![0; MIB - 200_000]);
        end.delivers_nothing();
        end.receives([super::wire::close(1000, "")]);
        end.peer_hangs_up();
        assert!(end.is_finished().is_clean());
    });
}

#[test]
fn a_large_message_uses_a_pooled_buffer_that_is_returned() {
    let pool = small_pool();
    let whole = pool.retained();
    let mut server = with_pool(Role::Server, &pool);
    assert!((64 * 1024..64 * 1024 + EXTRA).contains(&whole));
    for _ in 0..3 {
        server.receives([binary(vec![1; 64 * 1024])]);
        assert_eq!(pool.retained(), 0, "lent");
        server.delivers_binary(vec![1; 64 * 1024]);
        server.rx.release_assembled();
        assert_eq!(pool.retained(), whole);
    }
}

#[test]
fn an_owned_message_returns_its_buffer_when_it_is_dropped() {
    let pool = small_pool();
    let whole = pool.retained();
    let mut server = with_pool(Role::Server, &pool);
    let payload = vec![7; 64 * 1024];
    let bytes = binary(&payload).encode(true);
    let mut taken = None;
    for piece in bytes.chunks(4096) {
        server.rx.extend(piece);
        let Endpoint { connection, rx, tx, now, .. } = &mut server;
        connection.handle_received(0, *now, rx);
        if let Some(Event::Message(message)) = connection.poll_event(rx, tx) {
            taken = Some(message.into_message());
        }
    }
    let taken = taken.expect("the message is complete");
    assert_eq!(taken.as_bytes(), payload);
    assert_eq!(pool.retained(), 0);
    drop(taken);
    assert_eq!(pool.retained(), whole);
}

#[test]
fn an_unfinished_message_returns_its_buffer() {
    let pool = small_pool();
    let whole = pool.retained();
    let mut server = with_pool(Role::Server, &pool);
    server.receives([binary(vec![1; 64 * 1024]).not_final()]);
    assert_eq!(pool.retained(), 0);
    server.peer_hangs_up();
    server.is_finished();
    assert_eq!(pool.retained(), whole);
}

#[test]
fn a_small_message_is_lent_from_the_window() {
    both(|mut end| {
        let bytes = text("small").encode(end.role() == Role::Server);
        end.rx.extend(&bytes);
        let Endpoint { connection, rx, tx, now, .. } = &mut end;
        connection.handle_received(0, *now, rx);
        let Some(Event::Message(message)) = connection.poll_event(rx, tx) else { panic!("a message") };
        assert!(!message.is_assembled());
    });
}

#[test]
fn a_message_that_fills_half_the_window_is_detached_with_it() {
    const WINDOW: usize = 128 * 1024;
    let pool = BufferPool::new(BufferPoolConfig { preheat: 0, ..BufferPoolConfig::default() });
    let mut server =
        Endpoint::with_buffer(Role::Server, &config(|_| ()), ReceiveBuffer::new(WINDOW, pool.clone()));
    let large: Vec<u8> = (0..WINDOW / 2).map(|at| (at % 251) as u8).collect();
    let frames = [text("before"), binary(&large), text("behind"), binary(vec![3; WINDOW / 4])];
    let bytes: Vec<u8> = frames.iter().flat_map(|frame| frame.encode(true)).collect();
    for _ in 0..3 {
        assert_eq!(server.rx.extend(&bytes), bytes.len());
        let Endpoint { connection, rx, tx, now, .. } = &mut server;
        connection.handle_received(0, *now, rx);
        let mut taken = Vec::new();
        while let Some(Event::Message(message)) = connection.poll_event(rx, tx) {
            let at = message.as_bytes().as_ptr();
            assert!(!message.is_assembled());
            let owned = message.into_bytes();
            taken.push((owned.as_ptr() == at, owned));
        }
        let expected: [(bool, &[u8]); 4] =
            [(false, b"before"), (true, &large), (false, b"behind"), (false, &[3; WINDOW / 4])];
        assert!(taken.iter().map(|(same, bytes)| (*same, &bytes[..])).eq(expected));
        assert_eq!(pool.retained(), 0, "the only spare window is in use");
        drop(taken);
        assert!((WINDOW..WINDOW + EXTRA).contains(&pool.retained()));
        assert_eq!(rx.spare_mut().len(), WINDOW);
    }
}

#[test]
fn a_transmit_queue_that_never_empties_stays_small() {
    both(|mut end| {
        end.transport_blocks();
        for _ in 0..5000 {
            while end.connection.send(MessageKind::Binary, &[1; 1000], &mut end.tx).is_ok() {}
            end.transport_takes(5000);
            assert!(!end.tx.is_empty());
            end.outbound.bytes.clear();
        }
        assert!(end.tx.capacity() < 4 * MIB, "{} bytes for 1 MiB", end.tx.capacity());
    });
}

#[test]
fn one_receive_buffer_serves_many_connections_in_turn() {
    let pool = BufferPool::new(BufferPoolConfig { preheat: 0, ..BufferPoolConfig::default() });
    let mut rx = ReceiveBuffer::new(256, pool);
    let mut tx = TransmitQueue::new();
    let config = config(|_| ());
    let now = std::time::Instant::now();
    let mut connections: Vec<_> = (0..10).map(|_| Connection::server(config.clone(), now)).collect();
    let streams: Vec<Vec<u8>> = (0..10)
        .map(|at| {
            let frames = [text(format!("{at}")).not_final(), ping("x"), continuation(vec![b'a' + at; 700])];
            frames.iter().flat_map(|frame| frame.encode(true)).collect()
        })
        .collect();
    let mut delivered = 0;
    for at in (0..streams[0].len()).step_by(37) {
        for (connection, stream) in connections.iter_mut().zip(&streams) {
            let piece = &stream[at..stream.len().min(at + 37)];
            connection.read_target(&mut rx)[..piece.len()].copy_from_slice(piece);
            connection.handle_received(piece.len(), now, &mut rx);
            while let Some(event) = connection.poll_event(&mut rx, &mut tx) {
                delivered += usize::from(matches!(event, Event::Message(message) if message.len() == 701));
            }
            assert!(rx.is_empty());
        }
    }
    assert_eq!(delivered, 10);
}

#[test]
fn messages_held_from_one_read_take_at_most_four_times_its_size() {
    const READ: usize = 128 * 1024;
    // Short assembled messages are packed too; the others have their own buffers.
    for (len, entries_per_pair) in [(2, 0), (1022, 0), (1024, 2), (4096, 2)] {
        both(|mut end| {
            end.rx = ReceiveBuffer::new(READ, end.rx.pool().clone());
            end.pauses();
            let half = "c".repeat(len / 2);
            // Messages of one frame and of two frames alternate.
            let to_server = end.role() == Role::Server;
            let pair: Vec<u8> = [text("a"), text(&half).not_final(), continuation(&half)]
                .into_iter()
                .flat_map(|frame| frame.encode(to_server))
                .collect();
            let pairs = READ / pair.len();
            end.receives_bytes(&pair.repeat(pairs));
            let inbox = end.connection.inbox.as_ref().unwrap();
            assert!(inbox.capacity() <= 4 * READ, "{} bytes for {READ}", inbox.capacity());
            let counted = pairs * (1 + len + 64 * entries_per_pair);
            assert!(inbox.bytes() >= counted, "{} bytes counted, not {counted}", inbox.bytes());
            end.resumes();
            for _ in 0..pairs {
                end.delivers_text("a");
                end.delivers_text(&half.repeat(2));
            }
            assert_eq!(end.connection.held_bytes(), 0);
            end.is_open();
        });
    }
}
