//! The options of a connection, and the errors of connecting.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
};

use e2e_tests::free_port;
use ws_server::{Rejection, Request, Server};

use crate::support::{Folder, Ws, echo, echo_server, run, run_bytes, serve, ws};

/// A server that answers with the value of a request header: the path names it.
fn header_server() -> SocketAddr {
    serve(
        Server::builder().on_request(|request| {
            request.select_subprotocol(&["v2", "v1"]);
            Ok(())
        }),
        send_header,
    )
}

async fn send_header(mut ws: Ws, request: Request) {
    let name = &request.path()[1..];
    let _ = ws.send(request.header(name).unwrap_or("(none)")).await;
    while ws.recv().await.is_some() {}
}

/// What the server got in this header.
#[track_caller]
fn header(name: &str, args: &[&str]) -> String {
    let url = format!("ws://{}/{name}", header_server());
    run(&[&[&url, "-n", "1", "--no-input"], args].concat(), b"").ok().trim_end().to_owned()
}

#[test]
fn usage_errors_have_exit_code_1() {
    for args in
        [&["--no-such-option"][..], &["ws://127.0.0.1:1", "-n", "0"], &["ws://127.0.0.1:1", "--linger", "x"]]
    {
        let ended = run(args, b"");
        assert_eq!(ended.code, 1, "{ended:?}");
    }
    run(&["lisen"], b"").failed(1, &["neither a URL nor a command"]);
    run(&["ftp://a.example"], b"").failed(1, &["unsupported URL scheme \"ftp\""]);
    assert_eq!(run(&["--help"], b"").code, 0);
    assert!(run(&["--version"], b"").ok().starts_with("ws "));
}

#[test]
fn a_url_without_a_scheme_is_ws() {
    let url = echo_server();
    let address = url.strip_prefix("ws://").unwrap();
    assert_eq!(run(&[address, "-n", "1"], b"a\n").ok(), "a\n");
}

#[test]
fn headers_of_the_command_line_are_sent() {
    assert_eq!(header("x-a", &["-H", "X-A: one two"]), "one two");
    assert_eq!(header("authorization", &["-u", "me:secret"]), "Basic bWU6c2VjcmV0");
    assert_eq!(header("origin", &["--origin", "https://a.example"]), "https://a.example");
    assert_eq!(header("sec-websocket-protocol", &["-s", "v1", "-s", "v2"]), "v1, v2");
    let compression = header("sec-websocket-extensions", &[]);
    assert!(compression.starts_with("permessage-deflate"), "{compression}");
    assert_eq!(header("sec-websocket-extensions", &["--no-compress"]), "(none)");
}

#[test]
fn a_bearer_token_comes_from_the_argument_a_file_or_the_environment() {
    assert_eq!(header("authorization", &["--bearer", "abc"]), "Bearer abc");
    let folder = Folder::new("bearer");
    let file = folder.write("token", "from-file\n");
    assert_eq!(header("authorization", &["--bearer", &format!("@{file}")]), "Bearer from-file");
    let url = format!("ws://{}/authorization", header_server());
    let mut command = ws(&[&url, "-n", "1", "--no-input", "--bearer", "env:THE_TOKEN"]);
    let output = run_bytes(command.env("THE_TOKEN", "from-env"), b"");
    assert_eq!(output.stdout, b"Bearer from-env\n");
    run(&[&url, "--bearer", "env:NO_SUCH_VARIABLE"], b"").failed(1, &["NO_SUCH_VARIABLE"]);
    run(&[&url, "--bearer", "@/no/such/file"], b"").failed(1, &["/no/such/file", "No such file"]);
}

#[test]
fn a_refusal_has_exit_code_4_and_its_body_is_shown_escaped() {
    let url = serve(
        Server::builder().on_request(|_| {
            Err(Rejection::new(ws_server_status(401)).with_text("no\u{1b}[31m token\nsecond line"))
        }),
        echo,
    );
    let ended = run(&[&format!("ws://{url}"), "--bearer", "secret-token"], b"");
    assert!(ended.stderr.contains("no\\x1b[31m token\nsecond line"), "{ended:?}");
    assert!(!ended.stderr.contains("secret-token"), "{ended:?}");
    ended.failed(4, &["the server refused the upgrade with status 401 Unauthorized"]);
}

fn ws_server_status(code: u16) -> http::StatusCode {
    http::StatusCode::from_u16(code).unwrap()
}

