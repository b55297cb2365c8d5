//! The recipes of the README, as they are there. Only the servers are replaced.

use std::{
    path::Path,
    process::{Command, Stdio},
    thread,
};

use rcgen::generate_simple_self_signed;
use ws_server::{
    Message, Request, Server, Tls,
    rustls::{
        RootCertStore, ServerConfig,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
        server::WebPkiClientVerifier,
    },
};

use crate::support::{Folder, Ws, echo, echo_server, log, run, run_bytes, serve, watchdog};

/// The script of a recipe.
fn script(number: u32) -> String {
    let readme = include_str!("../../README.md");
    let (_, recipe) = readme.split_once(&format!("\n### {number}. ")).expect("the recipe is there");
    let (_, script) = recipe.split_once("```sh\n").expect("it has a script");
    script.split_once("```").expect("the script ends").0.to_owned()
}

/// A shell that runs a recipe in a folder.
fn shell(number: u32, servers: &[(&str, &str)], folder: &Folder) -> Command {
    let mut script = script(number);
    for (documented, local) in servers {
        assert!(script.contains(documented), "{script}");
        script = script.replace(documented, local);
    }
    let binaries = Path::new(env!("CARGO_BIN_EXE_ws")).parent().unwrap().to_owned();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let paths = std::env::join_paths(std::iter::once(binaries).chain(std::env::split_paths(&path))).unwrap();
    let mut command = Command::new("sh");
    command.args(["-ec", &script]).current_dir(folder.path("")).env("PATH", paths);
    command
}

/// Runs a recipe, and returns its output.
#[track_caller]
fn cook(number: u32, servers: &[(&str, &str)], folder: &Folder) -> String {
    finish(&mut shell(number, servers, folder))
}

#[track_caller]
fn finish(command: &mut Command) -> String {
    let output = run_bytes(command, b"");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Trades of two symbols, without an end. A subscription is not needed.
async fn feed(mut ws: Ws, _: Request) {
    for number in 0_u64.. {
        let symbol = if number % 3 == 2 { "BTC-USD" } else { "ETH-USD" };
        if ws.send(format!("{{\"symbol\":\"{symbol}\",\"number\":{number}}}")).await.is_err() {
            return;
        }
    }
}

fn feed_server() -> String {
    format!("ws://{}/", serve(Server::builder(), feed))
}

#[test]
fn recipe_1_asks_and_prints_the_answer() {
    let folder = Folder::new("recipe-1");
    assert_eq!(cook(1, &[("wss://echo.example/", &echo_server())], &folder), "hello\n");
}

#[test]
fn recipe_2_writes_a_feed_to_a_file() {
    let folder = Folder::new("recipe-2");
    cook(2, &[("wss://feed.example/", &feed_server())], &folder);
    let trades = folder.read("trades.txt");
    assert_eq!(trades.lines().count(), 1000);
    assert!(trades.ends_with("\"number\":999}\n"), "{trades}");
}

#[test]
fn recipe_3_follows_a_feed_until_something_happens() {
    let folder = Folder::new("recipe-3");
    let output = cook(3, &[("wss://feed.example/", &feed_server())], &folder);
    assert_eq!(output, "{\"symbol\":\"BTC-USD\",\"number\":2}\n");
}

#[test]
fn recipe_4_records_a_feed_and_sends_it_to_another_server() {
    let folder = Folder::new("recipe-4");
    let (saw, messages) = log::<Message>();
    let sink = serve(Server::builder(), move |mut ws, _| {
        let saw = saw.clone();
        async move {
            while let Some(message) = ws.recv().await {
                saw(message);
            }
        }
    });
    let sink = format!("ws://{sink}/");
    cook(4, &[("wss://feed.example/", &feed_server()), ("wss://sink.example/", &sink)], &folder);
    for number in 0..100 {
        let message = messages.next();
        let text = message.as_text().unwrap();
        assert!(text.ends_with(&format!("\"number\":{number}}}")), "{text}");
    }
}

#[test]
fn recipe_5_loads_an_echo_server() {
    let folder = Folder::new("recipe-5");
    let output = cook(5, &[("wss://echo.example/", &echo_server())], &folder);
    assert!(output.starts_with("50 connections, 2000 messages of 128 bytes, 2000 answers"), "{output}");
}

#[test]
fn recipe_6_sends_a_token_as_kubernetes_expects_it() {
    let folder = Folder::new("recipe-6");
    let builder = Server::builder().on_request(|request| {
        // base64url of "the token", without padding
        let token = "base64url.bearer.authorization.k8s.io.dGhlIHRva2Vu";
        let offered = request.offered_subprotocols();
        let is_known = offered.iter().any(|name| name == token);
        request.select_subprotocol(&["v4.channel.k8s.io"]);
        if is_known { Ok(()) } else { Err(ws_server::Rejection::new(http::StatusCode::UNAUTHORIZED)) }
    });
    let url = serve(builder, |mut ws, _| async move {
        let _ = ws.send("done").await;
        while ws.recv().await.is_some() {}
    });
    let servers = [("wss://kube.example/", &*format!("ws://{url}/"))];
    let mut shell = shell(6, &servers, &folder);
    assert_eq!(finish(shell.env("TOKEN", "the token")), "done\n");
}

#[test]
fn recipe_7_controls_a_browser() {
    let folder = Folder::new("recipe-7");
    let url = serve(Server::builder(), |mut ws, request| async move {
        assert_eq!(request.path(), "/devtools/browser/the-id");
        while let Some(message) = ws.recv().await {
            let call: serde_json::Value = serde_json::from_str(message.as_text().unwrap()).unwrap();
            assert_eq!(call["method"], "Browser.getVersion");
            let _ = ws.send(format!("{{\"id\":{},\"result\":{{}}}}", call["id"])).await;
        }
    });
    let mut shell = shell(7, &[("127.0.0.1:9222", &url.to_string())], &folder);
    assert_eq!(finish(shell.env("ID", "the-id")), "{\"id\":1,\"result\":{}}\n");
}

#[test]
fn recipe_8_uses_a_private_authority_and_a_client_certificate() {
    let folder = Folder::new("recipe-8");
    let ours = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let theirs = generate_simple_self_signed(["client".to_owned()]).unwrap();
    folder.write("ca.pem", ours.cert.pem());
    folder.write("client.pem", theirs.cert.pem());
    folder.write("client.key", theirs.signing_key.serialize_pem());
    let mut roots = RootCertStore::empty();
    roots.add(theirs.cert.der().clone()).unwrap();
    let provider = std::sync::Arc::new(ws_server::rustls::crypto::ring::default_provider());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone()).build().unwrap();
    let key = PrivateKeyDer::from_pem_slice(ours.signing_key.serialize_pem().as_bytes()).unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![CertificateDer::from(ours.cert.der().to_vec())], key)
        .unwrap();
    let port = serve(Server::builder().tls(Tls::from_config(config.into())), echo).port();
    let url = format!("wss://localhost:{port}/");
    assert_eq!(cook(8, &[("wss://secure.example/", &url)], &folder), "hello\n");
}

