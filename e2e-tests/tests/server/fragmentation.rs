//! Fragmented messages.

use e2e_tests::raw_peer::RawFrame;
use e2e_tests::server::{echo_test, echo_test_with};

/// A message in these fragments.
fn fragments(first: RawFrame, rest: &[&[u8]]) -> Vec<RawFrame> {
    let mut frames = vec![first.not_final()];
    frames.extend(rest.iter().map(|part| RawFrame::continuation(*part).not_final()));
    if let Some(last) = frames.last_mut() {
        last.fin = true;
    }
    frames
}

fn text(parts: &[&str]) -> Vec<RawFrame> {
    let rest: Vec<&[u8]> = parts[1..].iter().map(|part| part.as_bytes()).collect();
    fragments(RawFrame::text(parts[0]), &rest)
}

#[test]
fn fragments_become_one_message() {
    echo_test(async |server| {
        let mut client = server.open().await;
        for parts in [
            &["Hel", "lo"][..],
            &["This ", "is ", "a ", "sentence ", "in ", "parts."],
            &["data", ""],
            &["", "data"],
            &["", "", "", ""],
            &["sp", "", "ä", "ter"],
        ] {
            client.send_together(&text(parts)).await;
            client.expect_text(&parts.concat()).await;
            // Also one frame per write.
            for frame in text(parts) {
                client.send(frame).await;
            }
            client.expect_text(&parts.concat()).await;
        }
    });
}

#[test]
fn binary_fragments_become_one_message() {
    echo_test(async |server| {
        let mut client = server.open().await;
        client.send_together(&fragments(RawFrame::binary([1, 2, 3]), &[&[4, 5]])).await;
        client.expect_binary(&[1, 2, 3, 4, 5]).await;
    });
}

#[test]
fn a_ping_between_fragments_is_answered_at_once() {
    echo_test(async |server| {
        let mut client = server.open().await;
        client.send(RawFrame::text("Hel").not_final()).await;
        client.send(RawFrame::ping("ping")).await;
        client.expect_pong(b"ping").await;
        client.send(RawFrame::continuation("lo")).await;
        client.expect_text("Hello").await;
    });
}

#[test]
fn many_fragments_come_back_in_one_frame() {
    echo_test(async |server| {
        let mut client = server.open().await;
        let parts: [Vec<u8>; 4] = [b'A', b'B', b'C', b'D'].map(|letter| vec![letter; 2048]);
        let rest: Vec<&[u8]> = parts[1..].iter().map(Vec::as_slice).collect();
        client.send_together(&fragments(RawFrame::binary(parts[0].clone()), &rest)).await;
        client.expect_binary(&parts.concat()).await;

        let parts: Vec<Vec<u8>> = (0..64).map(|part| vec![part; 4096]).collect();
        let rest: Vec<&[u8]> = parts[1..].iter().map(Vec::as_slice).collect();
        client.send_together(&fragments(RawFrame::binary(parts[0].clone()), &rest)).await;
        client.expect_binary(&parts.concat()).await;
    });
}

#[test]
fn all_fragments_together_may_reach_the_limit_but_not_pass_it() {
    echo_test_with(
        |builder| builder.max_message_size(100),
        async |server| {
            let mut client = server.open().await;
            client.send_together(&fragments(RawFrame::binary([1; 50]), &[&[1; 50]])).await;
            client.expect_binary(&[1; 100]).await;
            client.send_together(&fragments(RawFrame::binary([1; 50]), &[&[1; 51]])).await;
            client.expect_close(1009).await;
            client.expect_eof().await;
        },
    );
}

#[test]
fn a_total_over_the_limit_is_refused_at_the_header() {
    echo_test_with(
        |builder| builder.max_message_size(100),
        async |server| {
            let mut client = server.open().await;
            client.send(RawFrame::binary([1; 100]).not_final()).await;
            let header = client.writer.encode(&RawFrame::continuation([1; 1]));
            // The payload is not sent.
            client.send_bytes(&header[..6]).await;
            client.expect_close(1009).await;
        },
    );
}

#[test]
fn the_number_of_fragments_is_limited() {
    echo_test_with(
        |builder| builder.protocol(|config| config.limits.max_fragments = 3),
        async |server| {
            let mut client = server.open().await;
            client.send_together(&text(&["a", "b", "c"])).await;
            client.expect_text("abc").await;
            client.send_together(&text(&["a", "b", "c", "d"])).await;
            client.expect_close(1008).await;
            client.expect_eof().await;
        },
    );
}

#[test]
fn text_may_be_cut_inside_a_character_and_fails_at_the_first_impossible_byte() {
    echo_test(async |server| {
        let mut client = server.open().await;
        let euro = "€".as_bytes();
        client.send(RawFrame::text(&euro[..1]).not_final()).await;
        client.send(RawFrame::continuation(&euro[1..2]).not_final()).await;
        client.send(RawFrame::continuation(&euro[2..])).await;
        client.expect_text("€").await;

        client.send(RawFrame::text(&euro[..2]).not_final()).await;
        client.send(RawFrame::continuation([0xFF]).not_final()).await;
        // The third fragment is never sent.
        client.expect_close(1007).await;
        client.expect_eof().await;
    });
}
