//! Held messages that are taken side by side, and lent without the connection.

use crate::{
    Connection, HeldEvent, Message, ReceiveBuffer, Role,
    memory::{BufferPool, BufferPoolConfig},
};

use super::{
    endpoint::{Endpoint, both, config},
    wire::{binary, close, ping, text},
};

const WINDOW: usize = 128 * 1024;

fn with_standard_window(role: Role) -> Endpoint {
    let pool = BufferPool::new(BufferPoolConfig { preheat: 0, ..BufferPoolConfig::default() });
    Endpoint::with_buffer(role, &config(|_| ()), ReceiveBuffer::new(WINDOW, pool))
}

fn both_with_window(check: impl Fn(Endpoint, Role)) {
    for role in [Role::Server, Role::Client] {
        check(with_standard_window(role), role);
    }
}

#[test]
fn a_run_has_the_messages_of_a_read_in_order_and_no_control_frames() {
    both(|mut end| {
        end.pauses();
        end.receives([text("a"), binary("b"), ping("x"), text("")]);
        end.connection.hold_ping(b"held");
        end.receives([binary(vec![7; 300])]);
        let mut seen = Vec::new();
        while let Some(mut run) = end.connection.take_held_run() {
            while let Some(message) = run.next_message() {
                seen.push((message.is_text(), message.as_bytes().to_vec()));
            }
            assert!(!run.has_next());
        }
        let all = [(true, b"a".to_vec()), (false, b"b".to_vec()), (true, Vec::new()), (false, vec![7; 300])];
        assert_eq!(seen, all);
    });
}

#[test]
fn messages_that_fill_most_of_the_window_keep_it() {
    for role in [Role::Server, Role::Client] {
        let mut end = with_standard_window(role);
        end.connection.pause();
        let frames: Vec<u8> =
            (0..100_u8).flat_map(|n| binary([n; 1000]).encode(role == Role::Server)).collect();
        let window = end.rx.spare_mut().as_ptr_range();
        end.receives_bytes(&frames);
        let held = end.connection.held_bytes();
        assert!((frames.len()..frames.len() + 1024).contains(&held), "{held}");
        let mut run = end.connection.take_held_run().unwrap();
        for n in 0..100 {
            let message = run.next_message().unwrap();
            assert_eq!(message.as_bytes(), [n; 1000]);
            assert!(window.contains(&message.as_bytes().as_ptr()), "not copied");
        }
        assert!(run.next_message().is_none());
        assert_eq!(end.rx.spare_mut().len(), WINDOW);
        assert_eq!(end.rx.pool().retained(), 0);
        drop(run);
        assert!(end.rx.pool().retained() >= WINDOW, "the window is used again");
        end.resumes();
        end.receives([text("behind")]);
        end.delivers_text("behind");
    }
}

#[test]
fn owned_messages_come_from_the_same_window() {
    for role in [Role::Server, Role::Client] {
        let mut end = with_standard_window(role);
        end.connection.pause();
        let frames: Vec<u8> =
            (0..100_u8).flat_map(|n| binary([n; 1000]).encode(role == Role::Server)).collect();
        end.receives_bytes(&frames);
        for n in 0..50 {
            assert_eq!(end.connection.take_held().unwrap().as_bytes(), [n; 1000]);
        }
        end.resumes();
        for n in 50..100 {
            end.delivers_binary([n; 1000]);
        }
        assert_eq!(end.connection.held_bytes(), 0);
    }
}

#[test]
fn owned_messages_of_an_eighth_of_the_window_share_it() {
    for role in [Role::Server, Role::Client] {
        let mut end = with_standard_window(role);
        end.connection.pause();
        let lens = [20_000, 16_000, 20_000, 20_000];
        let frames: Vec<u8> =
            lens.iter().flat_map(|len| binary(vec![1; *len]).encode(role == Role::Server)).collect();
        let window = end.rx.spare_mut().as_ptr_range();
        end.receives_bytes(&frames);
        let held = end.connection.held_bytes();
        let mut kept = Vec::new();
        for len in lens {
            let message = end.connection.take_held().unwrap();
            assert_eq!(message.as_bytes(), vec![1; len]);
            assert_eq!(window.contains(&message.as_bytes().as_ptr()), len == 20_000, "{len}");
            kept.push(message);
            let left = (lens.len() - kept.len()) * 16_000;
            assert!((left..=held).contains(&end.connection.held_bytes()));
        }
        assert_eq!(end.connection.held_bytes(), 0);
        // The window is used again once no message shares it.
        let last = kept.pop();
        drop(kept);
        assert_eq!(end.rx.pool().retained(), 0);
        drop(last);
        assert!(end.rx.pool().retained() >= WINDOW);
    }
}

