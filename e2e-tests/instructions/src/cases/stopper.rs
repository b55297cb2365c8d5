//! Stops a server while its peers prepare their next step. So it finds all of them ready at once, and what is counted
//! does not depend on which thread runs first.

use std::{
    io::Write as _,
    net::{SocketAddr, TcpStream},
    sync::{
        Arc, Mutex,
        mpsc::{self, Receiver, Sender},
    },
};

use super::wire::{BINARY, client_frame, open};

/// The message that stops the server. No case sends another one of one byte.
const STOP: &[u8] = b"!";

/// The server's half.
#[derive(Clone)]
pub(crate) struct Stop {
    stopped: Sender<()>,
    resumed: Arc<Mutex<Receiver<()>>>,
}

/// The peers' half.
pub(crate) struct Stopper {
    stopped: Receiver<()>,
    resume: Sender<()>,
    control: Option<TcpStream>,
}

pub(crate) fn stopper() -> (Stop, Stopper) {
    let (stopped, is_stopped) = mpsc::channel();
    let (resume, resumed) = mpsc::channel();
    let stop = Stop { stopped, resumed: Arc::new(Mutex::new(resumed)) };
    (stop, Stopper { stopped: is_stopped, resume, control: None })
}

impl Stop {
    /// Waits as long as the peers want, if this message says so. Returns whether it does.
    #[inline]
    pub(crate) fn obey(&self, message: &[u8]) -> bool {
        let stops = message == STOP;
        if stops {
            self.wait();
        }
        stops
    }

    #[cold]
    #[inline(never)]
    fn wait(&self) {
        self.stopped.send(()).expect("the peers wait");
        self.resumed.lock().expect("no panic").recv().expect("the peers resume");
    }
}

impl Stopper {
    /// Opens the connection that stops the server.
    pub(crate) fn connect(&mut self, addr: SocketAddr) {
        self.control = Some(open(addr));
    }

    pub(crate) fn stop(&mut self) {
        let control = self.control.as_mut().expect("a connection");
        control.write_all(&client_frame(BINARY, STOP)).expect("the server reads");
        self.stopped.recv().expect("the server stops");
    }

    pub(crate) fn resume(&self) {
        self.resume.send(()).expect("the server waits");
    }
}
