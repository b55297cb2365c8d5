//! Command-line options.

use std::{fmt, io, path::PathBuf, str::FromStr, time::Duration};

use lexopt::{
    Arg, Parser, ValueExt as _,
    prelude::{Long, Short, Value},
};
use ws_server::{DeflateConfig, OriginPolicy, Server, ServerBuilder, Tls};

pub(crate) const USAGE: &str = "\
usage: echo-server [--listen ADDR] [--api handler|async|async-lent] [--shards N]
                   [--max-message-size BYTES] [--max-connections N] [--max-handshakes N]
                   [--idle-timeout-ms N] [--close-timeout-ms N] [--handshake-timeout-ms N]
                   [--write-queue-messages N] [--no-utf8] [--subprotocol NAME]...
                   [--deflate] [--tls-cert PEM --tls-key PEM] [--stats SECONDS]";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Api {
    Handler,
    Async,
    /// As `Async`, with messages that are lent.
    AsyncLent,
}

#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) listen: String,
    pub(crate) api: Api,
    /// The number of the server's own threads. With 0 the server runs on the caller's runtime.
    pub(crate) shards: usize,
    max_message_size: Option<usize>,
    max_connections: Option<usize>,
    max_handshakes: Option<usize>,
    idle_timeout: Option<Duration>,
    close_timeout: Option<Duration>,
    handshake_timeout: Option<Duration>,
    write_queue_messages: Option<usize>,
    validate_utf8: bool,
    subprotocols: Vec<String>,
    deflate: bool,
    tls_cert: Option<PathBuf>,
    tls_key: Option<PathBuf>,
    /// How often the main figures are printed on stderr.
    pub(crate) stats: Option<Duration>,
}

/// An error that names the option and its value, on one line.
#[derive(Debug)]
pub(crate) struct BadOption(String);

impl fmt::Display for BadOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<lexopt::Error> for BadOption {
    fn from(error: lexopt::Error) -> Self {
        match error {
            lexopt::Error::MissingValue { option: Some(option) } => Self(format!("{option} needs a value")),
            error => Self(error.to_string()),
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:9001".to_owned(),
            api: Api::Handler,
            shards: std::thread::available_parallelism().map_or(1, usize::from),
            max_message_size: None,
            max_connections: None,
            max_handshakes: None,
            idle_timeout: None,
            close_timeout: None,
            handshake_timeout: None,
            write_queue_messages: None,
            validate_utf8: true,
            subprotocols: Vec::new(),
            deflate: false,
            tls_cert: None,
            tls_key: None,
            stats: None,
        }
    }
}

impl Options {
    /// Parses the command line. `None` means `--help`.
    pub(crate) fn parse(mut parser: Parser) -> Result<Option<Self>, BadOption> {
        let mut options = Self::default();
        while let Some(arg) = parser.next()? {
            match arg {
                Short('h') | Long("help") => return Ok(None),
                Long("listen") => options.listen = parser.value()?.string()?,
                Long("api") => options.api = api(&parser.value()?.string()?)?,
                Long("shards") => options.shards = number("--shards", &mut parser)?,
                Long("max-message-size") => {
                    options.max_message_size = Some(number("--max-message-size", &mut parser)?);
                }
                Long("max-connections") => {
                    options.max_connections = Some(count("--max-connections", &mut parser)?);
                }
                Long("max-handshakes") => {
                    options.max_handshakes = Some(count("--max-handshakes", &mut parser)?)
                }
                Long("idle-timeout-ms") => {
                    options.idle_timeout = Some(millis("--idle-timeout-ms", &mut parser)?)
                }
                Long("close-timeout-ms") => {
                    options.close_timeout = Some(millis("--close-timeout-ms", &mut parser)?);
                }
                Long("handshake-timeout-ms") => {
                    options.handshake_timeout = Some(millis("--handshake-timeout-ms", &mut parser)?);
                }
                Long("write-queue-messages") => {
                    options.write_queue_messages = Some(count("--write-queue-messages", &mut parser)?);
                }
                Long("no-utf8") => options.validate_utf8 = false,
                Long("subprotocol") => options.subprotocols.push(parser.value()?.string()?),
                Long("deflate") => options.deflate = true,
                Long("tls-cert") => options.tls_cert = Some(parser.value()?.into()),
                Long("tls-key") => options.tls_key = Some(parser.value()?.into()),
                Long("stats") => {
                    let seconds = count("--stats", &mut parser)?;
                    options.stats = Some(Duration::from_secs(seconds as u64));
                }
                other => return Err(unknown(&other)),
            }
        }
        if options.tls_cert.is_some() != options.tls_key.is_some() {
            return Err(BadOption("--tls-cert and --tls-key must be used together".to_owned()));
        }
        Ok(Some(options))
    }

