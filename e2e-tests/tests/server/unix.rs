//! Listening on a Unix socket, with both APIs and on both engines.

use std::{
    fs,
    io::ErrorKind,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use e2e_tests::{harness, server::GRACE};
use ws_client::CloseCode;
use ws_server::{Conn, Handler, MessageRef, Rejection, Request, Server};

fn socket(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("ws-server-unix-{name}-{}.sock", std::process::id()))
}

struct Echo;

impl Handler for Echo {
    type Context = ();

    fn accept(request: &mut Request, _context: &()) -> Result<Self, Rejection> {
        assert_eq!(request.peer_addr(), None);
        Ok(Self)
    }

    fn on_message(&mut self, conn: &mut Conn<'_>, message: MessageRef<'_>) {
        let _ = conn.send(message);
    }
}

#[test]
fn a_unix_socket_works_like_any_other() {
    harness::run(async {
        for shards in [0, 1, 2] {
            let path = socket(&format!("echo-{shards}"));
            let server = Server::builder().bind_unix(&path).unwrap();
            assert_eq!(server.local_addr().unwrap_err().kind(), ErrorKind::Unsupported);
            let handle = server.shutdown_handle();
            let serving = tokio::spawn(async move {
                match shards {
                    0 => drop(server.serve_handler::<Echo>(()).await),
                    shards => drop(server.sharded(shards).serve_handler::<Echo>(()).await.unwrap()),
                }
            });
            let url = format!("ws+unix:{}", path.display());
            let mut clients = Vec::new();
            for number in 0..3 {
                let mut ws = ws_client::connect(&url).await.unwrap();
                for text in [format!("hello {number}"), "x".repeat(200_000)] {
                    ws.send(text.as_str()).await.unwrap();
                    assert_eq!(ws.recv().await.unwrap().as_text(), Some(text.as_str()));
                }
                clients.push(ws);
            }
            assert!(clients.pop().unwrap().close(CloseCode::NORMAL, "").await.is_clean());
            let drain = async {
                for mut ws in clients {
                    assert!(ws.recv().await.is_none());
                    assert_eq!(ws.close_info().unwrap().code(), 1001);
                }
            };
            tokio::join!(handle.shutdown(GRACE), drain);
            serving.await.unwrap();
            assert!(!path.exists());
        }
    });
}

#[test]
fn a_socket_that_is_there_is_not_taken_over() {
    harness::run(async {
        let path = socket("taken");
        let server = Server::builder().bind_unix(&path).unwrap();
        let error = Server::builder().bind_unix(&path).expect_err("it is in use");
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        assert!(path.exists());
        drop(server);
        assert!(!path.exists());
    });
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
}

/// The credentials of this process.
fn umask() -> u32 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let umask = status.lines().find_map(|line| line.strip_prefix("Umask:")).unwrap();
    u32::from_str_radix(umask.trim(), 8).unwrap()
}

#[test]
fn the_file_has_the_mode_that_is_set_whatever_the_umask() {
    harness::run(async {
        let umask = umask();
        assert_ne!(umask & 0o777, 0, "it takes something away here");
        let path = socket("mode");
        for set in [0o600, 0o660, 0o666, 0o777] {
            let server = Server::builder().unix_mode(set).bind_unix(&path).unwrap();
            assert_eq!(mode(&path), set, "{set:o}");
            drop(server);
            assert!(!path.exists());
        }
        let server = Server::builder().bind_unix(&path).unwrap();
        assert_eq!(mode(&path), 0o777 & !umask);
        drop(server);
        let error = Server::builder().unix_mode(0o1777).bind_unix(&path).expect_err("it is no mode");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("unix_mode = 0o1777"), "{error}");
        assert!(!path.exists());
    });
}
