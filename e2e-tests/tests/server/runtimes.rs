//! Runtimes without the drivers that a server needs, and a runtime that ends while a server runs.

use std::{
    future::Future,
    io::{self, ErrorKind, Read as _, Write as _},
    net::TcpStream,
    pin::pin,
    sync::mpsc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use e2e_tests::{
    harness::isolated,
    raw_peer::{DEADLINE, RequestHead},
    server::{GRACE, counts},
};
use tokio::runtime::{Builder, Runtime};
use ws_server::{
    Acceptor, CloseInfo, Conn, Handler, MessageRef, Rejection, Request, Server, ServerStream, WebSocket,
    error::AcceptError,
};

/// The output of a future that is ready at its first poll.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits"),
    }
}

fn expect_unsupported<T>(result: io::Result<T>, what: &str) {
    let error = result.err().expect("it cannot work");
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    assert!(error.to_string().contains(what), "{error}");
}

fn complete() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
fn outside_of_a_runtime_bind_is_an_error() {
    isolated(|| {
        expect_unsupported(at_once(Server::bind("127.0.0.1:0")), "tokio runtime");
        // A host name would be resolved on the runtime.
        expect_unsupported(at_once(Server::bind("localhost:0")), "tokio runtime");
    });
}

#[test]
fn in_a_runtime_without_io_or_timers_bind_is_an_error() {
    isolated(|| {
        let without_io = Builder::new_current_thread().enable_time().build().unwrap();
        expect_unsupported(without_io.block_on(Server::bind("127.0.0.1:0")), "enable_io");
        let without_timers = Builder::new_current_thread().enable_io().build().unwrap();
        expect_unsupported(without_timers.block_on(Server::bind("127.0.0.1:0")), "enable_time");
    });
}

#[test]
fn outside_of_a_runtime_and_without_timers_an_acceptor_is_an_error() {
    isolated(|| {
        let acceptor = Acceptor::new();
        let accept = || at_once(acceptor.accept(tokio::io::empty()));
        let without_timers = Builder::new_current_thread().build().unwrap();
        for (result, what) in
            [(accept(), "tokio runtime"), (without_timers.block_on(async { accept() }), "enable_time")]
        {
            let Err(AcceptError::Io(error)) = result else { panic!("it cannot work") };
            expect_unsupported(Err::<(), _>(error), what);
        }
    });
}

#[test]
fn a_server_that_is_run_where_it_cannot_work_ends_at_once() {
    isolated(|| {
        const NOTHING: (usize, usize, bool) = (0, 0, false);
        for build in [Builder::enable_time, Builder::enable_io] {
            let incomplete = build(&mut Builder::new_current_thread()).build().unwrap();
            let server = complete().block_on(Server::bind("127.0.0.1:0")).unwrap();
            let handle = server.shutdown_handle();
            assert_eq!(counts(incomplete.block_on(server.serve(async |ws, _| drop(ws)))), NOTHING);
            assert_eq!(counts(complete().block_on(handle.shutdown(GRACE))), NOTHING);
        }
        let server = complete().block_on(Server::bind("127.0.0.1:0")).unwrap();
        let without_timers = Builder::new_current_thread().enable_io().build().unwrap();
        let result = without_timers.block_on(server.sharded(1).serve(async |ws, _| drop(ws)));
        expect_unsupported(result, "enable_time");
    });
}

/// Reports when it is dropped.
struct Observed(mpsc::Sender<()>);

impl Handler for Observed {
    type Context = mpsc::Sender<()>;

    fn accept(_: &mut Request, ended: &mpsc::Sender<()>) -> Result<Self, Rejection> {
        Ok(Self(ended.clone()))
    }

    fn on_message(&mut self, _: &mut Conn<'_>, _: MessageRef<'_>) {}

    fn on_close(&mut self, _: &mut Conn<'_>, _: &CloseInfo) {
        let _ = self.0.send(());
    }
}

#[test]
fn a_runtime_that_is_shut_down_cuts_all_connections_off() {
    isolated(|| {
        for (shards, has_handler) in [(0, false), (1, false), (2, false), (0, true), (1, true), (2, true)] {
            let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
            let server = runtime.block_on(Server::bind("127.0.0.1:0")).unwrap();
            let (addr, handle) = (server.local_addr().unwrap(), server.shutdown_handle());
            let (sender, ended) = mpsc::channel();
            runtime.spawn(async move {
                match (shards, has_handler) {
                    (0, true) => drop(server.serve_handler::<Observed>(sender).await),
                    (0, false) => drop(server.serve(|mut ws, _| async move { drop(ws.recv().await) }).await),
                    (_, true) => drop(server.sharded(shards).serve_handler::<Observed>(sender).await),
                    (_, false) => {
                        let serve = |mut ws: WebSocket<ServerStream>, _| async move { drop(ws.recv().await) };
                        drop(server.sharded(shards).serve(serve).await);
                    }
                }
            });
            let mut peer = TcpStream::connect(addr).unwrap();
            peer.set_read_timeout(Some(DEADLINE)).unwrap();
            peer.write_all(&RequestHead::new(addr, "/").to_bytes()).unwrap();
            let mut head = [0; 129];
            peer.read_exact(&mut head).unwrap();
            assert!(head.starts_with(b"HTTP/1.1 101 "));
            runtime.shutdown_timeout(DEADLINE);
            // No Close arrives, only the end of the stream or a reset.
            let mut rest = Vec::new();
            match peer.read_to_end(&mut rest) {
                Ok(_) => assert_eq!(rest, b"", "{shards} shards"),
                Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}"),
            }
            let report = complete().block_on(handle.shutdown(Duration::ZERO));
            assert!(report.forced, "{report:?}");
            // Waits until the last connection is gone.
            let ends = ended.iter().count();
            assert_eq!(ends, usize::from(has_handler && shards > 0), "{shards} shards");
        }
    });
}