#[test]
fn a_run_whose_first_messages_share_the_window_is_lent_and_put_back() {
    both_with_window(|mut end, role| {
        end.connection.pause();
        let frames: Vec<u8> =
            (0..5_u8).flat_map(|n| binary([n; 20_000]).encode(role == Role::Server)).collect();
        end.receives_bytes(&frames);
        let first = end.connection.take_held().unwrap();
        let mut run = end.connection.take_held_run().unwrap();
        assert_eq!(run.next_message().unwrap().as_bytes(), [1; 20_000]);
        end.connection.put_back_run(run);
        assert_eq!(end.connection.take_held().unwrap().as_bytes(), [2; 20_000]);
        end.resumes();
        end.delivers_binary([3; 20_000]);
        end.delivers_binary([4; 20_000]);
        assert_eq!(end.connection.held_bytes(), 0);
        assert_eq!(first.as_bytes(), [0; 20_000]);
    });
}

#[test]
fn a_run_counts_as_held_until_the_next_one_is_taken() {
    both(|mut end| {
        end.pauses();
        end.receives([text("a"), text("b")]);
        let held = end.connection.held_bytes();
        assert!(held > 0);
        let run = end.connection.take_held_run();
        assert!(run.is_some());
        assert_eq!(end.connection.held_bytes(), held);
        assert!(end.connection.take_held_run().is_none());
        assert_eq!(end.connection.held_bytes(), 0);
    });
}

#[test]
fn what_is_left_of_a_run_is_held_again_before_what_came_later() {
    both(|mut end| {
        end.pauses();
        end.receives([text("a"), text("b"), text("c")]);
        let mut run = end.connection.take_held_run().unwrap();
        assert_eq!(run.next_message().unwrap().as_text(), Some("a"));
        end.receives([text("d")]);
        end.connection.put_back_run(run);
        end.resumes();
        for expected in ["b", "c", "d"] {
            end.delivers_text(expected);
        }
        assert_eq!(end.connection.held_bytes(), 0);
        assert!(end.connection.is_settled());
    });
}

#[test]
fn an_end_waits_behind_a_run() {
    both(|mut end| {
        end.connection.hold();
        end.receives([text("a"), text("b"), close(1000, "")]);
        let mut run = end.connection.take_held_run().unwrap();
        assert_eq!(run.next_message().unwrap().as_text(), Some("a"));
        end.drive();
        end.is_open();
        end.connection.put_back_run(run);
        end.resumes();
        end.delivers_text("b");
    });
}

#[test]
fn an_end_behind_a_run_takes_effect_once_the_application_asks_for_more() {
    both(|mut end| {
        end.pauses();
        end.receives([text("a"), text("b"), close(1000, "")]);
        let mut run = end.connection.take_held_run().unwrap();
        assert_eq!(run.next_message().unwrap().as_bytes(), b"a");
        let held = end.connection.held_bytes();
        assert!(held > 0);
        end.drive();
        assert_eq!(end.connection.held_bytes(), held, "the run still counts");
        end.sends_text("answer");
        end.sent_text("answer");
        end.connection.put_back_run(run);
        end.resumes();
        end.delivers_text("b");
        end.sent_close(1000);
        assert_eq!(end.connection.held_bytes(), 0);
    });
}

#[test]
fn a_close_that_comes_after_a_run_was_taken_waits_too() {
    both(|mut end| {
        end.pauses();
        end.receives([text("a")]);
        let run = end.connection.take_held_run().unwrap();
        end.receives([close(1000, "")]);
        end.sends_text("answer");
        end.sent_text("answer");
        drop(run);
        end.resumes();
        assert!(end.connection.take_held_run().is_none());
        end.drive();
        end.sent_close(1000);
    });
}

/// Takes owned messages, from runs as long as they have more than one.
fn take_owned(connection: &mut Connection) -> Vec<Message> {
    let mut taken = Vec::new();
    while let Some(message) = connection.take_next_held() {
        taken.push(message);
        if let Some(mut run) = connection.take_rest_run() {
            taken.extend(std::iter::from_fn(|| run.take_message()));
            connection.put_back_run(run);
        }
    }
    taken
}