#[test]
fn network_errors_have_exit_code_2_and_name_the_cause() {
    let url = format!("ws://127.0.0.1:{}", free_port());
    run(&[&url], b"").failed(2, &["cannot connect to 127.0.0.1:", ": Connection refused"]);
    run(&["ws://no-such-host.invalid/"], b"").failed(2, &["cannot resolve no-such-host.invalid"]);
    run(&["ws://a/", "--unix", "/no/such/socket"], b"").failed(2, &["/no/such/socket", "No such file"]);
}

#[test]
fn no_error_shows_credentials() {
    let url = format!("ws://me:secret@127.0.0.1:{}/", free_port());
    for args in [
        &[url.as_str()][..],
        &[&url, "-v"],
        &["ws://me:secret@:1/"],
        &[&url, "-H", "Authorization Bearer secret"],
        &[&url, "-H", "X-Token: secret\u{7f}"],
        &[&url, "--bearer", "secret\n\u{1}"],
        &[&url, "--proxy", "http://me:secret@x:y"],
        &[&url, "-u", "me:secret", "--bearer", "secret"],
    ] {
        let ended = run(args, b"");
        assert!(ended.code != 0 && !ended.stderr.contains("secret"), "{ended:?}");
    }
}

#[test]
fn verbose_shows_both_heads_without_credentials_and_twice_with_them() {
    let url = format!("ws://{}/authorization?token=secret", header_server());
    let args = [&url, "-n", "1", "--no-input", "--bearer", "secret", "-s", "v1"];
    let ended = run(&[&args[..], &["-v"]].concat(), b"");
    for line in [
        "> GET /authorization?token=… HTTP/1.1",
        "> authorization: Bearer …",
        "< HTTP/1.1 101 Switching Protocols",
        "< sec-websocket-protocol: v1",
        "* connected to 127.0.0.1:",
    ] {
        let found = ended.stderr.lines().any(|shown| shown.to_lowercase().starts_with(&line.to_lowercase()));
        assert!(found, "{line}: {}", ended.stderr);
    }
    assert!(!ended.stderr.contains("secret"), "{}", ended.stderr);
    let ended = run(&[&args[..], &["-vv"]].concat(), b"");
    assert!(
        ended.stderr.contains("Bearer secret") && ended.stderr.contains("token=secret"),
        "{}",
        ended.stderr
    );
}

#[test]
fn the_request_that_is_shown_is_the_one_that_is_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/path", listener.local_addr().unwrap());
    let server = thread::spawn(move || {
        let (socket, head) = accept_head(&listener);
        drop(socket);
        head
    });
    let ended = run(&[&url, "-vv"], b"");
    let shown: Vec<&str> =
        ended.stderr.lines().filter_map(|line| line.strip_prefix('>')).map(str::trim).collect();
    assert_eq!(shown, server.join().unwrap());
}

/// Accepts a connection and reads the head of a request.
fn accept_head(listener: &TcpListener) -> (TcpStream, Vec<String>) {
    let (socket, _) = listener.accept().unwrap();
    let mut lines = Vec::new();
    for line in BufReader::new(socket.try_clone().unwrap()).lines() {
        lines.push(line.unwrap());
        if lines.last().is_some_and(String::is_empty) {
            break;
        }
    }
    (socket, lines)
}

#[test]
fn redirects_are_followed_on_request() {
    let echo = echo_server();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    thread::spawn(move || {
        for _ in 0..2 {
            let (mut socket, _) = accept_head(&listener);
            write!(socket, "HTTP/1.1 302 Found\r\nLocation: {echo}\r\nContent-Length: 0\r\n\r\n").unwrap();
        }
    });
    run(&[&url], b"").failed(4, &["302 Found"]);
    assert_eq!(run(&[&url, "-L", "-n", "1"], b"a\n").ok(), "a\n");
}

#[test]
fn a_name_can_have_another_address() {
    let url = echo_server();
    let port = url.trim_end_matches('/').rsplit_once(':').unwrap().1.to_owned();
    let url = format!("ws://some.example:{port}/");
    let resolve = format!("some.example:{port}:127.0.0.1");
    assert_eq!(run(&[&url, "--resolve", &resolve, "-n", "1"], b"a\n").ok(), "a\n");
    run(&[&url, "--resolve", "some.example"], b"").failed(1, &["HOST:PORT:ADDRESS"]);
}

