//! With other implementations: Python `websockets`, npm `ws`, npm `wscat`, and behind nginx. `e2e-tests/peers/setup.sh`
//! installs them; without them, these tests are skipped, or fail if `WS_REQUIRE_PEERS=1` is set.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use e2e_tests::free_port;

use crate::support::{Folder, Reaped, Running, run, run_bytes, watchdog};

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
            skip(name);
        }
    }
    peers
}

/// Reports a peer that is not installed. Fails if it is required.
fn skip(name: &str) {
    let required = std::env::var_os("WS_REQUIRE_PEERS").is_some_and(|value| value == "1");
    assert!(!required, "{name} is not installed (bash e2e-tests/peers/setup.sh)");
    // Not `eprintln!`: the test runner captures it.
    let _ = writeln!(std::io::stderr(), "skipped: {name} is not installed");
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

/// wscat with these arguments. It ends with its input, so the caller holds that.
fn wscat(args: &[&str]) -> Option<Reaped> {
    let script = workspace().join(".peers/node/node_modules/wscat/bin/wscat");
    if !script.exists() {
        skip("wscat");
        return None;
    }
    let mut command = Command::new("node");
    command.arg(script).args(args).stdin(Stdio::piped()).stdout(Stdio::piped());
    Some(Reaped(command.spawn().unwrap()))
}

/// Reads lines until one has this text.
fn read_until(output: &mut impl std::io::BufRead, text: &str) {
    let found = output.lines().any(|line| line.unwrap().contains(text));
    assert!(found, "{text:?} does not come");
}

#[test]
fn a_client_that_is_wscat_is_answered() {
    let server = Running::start(&["listen", "0", "--echo"]);
    let url = server.error_line("listening on ");
    let Some(mut wscat) = wscat(&["-c", &url, "-x", "hello", "-w", "0"]) else { return };
    let watch = watchdog(wscat.0.id());
    let input = wscat.0.stdin.take();
    let mut output = BufReader::new(wscat.0.stdout.take().unwrap());
    read_until(&mut output, "hello");
    assert!(wscat.0.wait().unwrap().success());
    drop((input, output, watch));
}

#[test]
fn a_server_that_is_wscat_answers() {
    let port = free_port().to_string();
    let Some(mut wscat) = wscat(&["-l", &port]) else { return };
    let watch = watchdog(wscat.0.id());
    // The client waits until wscat listens.
    let mut client = Running::start(&[&format!("ws://localhost:{port}/"), "--reconnect", "-n", "1"]);
    client.send("hello\n");
    let mut output = BufReader::new(wscat.0.stdout.take().unwrap());
    read_until(&mut output, "hello");
    writeln!(wscat.0.stdin.as_mut().unwrap(), "answer").unwrap();
    assert_eq!(client.line(), "answer");
    assert_eq!(client.wait().code, 0);
    drop((output, watch));
}

/// nginx with TLS in front of a server. Writes the authority to `ca.pem`.
fn nginx(folder: &Folder, port: u16, upstream: &str) -> Option<Reaped> {
    let identity = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let cert = folder.write("ca.pem", identity.cert.pem());
    let key = folder.write("key.pem", identity.signing_key.serialize_pem());
    let paths: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {};", folder.path(kind)))
        .concat();
    let config = format!(
        "daemon off; master_process off; pid {pid}; error_log stderr; events {{}}
        http {{ access_log off; {paths}
            server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {cert}; ssl_certificate_key {key};
                location / {{ proxy_pass http://{upstream}; proxy_http_version 1.1; proxy_set_header Host $host;
                    proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; }} }} }}",
        pid = folder.path("pid"),
    );
    let config = folder.write("nginx.conf", config);
    for program in ["nginx", "/usr/sbin/nginx"] {
        let mut command = Command::new(program);
        command.args(["-c", &config, "-p", &folder.path(""), "-e", "stderr"]);
        if let Ok(child) = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn() {
            return Some(Reaped(child));
        }
    }
    skip("nginx");
    None
}

#[test]
fn a_server_behind_nginx_comes_back() {
    let start = |port: &str| {
        let server = Running::start(&["listen", port, "--echo"]);
        let url = server.error_line("listening on ");
        (server, url.trim_start_matches("ws://").trim_end_matches('/').to_owned())
    };
    let (server, upstream) = start("0");
    let folder = Folder::new("nginx");
    let port = free_port();
    let Some(_nginx) = nginx(&folder, port, &upstream) else { return };
    let url = format!("wss://localhost:{port}/");
    let mut client =
        Running::start(&[&url, "--cacert", &folder.path("ca.pem"), "--reconnect", "--linger", "0"]);
    client.error_line("* connected");
    client.send("one\n");
    assert_eq!(client.line(), "one");
    drop(server);
    client.error_line("* the connection ended");
    // nginx answers for the server that is not there.
    let refusal = client.error_line("* connecting failed: the server refused the upgrade with status ");
    assert!(refusal.starts_with("502"), "{refusal}");
    client.send("two\n");
    let (_server, _) = start(upstream.rsplit_once(':').unwrap().1);
    client.error_line("* connected again");
    assert_eq!(client.line(), "two");
    client.end_input();
    assert_eq!(client.wait().code, 0);
}
