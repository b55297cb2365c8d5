//! `ws URL` on a pseudo-terminal.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    process::{Child, Stdio},
    sync::mpsc,
    thread,
};

use e2e_tests::free_port;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use ws_server::{CloseCode, Message, Server};

use crate::support::{Folder, Running, echo_server, log, serve, signal, watchdog, ws};

/// The binary on a terminal, and what the terminal shows.
struct Terminal {
    child: Child,
    keyboard: File,
    output: mpsc::Receiver<Vec<u8>>,
    /// What was shown and not looked for yet.
    shown: String,
    /// The mode before the child began.
    mode: rustix::termios::Termios,
    _state: Folder,
    _watch: mpsc::Sender<()>,
}

impl Terminal {
    fn start(test: &str, args: &[&str]) -> Self {
        let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&keyboard).unwrap();
        unlockpt(&keyboard).unwrap();
        let name = ptsname(&keyboard, Vec::new()).unwrap().into_string().unwrap();
        let mode = rustix::termios::tcgetattr(&keyboard).unwrap();
        // It does not become the terminal of the test's own session.
        let no_terminal = OpenptFlags::NOCTTY.bits() as i32;
        let side = || {
            let mut options = File::options();
            Stdio::from(options.read(true).write(true).custom_flags(no_terminal).open(&name).unwrap())
        };
        let state = Folder::new(test);
        let mut command = ws(args);
        command.env("TERM", "xterm").env("XDG_STATE_HOME", state.path("")).env_remove("NO_COLOR");
        let child = command.stdin(side()).stdout(side()).stderr(side()).spawn().unwrap();
        drop(command);
        let keyboard = File::from(keyboard);
        let mut screen = keyboard.try_clone().unwrap();
        let (sender, output) = mpsc::channel();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            // An error means that the child has closed the terminal.
            while let Ok(n) = screen.read(&mut buffer) {
                if n == 0 || sender.send(buffer[..n].to_vec()).is_err() {
                    break;
                }
            }
        });
        let watch = watchdog(child.id());
        Self { child, keyboard, output, shown: String::new(), mode, _state: state, _watch: watch }
    }

    fn type_keys(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until the text is shown; returns what was shown before.
    fn wait_for(&mut self, text: &str) -> String {
        loop {
            if let Some(at) = self.shown.find(text) {
                let before = self.shown[..at].to_owned();
                self.shown.drain(..at + text.len());
                return before;
            }
            match self.output.recv() {
                Ok(bytes) => self.shown.push_str(&String::from_utf8_lossy(&bytes)),
                Err(_) => panic!("{text:?} does not come: {:?}", self.shown),
            }
        }
    }

    /// Waits for the end; returns the exit code and what was shown.
    fn end(mut self) -> (i32, String) {
        let code = self.child.wait().unwrap().code().unwrap();
        let mut shown = std::mem::take(&mut self.shown);
        while let Ok(bytes) = self.output.recv() {
            shown.push_str(&String::from_utf8_lossy(&bytes));
        }
        (code, shown)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const READY: &str = "/help lists the commands";

#[test]
fn a_line_is_sent_and_the_answer_is_shown_in_colour() {
    let mut terminal = Terminal::start("line", &[&echo_server()]);
    terminal.wait_for(READY);
    terminal.type_keys("helo\x7flo\r");
    terminal.wait_for("\x1b[32m< \x1b[0mhello");
    terminal.type_keys("/close 4001 enough\r");
    let (code, shown) = terminal.end();
    assert!(code == 0 && shown.contains("* closed: 4001"), "{code} {shown:?}");
}

#[test]
fn the_history_returns_lines_of_this_and_of_earlier_sessions() {
    let url = echo_server();
    let mut terminal = Terminal::start("history", &[&url]);
    terminal.wait_for(READY);
    terminal.type_keys("first\r");
    terminal.wait_for("< \x1b[0mfirst");
    terminal.type_keys("\x1b[A\r");
    terminal.wait_for("< \x1b[0mfirst");
    terminal.type_keys("\x04");
    let history = terminal._state.path("ws/history");
    terminal.wait_for("* closed: 1000");
    let content = std::fs::read_to_string(&history).unwrap();
    assert!(content.contains("first"), "{content}");
    {
        let mode =
            std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&history).unwrap().permissions());
        assert_eq!(mode & 0o077, 0, "others cannot read it: {mode:o}");
    }
    assert_eq!(terminal.end().0, 0);
}