#[test]
fn owned_messages_of_runs_are_those_that_are_taken_one_by_one() {
    for role in [Role::Server, Role::Client] {
        let frames: Vec<_> = (0..200_usize)
            .flat_map(|n| match n % 17 {
                0 => vec![binary(vec![n as u8; 70 * n])],
                9 => vec![text(""), ping("p")],
                _ => vec![text("é".repeat(n % 80)), binary([n as u8])],
            })
            .collect();
        let bytes: Vec<u8> = frames.iter().flat_map(|frame| frame.encode(role == Role::Server)).collect();
        let [one_by_one, by_runs] = [false, true].map(|by_runs| {
            let mut end = with_standard_window(role);
            let mut taken = Vec::new();
            for part in bytes.chunks(10_000) {
                end.connection.hold();
                end.receives_bytes(part);
                if by_runs {
                    taken.extend(take_owned(&mut end.connection));
                } else {
                    taken.extend(std::iter::from_fn(|| end.connection.take_held()));
                }
            }
            assert!(end.connection.held_bytes() == 0);
            taken
        });
        assert!(one_by_one.len() > 300 && by_runs == one_by_one);
    }
}

#[test]
fn the_connection_knows_when_the_last_message_of_a_run_is_taken() {
    both(|mut end| {
        end.connection.hold();
        end.receives(["1", "2", "3", "4", "5", "6"].map(text));
        end.receives([close(1000, "")]);
        assert_eq!(end.connection.take_next_held().unwrap(), "1");
        let mut run = end.connection.take_rest_run().unwrap();
        assert!(!end.connection.take_run_read());
        end.connection.pause();
        for expected in ["2", "3", "4", "5", "6"] {
            end.drive();
            end.is_open();
            assert_eq!(run.take_message().unwrap(), expected);
            assert!(end.connection.take_run_read() && !end.connection.take_run_read());
        }
        assert_eq!(end.connection.held_bytes(), 0);
        assert!(run.take_message().is_none());
        end.drive();
        end.sent_close(1000);
        end.connection.put_back_run(run);
        assert!(end.connection.take_held().is_none());
    });
}

#[test]
fn a_run_ends_when_the_connection_drops_what_it_holds() {
    for close in [false, true] {
        both(|mut end| {
            end.connection.hold();
            end.receives(["1", "2", "3", "4", "5", "6"].map(text));
            let mut run = end.connection.take_rest_run().unwrap();
            assert_eq!(run.take_message().unwrap(), "1");
            assert!(!run.is_dropped());
            if close {
                end.closes(1000, "");
            } else {
                end.connection.abort(&mut end.tx);
            }
            assert!(run.is_dropped() && run.take_message().is_none());
            end.connection.put_back_run(run);
            assert!(end.connection.take_held().is_none());
            assert_eq!(end.connection.held_bytes(), 0);
        });
    }
}

#[test]
fn control_frames_before_the_next_message_are_put_back_too() {
    both(|mut end| {
        end.pauses();
        end.receives([text("a"), text("b")]);
        end.connection.hold_ping(b"held");
        end.receives([text("c")]);
        let mut run = end.connection.take_held_run().unwrap();
        assert!(run.next_message().is_some() && run.next_message().is_some());
        end.connection.put_back_run(run);
        let events: Vec<_> = std::iter::from_fn(|| end.connection.take_held_event()).collect();
        assert_eq!(events, [HeldEvent::Ping("held".into()), HeldEvent::Message("c".into())]);
    });
}

#[test]
fn a_held_message_of_half_the_window_takes_it_along() {
    both_with_window(|mut end, role| {
        end.connection.pause();
        let window = end.rx.spare_mut().as_ptr_range();
        end.receives_bytes(&binary(vec![1; 70_000]).encode(role == Role::Server));
        let message = end.connection.take_held().unwrap();
        assert_eq!(message.as_bytes(), vec![1; 70_000]);
        assert!(window.contains(&message.as_bytes().as_ptr()), "not copied");
    });
}

#[test]
fn messages_of_a_run_count_until_they_are_taken() {
    both_with_window(|mut end, role| {
        end.connection.pause();
        let frames = binary(vec![1; 1000]).encode(role == Role::Server).repeat(100);
        end.receives_bytes(&frames);
        let held = end.connection.held_bytes();
        assert!(!end.connection.wants_read());
        let mut run = end.connection.take_held_run().unwrap();
        assert_eq!(end.connection.held_bytes(), held);
        for n in 1..50 {
            assert!(if n % 2 == 0 { run.take_message().is_some() } else { run.next_message().is_some() });
            assert_eq!(end.connection.held_bytes(), held - n * frames.len() / 100);
        }
        assert!(end.connection.wants_read());
        assert!(end.connection.take_run_read());
        assert!(!end.connection.take_run_read());
        end.connection.put_back_run(run);
        assert_eq!(end.connection.held_bytes(), held - 49 * frames.len() / 100);
    });
}
