//! The floor on tokio: a `LocalRuntime`, one task and one `poll_fn` per connection, one scratch buffer for all, one
//! write per read.

use bench_common::server;
use floors::frames::{Echo, PAD};
use floors::{READ, Scratch, upgrade};
use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, LocalOptions};

thread_local! {
    static SCRATCH: RefCell<Box<Scratch>> = RefCell::new(Box::new([0; PAD + READ]));
}

struct Connection {
    stream: TcpStream,
    echo: Echo,
    /// The bytes that the kernel has not accepted.
    unsent: Vec<u8>,
}

impl Connection {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        SCRATCH.with_borrow_mut(|scratch| {
            loop {
                ready!(self.poll_unsent(cx))?;
                let mut buffer = ReadBuf::new(&mut scratch[PAD..]);
                ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
                let read = buffer.filled().len();
                if read == 0 {
                    return Poll::Ready(Ok(()));
                }
                let echo = self.echo.turn(&mut scratch[..], read);
                self.send(cx, &scratch[echo])?;
            }
        })
    }

    fn send(&mut self, cx: &mut Context<'_>, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match Pin::new(&mut self.stream).poll_write(cx, bytes) {
                Poll::Ready(written) => bytes = &bytes[written?..],
                Poll::Pending => {
                    self.unsent.extend_from_slice(bytes);
                    break;
                }
            }
        }
        Ok(())
    }

    fn poll_unsent(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.unsent.is_empty() {
            return Poll::Ready(Ok(()));
        }
        let mut start = 0;
        while start < self.unsent.len() {
            match Pin::new(&mut self.stream).poll_write(cx, &self.unsent[start..]) {
                Poll::Ready(written) => start += written?,
                Poll::Pending => {
                    self.unsent.drain(..start);
                    return Poll::Pending;
                }
            }
        }
        self.unsent = Vec::new();
        Poll::Ready(Ok(()))
    }
}

async fn accept(stream: TcpStream) {
    let mut head = Vec::new();
    let answer = loop {
        if stream.readable().await.is_err() {
            return;
        }
        match stream.try_read_buf(&mut head) {
            Ok(0) => return,
            Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
            Err(_) => return,
            Ok(_) => {}
        }
        if let Some(answer) = upgrade::answer(&head) {
            break answer;
        }
    };
    // A socket with an empty buffer accepts a whole response of this size.
    if answer.is_some_and(|answer| stream.try_write(&answer).is_ok_and(|sent| sent == answer.len())) {
        let mut connection = Connection { stream, echo: Echo::default(), unsent: Vec::new() };
        // A new task, so that the request's memory is not part of it.
        tokio::task::spawn_local(async move { poll_fn(|cx| connection.poll(cx)).await });
    }
}

fn main() -> io::Result<()> {
    let options = server::options();
    options.rest.finish().unwrap_or_else(|message| server::refuse(&message));
    let runtime =
        Builder::new_current_thread().enable_io().event_interval(1024).build_local(LocalOptions::default())?;
    runtime.block_on(async move {
        let listener = TcpListener::from_std(server::listen(options.listen)?)?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::task::spawn_local(accept(stream));
        }
    })
}