#[test]
fn recipe_9_checks_that_a_server_is_alive() {
    let folder = Folder::new("recipe-9");
    assert_eq!(cook(9, &[("wss://echo.example/", &echo_server())], &folder), "alive\n");
}

#[test]
fn recipe_10_serves_a_shell_script() {
    let folder = Folder::new("recipe-10");
    let mut shell = shell(10, &[("ws listen 9001", "exec ws listen 0")], &folder);
    let mut server = shell.stderr(Stdio::piped()).spawn().unwrap();
    let _watch = watchdog(server.id());
    let mut line = String::new();
    let mut stderr = std::io::BufReader::new(server.stderr.take().unwrap());
    std::io::BufRead::read_line(&mut stderr, &mut line).unwrap();
    let url = line.trim().strip_prefix("listening on ").unwrap();
    assert_eq!(run(&[url, "-n", "1"], b"hello\n").ok(), "you said hello\n");
    server.kill().unwrap();
    server.wait().unwrap();
}

#[test]
fn recipe_11_sends_a_file_as_one_message() {
    let folder = Folder::new("recipe-11");
    let photo: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    folder.write("photo.jpg", &photo);
    cook(11, &[("wss://echo.example/", &echo_server())], &folder);
    assert!(std::fs::read(folder.path("answer.jpg")).unwrap() == photo);
}

#[test]
fn recipe_12_talks_to_a_service_on_a_unix_socket() {
    let folder = Folder::new("recipe-12");
    let path = folder.path("app.sock");
    let (listening, wait) = std::sync::mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let server = Server::builder().bind_unix(path).unwrap();
            listening.send(()).unwrap();
            server.serve(echo).await;
        });
    });
    wait.recv().unwrap();
    assert_eq!(cook(12, &[], &folder), "hello\n");
}