#[test]
fn no_escape_sequence_of_the_peer_reaches_the_terminal() {
    let url = serve(Server::builder(), |mut ws, _| async move {
        let _ = ws.send("a\x1b]0;title\x07b\u{9b}2J\r\n* closed: 1000").await;
        let _ = ws.recv().await;
        ws.close(CloseCode::new(4000).expect("valid"), "bye\x1b[31m").await;
    });
    let mut terminal = Terminal::start("escape", &[&format!("ws://{url}")]);
    terminal.wait_for("< \x1b[0ma\\x1b]0;title\\x07b\\u{9b}2J\\r");
    // The second line is indented, so it does not look like a note of `ws`.
    terminal.wait_for("\n  * closed: 1000");
    terminal.type_keys("x\r");
    let (code, shown) = terminal.end();
    assert!(code == 7 && shown.contains("4000 bye\\x1b[31m"), "{code} {shown:?}");
}

#[test]
fn a_ping_shows_its_round_trip_time() {
    let mut terminal = Terminal::start("ping", &[&echo_server(), "--color", "never"]);
    terminal.wait_for(READY);
    terminal.type_keys("/ping\r");
    terminal.wait_for("* pong after ");
    assert!(terminal.wait_for(" ms").parse::<f64>().unwrap() > 0.0);
    terminal.type_keys("/ping text\r");
    terminal.wait_for("* pong after ");
    terminal.type_keys("\x04");
    assert_eq!(terminal.end().0, 0);
}

#[test]
fn a_line_is_refused_while_there_is_no_connection() {
    let start = |port: &str| Running::start(&["listen", port, "--echo"]);
    let port = free_port().to_string();
    let server = start(&port);
    let url = server.error_line("listening on ");
    let mut terminal = Terminal::start("reconnect", &[&url, "--reconnect", "--color", "never"]);
    terminal.wait_for("* connected");
    terminal.type_keys("/ping\r");
    terminal.wait_for("* pong after ");
    terminal.type_keys("/ping text\r");
    terminal.wait_for("! with --reconnect, a ping has no text");
    signal(server.id(), "KILL");
    terminal.wait_for("! the connection ended with code 1006");
    terminal.type_keys("lost\r");
    terminal.wait_for("! not sent: there is no connection");
    terminal.type_keys("/ping\r");
    terminal.wait_for("! the connection is not open");
    drop(server);
    let _server = start(&port);
    terminal.wait_for("* connected again");
    terminal.type_keys("kept\r");
    terminal.wait_for("< kept");
    terminal.type_keys("\x04");
    let (code, shown) = terminal.end();
    assert!(code == 0 && !shown.contains("< lost"), "{shown}");
}

#[test]
fn files_and_bytes_are_sent() {
    let (saw, messages) = log::<Message>();
    let url = serve(Server::builder(), move |mut ws, _| {
        let saw = saw.clone();
        async move {
            while let Some(message) = ws.recv().await {
                saw(message);
            }
        }
    });
    let folder = Folder::new("files");
    let (text, bytes) = (folder.write("text", "a\nb"), folder.write("bytes", [0xff, 0]));
    let mut terminal = Terminal::start("files-state", &[&format!("ws://{url}")]);
    terminal.wait_for(READY);
    for line in [&format!("/send @{text}"), &format!("/send @{bytes}"), "/binary 01 02", "//slash"] {
        terminal.type_keys(&format!("{line}\r"));
    }
    let expected = [
        Message::text("a\nb"),
        Message::binary(vec![0xff, 0]),
        Message::binary(vec![1, 2]),
        Message::text("/slash"),
    ];
    for message in expected {
        assert!(messages.next() == message);
    }
    terminal.type_keys("/send @/no/such/file\r");
    terminal.wait_for("/no/such/file: No such file");
    terminal.type_keys("/nothing\r");
    terminal.wait_for("unknown command /nothing");
    terminal.type_keys("/help\r");
    terminal.wait_for("/binary HEX");
    terminal.type_keys("\x03");
    assert_eq!(terminal.end().0, 130);
}

#[test]
fn json_is_indented_on_request() {
    let mut terminal = Terminal::start("json", &[&echo_server(), "--json", "--color", "never"]);
    terminal.wait_for(READY);
    terminal.type_keys("{\"a\":[1]}\r");
    terminal.wait_for("< {\n    \"a\": [\n      1\n    ]\n  }".replace('\n', "\r\n").as_str());
    terminal.type_keys("\x04");
    assert_eq!(terminal.end().0, 0);
}

#[test]
fn the_terminal_is_restored_when_the_server_closes() {
    let (saw, ready) = log();
    let url = serve(Server::builder(), move |mut ws, _| {
        let saw = saw.clone();
        async move {
            let _ = ws.recv().await;
            saw(());
            ws.close(CloseCode::NORMAL, "").await;
        }
    });
    let mut terminal = Terminal::start("restore", &[&format!("ws://{url}")]);
    terminal.wait_for(READY);
    terminal.type_keys("x\r");
    ready.next();
    let keyboard = terminal.keyboard.try_clone().unwrap();
    terminal.wait_for("* closed: 1000");
    let after = rustix::termios::tcgetattr(&keyboard).unwrap();
    assert_eq!(after.local_modes, terminal.mode.local_modes);
    assert_eq!(terminal.end().0, 0);
}
