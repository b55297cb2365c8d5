//! `socket-activation`: sockets that another process has opened, as systemd passes them.

use std::{
    net::{SocketAddr, TcpListener},
    os::{fd::OwnedFd, unix::net::UnixListener},
    process::{Command, Stdio},
};

use e2e_tests::{
    harness,
    raw_peer::{RawClient, RawFrame},
    server::answer_close,
};
use rustix::process::Signal;

use crate::program::{Program, SOCKET_ACTIVATION, run};

/// Starts the program with the sockets as descriptors 3 and 4.
fn activate(tcp: &TcpListener, unix: &UnixListener) -> Program {
    let shell = "exec 3<&0 4<&2 </dev/null 2>&1\n\
                 LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=public:local exec \"$0\"";
    let mut command = Command::new("sh");
    command
        .args(["-c", shell, SOCKET_ACTIVATION])
        .stdin(OwnedFd::from(tcp.try_clone().unwrap()))
        .stdout(Stdio::piped())
        .stderr(OwnedFd::from(unix.try_clone().unwrap()));
    Program::spawn(command)
}

async fn echo(client: &mut RawClient, text: &str) {
    client.send(RawFrame::text(text)).await;
    client.expect_text(text).await;
}

#[test]
fn the_sockets_outlive_the_program_and_no_connection_is_refused() {
    harness::run(async {
        let path = std::env::temp_dir().join(format!("ws-activation-{}.sock", std::process::id()));
        let (tcp, unix) = (TcpListener::bind("127.0.0.1:0").unwrap(), UnixListener::bind(&path).unwrap());
        let addr: SocketAddr = tcp.local_addr().unwrap();
        // Clients that connect before the program runs wait for it.
        let mut early = RawClient::connect(addr).await;
        for run in 0..2 {
            let mut program = activate(&tcp, &unix);
            assert_eq!(program.line(), format!("public: listening on {addr}"));
            assert_eq!(program.line(), format!("local: listening on {}", path.display()));
            early.upgrade("/").await;
            echo(&mut early, &format!("hello {run}")).await;
            let mut local = ws_client::connect(&format!("ws+unix:{}", path.display())).await.unwrap();
            local.send("local").await.unwrap();
            assert_eq!(local.recv().await.unwrap().as_text(), Some("local"));
            program.signal(Signal::TERM);
            answer_close(early, 1012).await;
            assert!(local.recv().await.is_none());
            assert_eq!(local.close_info().unwrap().code(), 1012);
            assert!(program.end().await.status.success());
            early = RawClient::connect(addr).await;
        }
        drop(early);
        std::fs::remove_file(&path).unwrap();
    });
}

#[test]
fn without_sockets_the_program_says_so() {
    harness::run(async {
        let expected = "socket-activation: no sockets were passed to this process\n";
        run(SOCKET_ACTIVATION, &[]).await.assert(1, "", expected);
    });
}
