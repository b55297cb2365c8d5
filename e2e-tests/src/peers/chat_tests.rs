//! Chromium with the page that `chat.mjs` expects, and the raw peer as the chat server.

use super::*;
use crate::harness;
use crate::raw_peer::{RawAcceptor, RawFrame, RawServer, opcode, switching_protocols};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

const PAGE: &str = "<!doctype html><form id=form><input id=text></form><ul id=log></ul><script>
    const socket = new WebSocket(location.href.replace('http', 'ws') + 'socket');
    socket.onmessage = ({ data }) => log.append(data);
    form.onsubmit = (event) => { event.preventDefault(); socket.send(text.value); };
    </script>";

/// Serves the page and hands out the WebSocket connection of each tab.
struct Site {
    acceptor: RawAcceptor,
    upgraded: UnboundedSender<RawServer>,
    tabs: UnboundedReceiver<RawServer>,
}

impl Site {
    fn new() -> Self {
        let (upgraded, tabs) = unbounded_channel();
        Self { acceptor: RawAcceptor::bind(), upgraded, tabs }
    }

    async fn next_tab(&mut self) -> RawServer {
        loop {
            tokio::select! {
                // Concurrent, because a browser opens connections in advance and does not use them at once.
                connection = self.acceptor.accept() => drop(tokio::spawn(serve(connection, self.upgraded.clone()))),
                tab = self.tabs.recv() => return tab.expect("this end is open as long as the other one"),
            }
        }
    }
}

async fn serve(mut connection: RawServer, upgraded: UnboundedSender<RawServer>) {
    // No request arrives on a connection that the browser does not use.
    let Ok(request) = connection.reader.try_recv_head().await else { return };
    if let Some(key) = request.header("Sec-WebSocket-Key") {
        connection.send_bytes(switching_protocols(key, &[])).await;
        upgraded.send(connection).expect("the test waits for it");
        return;
    }
    let page = if request.target() == "/" { PAGE } else { "" };
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}", page.len());
    connection.send_bytes(format!("{head}\r\nConnection: close\r\n\r\n{page}")).await;
}

async fn pass_on(from: &mut RawServer, to: &mut RawServer) {
    let text = from.recv_frame().await;
    assert_eq!(text.opcode, opcode::TEXT);
    from.send(RawFrame::text(text.payload.clone())).await;
    to.send(RawFrame::text(text.payload)).await;
}

#[test]
fn two_tabs_of_chromium_talk_to_each_other() {
    harness::run(async {
        let Some(chromium) = Peer::Chromium.find() else { return };
        let mut site = Site::new();
        let chat = chromium.client(&format!("http://{}/", site.acceptor.addr()), &[]);
        let mut first = site.next_tab().await;
        let mut second = site.next_tab().await;
        pass_on(&mut first, &mut second).await;
        pass_on(&mut second, &mut first).await;
        chat.expect_ok().await;
    });
}
