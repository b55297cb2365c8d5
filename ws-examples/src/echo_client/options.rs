//! Command-line options.

use std::{fmt, path::PathBuf};

use http::{HeaderName, HeaderValue};
use lexopt::{
    Parser, ValueExt as _,
    prelude::{Long, Short, Value},
};
use ws_client::{Connector, DeflateConfig, Message, Tls};
use ws_examples::with_causes;

pub(crate) const USAGE: &str = "\
usage: echo-client URL [--message TEXT] [--count N] [--binary] [--header 'K: V']...
                   [--subprotocol NAME]... [--deflate] [--ca PEM] [--insecure]";

#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) url: String,
    pub(crate) count: usize,
    message: String,
    binary: bool,
    headers: Vec<(HeaderName, HeaderValue)>,
    subprotocols: Vec<String>,
    deflate: bool,
    authority: Option<PathBuf>,
    insecure: bool,
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

impl Options {
    /// Parses the command line. `None` means `--help`.
    pub(crate) fn parse(mut parser: Parser) -> Result<Option<Self>, BadOption> {
        let mut options = Self {
            url: String::new(),
            count: 1,
            message: "hello".to_owned(),
            binary: false,
            headers: Vec::new(),
            subprotocols: Vec::new(),
            deflate: false,
            authority: None,
            insecure: false,
        };
        while let Some(arg) = parser.next()? {
            match arg {
                Short('h') | Long("help") => return Ok(None),
                Long("message") => options.message = parser.value()?.string()?,
                Long("count") => options.count = count(&parser.value()?.string()?)?,
                Long("binary") => options.binary = true,
                Long("header") => options.headers.push(header(&parser.value()?.string()?)?),
                Long("subprotocol") => options.subprotocols.push(parser.value()?.string()?),
                Long("deflate") => options.deflate = true,
                Long("ca") => options.authority = Some(parser.value()?.into()),
                Long("insecure") => options.insecure = true,
                Short(letter) => return Err(unknown(&format!("-{letter}"))),
                Long(name) => return Err(unknown(&format!("--{name}"))),
                Value(value) => options.set_url(value.string()?)?,
            }
        }
        if options.url.is_empty() {
            return Err(BadOption("missing URL (--help shows all options)".to_owned()));
        }
        Ok(Some(options))
    }

    fn set_url(&mut self, value: String) -> Result<(), BadOption> {
        if value.starts_with('-') {
            return Err(unknown(&value));
        }
        if !self.url.is_empty() {
            return Err(BadOption(format!("{value}: only one URL is allowed")));
        }
        self.url = value;
        Ok(())
    }

    /// The TLS settings. `None` means the default.
    fn tls(&self) -> Result<Option<Tls>, BadOption> {
        let mut builder = Tls::builder();
        if let Some(path) = &self.authority {
            let pem = std::fs::read(path)
                .map_err(|error| BadOption(format!("--ca {}: {error}", path.display())))?;
            builder = builder.authority(pem);
        } else if !self.insecure {
            return Ok(None);
        }
        if self.insecure {
            builder = builder.danger_accept_any_certificate();
        }
        builder.build().map(Some).map_err(|error| BadOption(with_causes(&error)))
    }

    pub(crate) fn connector(&self) -> Result<Connector, BadOption> {
        let mut connector = Connector::new().deflate(self.deflate.then(DeflateConfig::client));
        for (name, value) in &self.headers {
            connector = connector.header(name, value);
        }
        for name in &self.subprotocols {
            connector = connector.subprotocol(name);
        }
        if let Some(tls) = self.tls()? {
            connector = connector.tls(tls);
        }
        Ok(connector)
    }

    pub(crate) fn message(&self) -> Message {
        if self.binary {
            Message::binary(self.message.clone().into_bytes())
        } else {
            Message::text(self.message.as_str())
        }
    }
}

fn unknown(option: &str) -> BadOption {
    BadOption(format!("unknown option {option} (--help shows all)"))
}

fn count(value: &str) -> Result<usize, BadOption> {
    value.parse().map_err(|_| BadOption(format!("--count {value}: expected a whole number")))
}

fn header(line: &str) -> Result<(HeaderName, HeaderValue), BadOption> {
    let bad = || BadOption(format!("--header {line:?}: expected 'Name: value'"));
    let (name, value) = line.split_once(':').ok_or_else(bad)?;
    let name = name.trim().parse().map_err(|_| bad())?;
    let value = value.trim().parse().map_err(|_| bad())?;
    Ok((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<Option<Options>, String> {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        Options::parse(Parser::from_args(args)).map_err(|error| error.to_string())
    }

    #[test]
    fn each_option_is_parsed() {
        let args = [
            "ws://h",
            "--message",
            "m",
            "--count",
            "3",
            "--binary",
            "--header",
            "A: b",
            "--subprotocol",
            "p",
        ];
        let options = parse(&args).unwrap().unwrap();
        assert_eq!((options.url.as_str(), options.count, options.binary), ("ws://h", 3, true));
        assert_eq!(options.headers[0].1, "b");
        assert_eq!(options.message(), Message::binary("m".as_bytes().to_vec()));
    }

    #[test]
    fn an_error_names_the_option_and_its_value() {
        for (args, error) in [
            (&[][..], "missing URL (--help shows all options)"),
            (&["ws://h", "--count", "x"], "--count x: expected a whole number"),
            (&["ws://h", "--header", "none"], "--header \"none\": expected 'Name: value'"),
            (&["ws://h", "--header", "A: b\r\nC: d"], "--header \"A: b\\r\\nC: d\": expected 'Name: value'"),
            (&["ws://h", "ws://i"], "ws://i: only one URL is allowed"),
            (&["--what"], "unknown option --what (--help shows all)"),
        ] {
            assert_eq!(parse(args).err().as_deref(), Some(error));
        }
    }
}