    /// The TLS settings. `None` without TLS.
    pub(crate) fn tls(&self) -> io::Result<Option<Tls>> {
        let (Some(cert), Some(key)) = (&self.tls_cert, &self.tls_key) else { return Ok(None) };
        let read = |path: &PathBuf| {
            std::fs::read(path)
                .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
        };
        Tls::from_pem(read(cert)?, read(key)?).map(Some).map_err(io::Error::other)
    }

    /// A server builder with these options.
    pub(crate) fn builder(&self) -> ServerBuilder {
        let subprotocols = self.subprotocols.clone();
        // Every origin may connect: the server has no state and no users that a foreign page could misuse.
        let mut builder = Server::builder()
            .origin(OriginPolicy::Any)
            .validate_utf8(self.validate_utf8)
            .idle_timeout(self.idle_timeout)
            .deflate(self.deflate.then(DeflateConfig::server))
            .on_request(move |request| {
                request.select_subprotocol(&subprotocols);
                Ok(())
            });
        if let Some(bytes) = self.max_message_size {
            builder = builder.max_message_size(bytes);
        }
        if let Some(count) = self.max_connections {
            builder = builder.max_connections(count);
        }
        if let Some(count) = self.max_handshakes {
            builder = builder.max_handshakes(count);
        }
        if let Some(timeout) = self.close_timeout {
            builder = builder.close_timeout(timeout);
        }
        if let Some(timeout) = self.handshake_timeout {
            builder = builder.handshake_timeout(timeout);
        }
        if let Some(messages) = self.write_queue_messages {
            builder = builder.write_queue_messages(messages);
        }
        builder
    }
}

fn unknown(arg: &Arg<'_>) -> BadOption {
    let option = match arg {
        Short(letter) => format!("-{letter}"),
        Long(name) => format!("--{name}"),
        Value(value) => value.to_string_lossy().into_owned(),
    };
    BadOption(format!("unknown option {option} (--help shows all)"))
}

fn api(value: &str) -> Result<Api, BadOption> {
    match value {
        "handler" => Ok(Api::Handler),
        "async" => Ok(Api::Async),
        "async-lent" => Ok(Api::AsyncLent),
        other => Err(BadOption(format!("--api {other}: expected handler, async or async-lent"))),
    }
}

/// Parses the value of `option`, which the parser has just read.
fn number<T: FromStr>(option: &str, parser: &mut Parser) -> Result<T, BadOption> {
    let value = parser.value()?.string()?;
    value.parse().map_err(|_| BadOption(format!("{option} {value}: expected a whole number")))
}

fn count(option: &str, parser: &mut Parser) -> Result<usize, BadOption> {
    match number(option, parser)? {
        0 => Err(BadOption(format!("{option} 0: must be at least 1"))),
        count => Ok(count),
    }
}

fn millis(option: &str, parser: &mut Parser) -> Result<Duration, BadOption> {
    match number(option, parser)? {
        0 => Err(BadOption(format!("{option} 0: must be at least 1 ms"))),
        millis => Ok(Duration::from_millis(millis)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Option<Options>, String> {
        let args: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        Options::parse(Parser::from_args(args)).map_err(|error| error.to_string())
    }

    #[test]
    fn each_option_is_parsed() {
        let options = parse(
            "--listen 127.0.0.1:0 --api async --shards 2 --max-message-size 0 --max-connections 3 --max-handshakes 4 \
             --idle-timeout-ms 5 --close-timeout-ms 6 --handshake-timeout-ms 7 --write-queue-messages 8 --no-utf8 \
             --subprotocol a --subprotocol b --deflate --stats 10",
        );
        let options = options.unwrap().unwrap();
        assert_eq!((options.listen.as_str(), options.api, options.shards), ("127.0.0.1:0", Api::Async, 2));
        assert_eq!((options.max_message_size, options.max_connections), (Some(0), Some(3)));
        assert_eq!(options.idle_timeout, Some(Duration::from_millis(5)));
        assert_eq!(options.subprotocols, ["a", "b"]);
        assert!(!options.validate_utf8);
        assert!(options.deflate);
        assert_eq!(options.stats, Some(Duration::from_secs(10)));
    }

    #[test]
    fn an_error_names_the_option_and_its_value() {
        for (line, error) in [
            ("--api both", "--api both: expected handler, async or async-lent"),
            ("--shards x", "--shards x: expected a whole number"),
            ("--idle-timeout-ms -1", "--idle-timeout-ms -1: expected a whole number"),
            ("--listen", "--listen needs a value"),
            ("--tls-cert a.pem", "--tls-cert and --tls-key must be used together"),
            ("--what", "unknown option --what (--help shows all)"),
        ] {
            assert_eq!(parse(line).err().as_deref(), Some(error));
        }
    }

    #[test]
    fn help_is_not_an_error() {
        assert!(parse("--help").unwrap().is_none());
    }
}
