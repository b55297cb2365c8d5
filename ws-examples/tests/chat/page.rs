//! `chat-server`: its command line and the files of its page.

use std::net::SocketAddr;

use e2e_tests::{harness, raw_peer::RawClient};

use crate::{
    program::{Program, run},
    site::expect_files,
};

pub(crate) const CHAT_SERVER: &str = env!("CARGO_BIN_EXE_chat-server");

/// Starts a server on a free port.
pub(crate) fn start(options: &[&str]) -> (Program, SocketAddr) {
    let args = [&["127.0.0.1:0"], options].concat();
    let (server, url) = Program::server(CHAT_SERVER, &args, "listening on http://");
    let addr = url.strip_suffix('/').expect("the URL of the page").parse().expect("an address");
    (server, addr)
}

#[test]
fn the_page_and_each_file_that_it_names_are_served_on_the_same_port() {
    harness::run(async {
        let (_server, addr) = start(&[]);
        expect_files(addr, 8).await;
    });
}

#[test]
fn a_page_of_another_origin_gets_403() {
    harness::run(async {
        let (_server, addr) = start(&[]);
        let mut client = RawClient::connect(addr).await;
        let request = client.request("/socket").with("Origin", "https://other.example");
        assert_eq!(client.upgrade_with(request.to_bytes()).await.status(), 403);
    });
}

#[test]
fn help_has_the_status_0_and_an_invalid_option_2() {
    harness::run(async {
        for help in ["--help", "-h"] {
            let help = run(CHAT_SERVER, &[help]).await;
            assert!(
                help.status.success() && help.stdout.starts_with("usage: chat-server [ADDR] "),
                "{help:?}"
            );
        }
        for (args, message) in [
            (&["--what"][..], "invalid option '--what'"),
            (&["--tls-cert"], "missing argument for option '--tls-cert'"),
            (&["--redis", "redis://a", "--nats", "nats://b"], "--redis or --nats may be used once"),
            (&["--tls-cert", "a.pem"], "--tls-cert and --tls-key must be used together"),
        ] {
            run(CHAT_SERVER, args).await.assert(2, "", &format!("chat-server: {message}\n"));
        }
        let none = run(CHAT_SERVER, &["--history", "0"]).await;
        assert_eq!(none.status.code(), Some(2));
        assert!(none.stderr.contains("0 is not from 1 to 100000"), "{none:?}");
    });
}
