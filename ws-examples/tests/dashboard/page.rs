//! `dashboard`: its command line and the files of its page.

use std::net::SocketAddr;

use e2e_tests::harness;

use crate::{
    program::{Program, run},
    site::expect_files,
};

const DASHBOARD: &str = env!("CARGO_BIN_EXE_dashboard");

/// Starts a server. With port 0, on a free one.
pub(crate) fn start(addr: &str) -> (Program, SocketAddr) {
    let (server, url) = Program::server(DASHBOARD, &[addr, "--tick", "100"], "listening on http://");
    let addr = url.strip_suffix('/').expect("the URL of the page").parse().expect("an address");
    (server, addr)
}

#[test]
fn the_page_and_each_file_that_it_names_are_served_on_the_same_port() {
    harness::run(async {
        let (_server, addr) = start("127.0.0.1:0");
        expect_files(addr, 10).await;
    });
}

#[test]
fn help_has_the_status_0_and_an_invalid_option_2() {
    harness::run(async {
        run(DASHBOARD, &["--help"]).await.assert(0, "usage: dashboard [ADDR] [--tick MS]\n", "");
        run(DASHBOARD, &["--what"]).await.assert(2, "", "dashboard: invalid option '--what'\n");
        let fast = run(DASHBOARD, &["--tick", "99"]).await;
        assert_eq!(fast.status.code(), Some(2));
        assert!(fast.stderr.contains("99 is not from 100 to 10000"), "{fast:?}");
    });
}
