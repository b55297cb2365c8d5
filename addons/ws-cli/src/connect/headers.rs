//! Headers from the command line. No error shows a value, because it may be a credential.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::HeaderValue;
use ws_client::Connector;

use crate::{
    cli::ConnectionArgs,
    exit::{Failure, Outcome},
};

pub(super) fn add(mut connector: Connector, args: &ConnectionArgs) -> Outcome<Connector> {
    for line in &args.header {
        let Some((name, value)) = line.split_once(':') else {
            return Err(Failure::usage("--header: expected \"NAME: VALUE\", and there is no colon"));
        };
        connector = connector.header(name.trim(), value.trim());
    }
    if let Some(user) = &args.user {
        let basic = format!("Basic {}", BASE64_STANDARD.encode(user));
        connector = connector.header("authorization", sensitive("--user", &basic)?);
    }
    if let Some(source) = &args.bearer {
        let bearer = format!("Bearer {}", token(source)?);
        connector = connector.header("authorization", sensitive("--bearer", &bearer)?);
    }
    if let Some(origin) = &args.origin {
        connector = connector.header("origin", origin.as_str());
    }
    Ok(connector)
}

/// The token itself, the content of `@FILE`, or the value of `env:VARIABLE`.
fn token(source: &str) -> Outcome<String> {
    let token = if let Some(path) = source.strip_prefix('@') {
        std::fs::read_to_string(path).map_err(|error| Failure::local(&format!("--bearer: {path}"), &error))?
    } else if let Some(name) = source.strip_prefix("env:") {
        std::env::var(name)
            .map_err(|_| Failure::usage(format!("--bearer: the variable {name:?} is not set or not text")))?
    } else {
        source.to_owned()
    };
    let token = token.trim();
    if token.is_empty() {
        return Err(Failure::usage("--bearer: the token is empty"));
    }
    Ok(token.to_owned())
}

fn sensitive(option: &str, value: &str) -> Outcome<HeaderValue> {
    let mut value = HeaderValue::from_str(value)
        .map_err(|_| Failure::usage(format!("{option}: the value has characters that are not allowed")))?;
    value.set_sensitive(true);
    Ok(value)
}