#[test]
fn a_proxy_is_used() {
    let url = echo_server();
    let address = url.trim_start_matches("ws://").trim_end_matches('/').to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = format!("http://me:secret@{}", listener.local_addr().unwrap());
    let tunnel = thread::spawn(move || {
        let (mut client, head) = accept_head(&listener);
        let mut server = TcpStream::connect(address).unwrap();
        client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        let (mut from_client, mut to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        thread::spawn(move || std::io::copy(&mut from_client, &mut to_server));
        let _ = std::io::copy(&mut server, &mut client);
        let _ = client.shutdown(std::net::Shutdown::Both);
        head
    });
    assert_eq!(run(&["ws://far.example/", "--proxy", &proxy, "-n", "1"], b"a\n").ok(), "a\n");
    let head = tunnel.join().unwrap();
    assert_eq!(head[0], "CONNECT far.example:80 HTTP/1.1");
}

#[test]
fn a_unix_socket_has_the_host_of_the_url() {
    let folder = Folder::new("unix");
    let path = folder.path("socket");
    let (listening, wait) = std::sync::mpsc::channel();
    let socket = path.clone();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let server = Server::builder().bind_unix(&socket).unwrap();
            listening.send(()).unwrap();
            server.serve(send_header).await;
        });
    });
    wait.recv().unwrap();
    let args = ["ws://some.example/host", "--unix", &path, "-n", "1", "--no-input"];
    assert_eq!(run(&args, b"").ok(), "some.example\n");
    assert_eq!(run(&[&format!("ws+unix:{path}:/host"), "-n", "1", "--no-input"], b"").ok(), "localhost\n");
}

mod tls {
    use super::*;
    use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
    use std::sync::Arc;
    use ws_server::rustls::{
        RootCertStore, ServerConfig,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
        server::WebPkiClientVerifier,
    };

    fn identity(name: &str) -> CertifiedKey<KeyPair> {
        generate_simple_self_signed([name.to_owned()]).unwrap()
    }

    fn server(identity: &CertifiedKey<KeyPair>) -> String {
        let tls =
            ws_server::Tls::from_pem(identity.cert.pem(), identity.signing_key.serialize_pem()).unwrap();
        let address = serve(Server::builder().tls(tls), echo);
        format!("wss://localhost:{}/", address.port())
    }

    #[test]
    fn an_authority_of_the_command_line_is_trusted_and_no_other() {
        let identity = identity("localhost");
        let url = server(&identity);
        let folder = Folder::new("tls");
        let authority = folder.write("ca.pem", identity.cert.pem());
        let ended = run(&[&url, "--cacert", &authority, "-v", "-n", "1"], b"a\n");
        assert!(ended.stderr.contains("* TLS 1.3, TLS13_"), "{}", ended.stderr);
        assert_eq!(ended.ok(), "a\n");
        run(&[&url], b"").failed(3, &["the TLS handshake with localhost failed: invalid peer certificate"]);
        assert_eq!(run(&[&url, "--insecure", "-n", "1"], b"a\n").ok(), "a\n");
        run(&[&url, "--cacert", "/no/such/file"], b"").failed(1, &["--cacert: /no/such/file"]);
        let not_pem = folder.write("not.pem", "nothing");
        run(&[&url, "--cacert", &not_pem], b"").failed(3, &["the TLS settings are invalid"]);
    }

    #[test]
    fn a_client_certificate_is_sent() {
        let (ours, theirs) = (identity("localhost"), identity("client"));
        let mut roots = RootCertStore::empty();
        roots.add(theirs.cert.der().clone()).unwrap();
        let provider = Arc::new(ws_server::rustls::crypto::ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()
            .unwrap();
        let chain = vec![CertificateDer::from(ours.cert.der().to_vec())];
        let key = PrivateKeyDer::from_pem_slice(ours.signing_key.serialize_pem().as_bytes()).unwrap();
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key)
            .unwrap();
        let tls = ws_server::Tls::from_config(Arc::new(config));
        let url = format!("wss://localhost:{}/", serve(Server::builder().tls(tls), echo).port());
        let folder = Folder::new("mtls");
        let authority = folder.write("ca.pem", ours.cert.pem());
        let chain = folder.write("client.pem", theirs.cert.pem());
        let key = folder.write("client.key", theirs.signing_key.serialize_pem());
        let args = [&url, "--cacert", &authority, "--cert", &chain, "--key", &key, "-n", "1"];
        assert_eq!(run(&args, b"a\n").ok(), "a\n");
        assert_ne!(run(&args[..3], b"a\n").code, 0);
    }
}
