//! A client on tokio-tungstenite: sends each argument, prints each answer, and closes.

use std::{env, error::Error};

use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::{
    connect_async,
    tungstenite::{Message, client::IntoClientRequest},
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = env::args().nth(1).unwrap_or_else(|| "ws://127.0.0.1:9003/".to_owned());
    let messages: Vec<String> = env::args().skip(2).collect();
    for answer in run(&url, &messages).await? {
        println!("{answer}");
    }
    Ok(())
}

pub(crate) async fn run(url: &str, messages: &[String]) -> Result<Vec<String>, Box<dyn Error>> {
    let mut request = url.into_client_request()?;
    request.headers_mut().insert("authorization", "Bearer token".parse()?);
    let (mut ws, _response) = connect_async(request).await?;
    let mut answers = Vec::new();
    for text in messages {
        ws.send(Message::text(text)).await?;
        while let Some(answer) = ws.next().await {
            if let Message::Text(answer) = answer? {
                answers.push(answer.to_string());
                break;
            }
        }
    }
    ws.close(None).await?;
    Ok(answers)
}
