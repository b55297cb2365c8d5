//! Masking keys that can be guessed. An attacker who knows them controls the bytes on a client's wire (RFC 6455 section
//! 10.3).

use crate::scale::{number, scaled};
use crate::table::Row;
use crate::target_server::attack;
use e2e_tests::raw_peer::RawAcceptor;
use std::collections::HashSet;
use std::process::Command;

const MASKS: Row = Row::new(24, "predictable masking keys");

/// Set in the second process.
const ELSEWHERE: &str = "WS_ATTACKS_KEYS";

/// The masking keys of a client's first frames.
async fn keys(count: usize) -> Vec<[u8; 4]> {
    const BATCH: usize = 1024;
    let acceptor = RawAcceptor::bind();
    let url = acceptor.url("/");
    let client = async {
        let mut ws = ws_client::connect(&url).await.unwrap();
        for _ in 0..count.div_ceil(BATCH) {
            for _ in 0..BATCH {
                ws.feed("").await.unwrap();
            }
            ws.flush().await;
        }
        ws
    };
    let server = async {
        let mut server = acceptor.accept_upgraded().await;
        let mut keys = Vec::with_capacity(count);
        while keys.len() < count {
            keys.push(server.recv_frame().await.mask.expect("a client's frame is masked"));
        }
        (keys, server)
    };
    let (_client, (keys, _server)) = tokio::join!(client, server);
    keys
}

/// The chi-square statistic of the bytes at one position, with 255 degrees of freedom, against an even distribution.
fn chi_square(keys: &[[u8; 4]], place: usize) -> f64 {
    let mut counts = [0_u32; 256];
    keys.iter().for_each(|key| counts[usize::from(key[place])] += 1);
    let expected = keys.len() as f64 / 256.0;
    counts.iter().map(|count| (f64::from(*count) - expected).powi(2) / expected).sum()
}

#[test]
fn mask_keys_repeat_by_chance_only_and_differ_between_processes() {
    if std::env::var_os(ELSEWHERE).is_some() {
        attack(async || {
            for key in keys(1000).await {
                println!("\nkey {}", u32::from_be_bytes(key));
            }
        });
        return;
    }
    attack(async || {
        let count = scaled(1 << 20, 1 << 14);
        let keys = keys(count).await;
        let distinct: HashSet<_> = keys.iter().copied().collect();
        // n² / 2³³ equal pairs are expected. Six standard deviations more occur once in a thousand million runs.
        let expected = (count as f64).powi(2) / 2_f64.powi(33);
        let most = (expected + 6.0 * expected.sqrt()).ceil().max(3.0) as usize;
        MASKS.at_most(
            &format!("repeated keys among {}, {expected:.0} expected by chance", number(count)),
            count - distinct.len(),
            most,
            "",
        );
        // The statistic has a mean of 255 and a standard deviation of √510.
        let farthest =
            (0..4).map(|place| (chi_square(&keys, place) - 255.0).abs() / 510_f64.sqrt()).fold(0.0, f64::max);
        MASKS.line(
            "chi-square of the bytes, against an even distribution",
            format!("{farthest:.1} standard deviations off"),
            "≤ 6",
            farthest <= 6.0,
        );
        let others = keys_of_another_process();
        assert_eq!(others.len(), 1000);
        let common = others.iter().filter(|key| distinct.contains(*key)).count();
        // 0.25 are expected by chance at full scale.
        MASKS.at_most("keys equal to one of 1,000 of another process", common, 6, "");
    });
}

/// The masking keys of a client in another process.
fn keys_of_another_process() -> Vec<[u8; 4]> {
    let name = "rows::masks::mask_keys_repeat_by_chance_only_and_differ_between_processes";
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(ELSEWHERE, "1")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let numbers = text.lines().filter_map(|line| line.strip_prefix("key ")?.parse::<u32>().ok());
    numbers.map(u32::to_be_bytes).collect()
}
