//! The client under test: runs every case of the Autobahn Testsuite's fuzzing server.

use std::process::ExitCode;

use ws_client::{CloseCode, Connector, DeflateConfig, error::ConnectError};

/// Message size limit in bytes. The largest messages of the suite slightly exceed 16 MiB.
const MAX_MESSAGE: usize = 64 * 1024 * 1024;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Some(options) = Options::parse(std::env::args().skip(1)) else {
        eprintln!("usage: autobahn-client --server URL [--agent NAME] [--deflate]");
        return ExitCode::from(2);
    };
    match options.run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprint!("autobahn-client: {error}");
            let mut next = std::error::Error::source(&error);
            while let Some(cause) = next {
                eprint!(": {cause}");
                next = cause.source();
            }
            eprintln!();
            ExitCode::FAILURE
        }
    }
}

struct Options {
    server: String,
    agent: String,
    deflate: bool,
}

impl Options {
    fn parse(mut args: impl Iterator<Item = String>) -> Option<Self> {
        let (mut server, mut agent, mut deflate) = (None, "webzockets".to_owned(), false);
        while let Some(option) = args.next() {
            match option.as_str() {
                "--server" => server = args.next(),
                "--agent" => agent = args.next()?,
                "--deflate" => deflate = true,
                _ => return None,
            }
        }
        Some(Self { server: server?, agent, deflate })
    }

    async fn run(&self) -> Result<(), ConnectError> {
        let Self { server, agent, .. } = self;
        let cases = self.case_count().await?;
        for case in 1..=cases {
            self.run_case(&format!("{server}/runCase?case={case}&agent={agent}")).await?;
        }
        println!("{cases} cases run");
        let mut ws = self.connector().connect(&format!("{server}/updateReports?agent={agent}")).await?;
        while ws.recv().await.is_some() {}
        Ok(())
    }

    async fn case_count(&self) -> Result<u32, ConnectError> {
        let mut ws = self.connector().connect(&format!("{}/getCaseCount", self.server)).await?;
        let count = ws.recv().await.and_then(|message| message.as_text()?.parse().ok());
        ws.close(CloseCode::NORMAL, "").await;
        Ok(count.unwrap_or(0))
    }

    /// Echoes messages until the server closes the connection.
    async fn run_case(&self, url: &str) -> Result<(), ConnectError> {
        let mut ws = self.connector().connect(url).await?;
        while let Some(message) = ws.recv().await {
            if ws.send(message).await.is_err() {
                break;
            }
        }
        while ws.recv().await.is_some() {}
        Ok(())
    }

    fn connector(&self) -> Connector {
        let deflate = self.deflate.then(DeflateConfig::client);
        Connector::new().max_message_size(MAX_MESSAGE).deflate(deflate)
    }
}
