//! With other implementations: Python `websockets` and npm `ws`. `e2e-tests/peers/setup.sh` installs them; without them,
//! these tests are skipped, or fail if `WS_REQUIRE_PEERS=1` is set.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::support::{Running, run, run_bytes, watchdog};

/// The scripts of a peer: a client and an echo server.
struct Peer {
    program: PathBuf,
    client: &'static str,
    server: &'static str,
}

fn peers() -> Vec<Peer> {
    let installed = workspace().join(".peers");
    let python = installed.join("python/bin/python");
    let node = installed.join("node/node_modules/ws/package.json");
    let mut peers = Vec::new();
    for (name, is_installed, program, client, server) in [
        ("websockets", python.exists(), python.clone(), "python/client.py", "python/server.py"),
        ("ws", node.exists(), "node".into(), "node/client.mjs", "node/server.mjs"),
    ] {
        if is_installed {
            peers.push(Peer { program, client, server });
        } else {
            let required = std::env::var_os("WS_REQUIRE_PEERS").is_some_and(|value| value == "1");
            assert!(!required, "{name} is not installed (bash e2e-tests/peers/setup.sh)");
            // Not `eprintln!`: the test runner captures it.
            let _ = writeln!(std::io::stderr(), "skipped: {name} is not installed");
        }
    }
    peers
}

fn workspace() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

impl Peer {
    fn command(&self, script: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.arg(workspace().join("e2e-tests/peers").join(script)).env("PYTHONDONTWRITEBYTECODE", "1");
        command
    }
}

#[test]
fn servers_of_others_answer() {
    for peer in peers() {
        let mut command = peer.command(peer.server);
        let mut server =
            command.arg("--deflate").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let watch = watchdog(server.id());
        let mut output = BufReader::new(server.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let url = line.trim().strip_prefix("listening on ").unwrap().to_owned();
        let ended = run(&[&url, "-n", "2", "-v"], b"hello\nworld\n");
        assert!(ended.stderr.contains("< sec-websocket-extensions: permessage-deflate"), "{ended:?}");
        assert_eq!(ended.ok(), "hello\nworld\n");
        assert!(run(&["ping", &url, "-c", "1"], b"").ok().contains("1 pings, 1 pongs"));
        // The server ends with its input.
        drop(server.stdin.take());
        server.wait().unwrap();
        drop(watch);
    }
}

#[test]
fn clients_of_others_are_answered() {
    for peer in peers() {
        let server = Running::start(&["listen", "0", "--echo"]);
        let url = server.error_line("listening on ");
        let output = run_bytes(peer.command(peer.client).args([&url, "--deflate"]), b"");
        assert!(output.status.success() && output.stdout == b"ok\n", "{output:?}");
    }
}
