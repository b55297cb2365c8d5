//! The programs of docs/migrating.md, before and after the migration from tokio-tungstenite: they behave alike, and the
//! guide says how many lines changed.

mod changed_lines;
mod programs;

use std::{future::Future, io, time::Duration};

use programs::{chat_after, chat_before, client_after, client_before, echo_server_after, echo_server_before};
use tokio::net::TcpListener;
use ws_client::Message;

/// The longest time for a whole test. It bounds a failure only.
const DEADLINE: Duration = Duration::from_secs(60);

async fn start<F>(serve: fn(TcpListener) -> F) -> io::Result<String>
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("ws://{}/", listener.local_addr()?);
    tokio::spawn(serve(listener));
    Ok(url)
}

#[tokio::test]
async fn each_client_gets_its_answers_from_each_echo_server() {
    let messages = ["hello", "", "gr\u{fc}\u{df} dich"].map(str::to_owned);
    let talk = async {
        for url in
            [start(echo_server_before::run).await.unwrap(), start(echo_server_after::run).await.unwrap()]
        {
            assert_eq!(client_before::run(&url, &messages).await.unwrap(), messages);
            assert_eq!(client_after::run(&url, &messages).await.unwrap(), messages);
        }
    };
    tokio::time::timeout(DEADLINE, talk).await.unwrap();
}

#[tokio::test]
async fn each_chat_carries_a_text_to_all_other_members() {
    let talk = async {
        for url in [start(chat_before::run).await.unwrap(), start(chat_after::run).await.unwrap()] {
            let mut first = ws_client::connect(&url).await.unwrap();
            let others = [ws_client::connect(&url).await.unwrap(), ws_client::connect(&url).await.unwrap()];
            first.send("from the first").await.unwrap();
            for mut member in others {
                assert_eq!(member.recv().await, Some(Message::text("from the first")));
            }
        }
    };
    tokio::time::timeout(DEADLINE, talk).await.unwrap();
}
