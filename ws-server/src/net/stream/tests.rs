//! Sockets that leave a reactor, and the budget of writes.

use std::{
    future::poll_fn,
    io::Write as _,
    net::{TcpListener, TcpStream},
    sync::Arc,
    task::Waker,
};

use rustix::event::{
    PollFd, PollFlags, Timespec,
    epoll::{self, CreateFlags, Event, EventData, EventFlags},
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::net::async_fd::watch;

const NO_WAIT: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

/// A socket on the epoll descriptor, and its peer. The peer has sent a byte.
fn readable(epoll: &Arc<AsyncFd<OwnedFd>>) -> (ServerStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (stream, _) = listener.accept().unwrap();
    stream.set_nonblocking(true).unwrap();
    epoll::add(epoll, &stream, EventData::new_u64(7), EventFlags::IN | EventFlags::ET).unwrap();
    peer.write_all(b"x").unwrap();
    rustix::event::poll(&mut [PollFd::new(&stream, PollFlags::IN)], None).unwrap();
    (ServerStream::on_reactor(Socket::new(stream), Arc::downgrade(epoll)), peer)
}

fn new_epoll() -> Arc<AsyncFd<OwnedFd>> {
    Arc::new(watch(epoll::create(CreateFlags::CLOEXEC).unwrap()).unwrap())
}

fn events(epoll: &Arc<AsyncFd<OwnedFd>>) -> Vec<Event> {
    let mut events = Vec::with_capacity(4);
    epoll::wait(epoll, rustix::buffer::spare_capacity(&mut events), Some(&NO_WAIT)).unwrap();
    events
}

#[tokio::test]
async fn a_reactor_has_no_events_of_a_socket_that_has_left() {
    let epoll = new_epoll();
    let (staying, _peer) = readable(&epoll);
    assert_eq!(events(&epoll).len(), 1);
    let (leaving, mut peer) = readable(&epoll);
    let leaving = leaving.leave_reactor();
    peer.write_all(b"x").unwrap();
    drop(peer);
    assert_eq!(events(&epoll).len(), 0);
    drop((staying, leaving));
}

#[tokio::test]
async fn a_socket_that_has_left_is_registered_by_its_first_use_in_a_runtime() {
    let epoll = new_epoll();
    let (stream, mut peer) = readable(&epoll);
    let mut stream = stream.leave_reactor();
    // The reactor may end first.
    drop(epoll);
    let (mut stream, used) = std::thread::spawn(move || {
        let mut byte = [0];
        let mut buffer = ReadBuf::new(&mut byte);
        let read = Pin::new(&mut stream).poll_read(&mut Context::from_waker(Waker::noop()), &mut buffer);
        (stream, read)
    })
    .join()
    .unwrap();
    let Poll::Ready(Err(error)) = used else { panic!("{used:?}") };
    assert_eq!(error.kind(), io::ErrorKind::Unsupported);
    assert_eq!(stream.peer_addr().unwrap(), peer.local_addr().unwrap());
    let mut byte = [0];
    assert_eq!(stream.read(&mut byte).await.unwrap(), 1);
    let reading = tokio::spawn(async move { stream.read(&mut byte).await.map(|read| (stream, read)) });
    peer.write_all(b"y").unwrap();
    let (stream, read) = reading.await.unwrap().unwrap();
    assert_eq!((read, stream.is_tcp()), (1, true));
}

#[tokio::test]
async fn a_socket_that_has_left_can_be_adopted_again() {
    let epoll = new_epoll();
    let (stream, _peer) = readable(&epoll);
    assert!(matches!(stream.leave_reactor().detach(), Ok(Detached::Tcp(_))));
}

#[tokio::test]
async fn a_task_that_only_writes_lets_others_run() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let _peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (stream, _) = listener.accept().unwrap();
    stream.set_nonblocking(true).unwrap();
    let mut stream = ServerStream::from(tokio::net::TcpStream::from_std(stream).unwrap());
    stream.write_all(b"x").await.unwrap();
    let written = poll_fn(|cx| {
        let is_written = |_: &usize| Pin::new(&mut stream).poll_write(cx, b"x").is_ready();
        Poll::Ready((0..1000).take_while(is_written).count())
    });
    // The socket has room for all of them. tokio's cooperative budget has not.
    assert!((1..1000).contains(&written.await));
}
