use std::error::Error;

use http::{Response, header};
use ws_proto::{CloseInfo, Config, close::Initiator};

use super::*;
use crate::reconnecting::{self, Cause};

/// One value of each variant, as a list of boxed errors. It does not compile if a variant is missing.
macro_rules! each_variant {
    ($error:ty { $($(#[$attribute:meta])* $pattern:pat => $value:expr,)* }) => {{
        let _is_exhaustive = |error: &$error| match error { $($(#[$attribute])* $pattern => {})* };
        let mut errors: Vec<Box<dyn Error>> = Vec::new();
        $($(#[$attribute])* {
            let error: $error = $value;
            assert!(matches!(error, $pattern), "{error:?}");
            errors.push(Box::new(error));
        })*
        errors
    }};
}

fn text() -> String {
    "text".to_owned()
}

fn io_error() -> io::Error {
    io::ErrorKind::ConnectionRefused.into()
}

fn url_errors() -> Vec<Box<dyn Error>> {
    each_variant!(UrlError {
        UrlError::Invalid(_) => UrlError::Invalid(text()),
        UrlError::Scheme(_) => UrlError::Scheme(text()),
        UrlError::NoHost(_) => UrlError::NoHost(text()),
        UrlError::Host { .. } => UrlError::Host { host: text(), reason: "a reason" },
        UrlError::Port(_) => UrlError::Port(text()),
        UrlError::Credentials => UrlError::Credentials,
    })
}

fn proxy_url_errors() -> Vec<Box<dyn Error>> {
    each_variant!(ProxyUrlError {
        ProxyUrlError::Invalid { .. } => ProxyUrlError::Invalid { proxy: text(), reason: "a reason" },
        ProxyUrlError::Scheme(_) => ProxyUrlError::Scheme(text()),
        ProxyUrlError::Credentials => ProxyUrlError::Credentials,
        ProxyUrlError::Socks4Credentials => ProxyUrlError::Socks4Credentials,
    })
}

fn header_errors() -> Vec<Box<dyn Error>> {
    each_variant!(HeaderError {
        HeaderError::Name(_) => HeaderError::Name(text()),
        HeaderError::Value(_) => HeaderError::Value(header::COOKIE),
        HeaderError::Repeated(_) => HeaderError::Repeated(header::HOST),
    })
}

fn redirect_errors() -> Vec<Box<dyn Error>> {
    each_variant!(RedirectError {
        RedirectError::NotUtf8 => RedirectError::NotUtf8,
        RedirectError::Url(_) => UrlError::Invalid(text()).into(),
        RedirectError::Downgrade => RedirectError::Downgrade,
    })
}

fn proxy_errors() -> Vec<Box<dyn Error>> {
    each_variant!(ProxyError {
        ProxyError::Io(_) => io_error().into(),
        ProxyError::Refused(_) => ProxyError::Refused(StatusCode::FORBIDDEN),
        ProxyError::UnsupportedAuthentication(_) => ProxyError::UnsupportedAuthentication(text()),
        ProxyError::Response(_) => ResponseError::Malformed.into(),
        ProxyError::UnexpectedData => ProxyError::UnexpectedData,
        ProxyError::NotSocks5 => ProxyError::NotSocks5,
        ProxyError::Authentication => ProxyError::Authentication,
        ProxyError::Socks5Refused(_) => ProxyError::Socks5Refused(5),
        ProxyError::NotSocks4 => ProxyError::NotSocks4,
        ProxyError::Socks4Refused(_) => ProxyError::Socks4Refused(91),
        ProxyError::Ipv4Only => ProxyError::Ipv4Only,
        ProxyError::NameTooLong => ProxyError::NameTooLong,
    })
}

fn config_error() -> ConfigError {
    let mut config = Config::default();
    config.write_queue_messages = 0;
    config.validate().unwrap_err()
}

/// The error of a connection whose peer has left.
#[cfg(feature = "http2")]
fn hyper_error() -> hyper::Error {
    let (io, _) = tokio::io::duplex(64);
    let builder = crate::http2::builder();
    let handshake = builder.handshake::<_, crate::http2::NoBody>(hyper_util::rt::TokioIo::new(io));
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    let std::task::Poll::Ready(Err(error)) = std::pin::pin!(handshake).poll(&mut cx) else {
        panic!("the write fails at once")
    };
    error
}

fn connect_errors() -> Vec<Box<dyn Error>> {
    let refusal = || Refusal::without_body(Response::builder().status(403).body(()).unwrap());
    each_variant!(ConnectError {
        ConnectError::Url(_) => UrlError::Credentials.into(),
        ConnectError::Config(_) => config_error().into(),
        ConnectError::Header(_) => HeaderError::Name(text()).into(),
        ConnectError::Request(_) => ClientRequestError::Path(text()).into(),
        ConnectError::Method(_) => ConnectError::Method(Method::POST),
        ConnectError::Resolve { .. } => ConnectError::Resolve { host: text(), source: io_error() },
        ConnectError::Connect { .. } => ConnectError::Connect { host: text(), source: io_error() },
        ConnectError::ProxyUrl(_) => ProxyUrlError::Credentials.into(),
        ConnectError::Proxy { .. } => ConnectError::Proxy { proxy: text(), source: io_error().into() },
        #[cfg(feature = "tls-core")]
        ConnectError::Tls(_) => ConnectError::Tls(rustls::Error::DecryptError.into()),
        ConnectError::TlsHandshake { .. } => ConnectError::TlsHandshake { host: text(), source: io_error() },
        ConnectError::Redirect { .. } => {
            ConnectError::Redirect { location: text(), source: RedirectError::Downgrade }
        },
        ConnectError::Io(_) => io_error().into(),
        ConnectError::Refused(_) => ConnectError::Refused(Box::new(refusal())),
        ConnectError::Response(_) => ResponseError::Upgrade.into(),
        ConnectError::TimedOut(_) => ConnectError::TimedOut(std::time::Duration::from_secs(1)),
        ConnectError::TlsNotBuiltIn => ConnectError::TlsNotBuiltIn,
        ConnectError::NoRuntime => ConnectError::NoRuntime,
        #[cfg(feature = "http2")]
        ConnectError::Http2(_) => ConnectError::Http2(hyper_error()),
        #[cfg(feature = "http2")]
        ConnectError::Http2NotNegotiated => ConnectError::Http2NotNegotiated,
        #[cfg(feature = "http2")]
        ConnectError::ExtendedConnectNotOffered => ConnectError::ExtendedConnectNotOffered,
        ConnectError::Randomness(_) => ConnectError::Randomness(io_error()),
    })
}

fn causes() -> Vec<Box<dyn Error>> {
    let info = || {
        let mut info = CloseInfo::new(Initiator::Remote);
        info.error = Some(ConnectionError::Eof);
        info
    };
    each_variant!(Cause {
        Cause::Request(_) => Cause::Request("no token".into()),
        Cause::Connect(_) => ConnectError::NoRuntime.into(),
        Cause::Setup(_) => Cause::Setup("no subscription".into()),
        Cause::AttemptTimedOut(_) => Cause::AttemptTimedOut(std::time::Duration::from_secs(1)),
        Cause::Closed(_) => Cause::Closed(info()),
        Cause::Expired(_) => Cause::Expired(info()),
    })
}

fn reconnecting_send_errors() -> Vec<Box<dyn Error>> {
    each_variant!(reconnecting::SendError {
        reconnecting::SendError::Away(_) => reconnecting::SendError::Away("text".into()),
        reconnecting::SendError::Full(_) => reconnecting::SendError::Full("text".into()),
        reconnecting::SendError::Over(_) => reconnecting::SendError::Over("text".into()),
    })
}

#[test]
fn the_reply_of_a_socks_proxy_is_a_number_and_its_meaning() {
    for (error, text) in [
        (ProxyError::Socks5Refused(5), "the proxy refused the tunnel with reply 5: connection refused"),
        (ProxyError::Socks5Refused(200), "the proxy refused the tunnel with reply 200: unknown reply"),
        (ProxyError::Socks4Refused(91), "the proxy refused the tunnel with reply 91: rejected or failed"),
    ] {
        assert_eq!(error.to_string(), text);
    }
}

#[test]
fn a_message_has_only_the_beginning_of_a_long_text_of_the_peer() {
    // Its escapes are longer than the text.
    let long = || "\u{1}".repeat(60_000);
    let url_errors = || {
        [
            UrlError::Invalid(long()),
            UrlError::Scheme(long()),
            UrlError::NoHost(long()),
            UrlError::Host { host: long(), reason: "a reason" },
            UrlError::Port(long()),
        ]
    };
    let redirect = |source| ConnectError::Redirect { location: long(), source };
    let mut errors = vec![
        redirect(RedirectError::Downgrade),
        ConnectError::Resolve { host: long(), source: io_error() },
        ConnectError::Connect { host: long(), source: io_error() },
        ConnectError::TlsHandshake { host: long(), source: io_error() },
        ConnectError::Proxy { proxy: text(), source: ProxyError::UnsupportedAuthentication(long()) },
    ];
    errors.extend(url_errors().map(|error| redirect(error.into())));
    errors.extend(url_errors().map(ConnectError::from));
    for error in errors {
        let mut next: Option<&dyn Error> = Some(&error);
        while let Some(error) = next {
            let shown = error.to_string();
            assert!(shown.len() < 2_000, "{} bytes: {shown:.100}", shown.len());
            assert!(!shown.contains('\u{1}'), "a control character");
            next = error.source();
        }
    }
    let short = redirect(RedirectError::Downgrade).to_string();
    assert!(
        short.starts_with("the redirect to \"\\u{1}") && short.ends_with("\"… was not followed"),
        "{short}"
    );
}

#[test]
fn a_socks_proxy_that_may_not_connect_is_not_temporary() {
    let through = |source| ConnectError::Proxy { proxy: text(), source };
    for (reply, is_temporary) in
        [(1, true), (2, false), (3, true), (4, true), (5, true), (6, true), (7, false), (8, false)]
    {
        assert_eq!(through(ProxyError::Socks5Refused(reply)).is_temporary(), is_temporary, "{reply}");
    }
    for (reply, is_temporary) in [(91, true), (92, false), (93, false)] {
        assert_eq!(through(ProxyError::Socks4Refused(reply)).is_temporary(), is_temporary, "{reply}");
    }
}

#[test]
fn no_error_repeats_its_source_and_each_chain_ends() {
    let all = [
        url_errors(),
        proxy_url_errors(),
        header_errors(),
        redirect_errors(),
        proxy_errors(),
        connect_errors(),
        causes(),
        reconnecting_send_errors(),
    ];
    for error in all.iter().flatten() {
        let mut outer: &dyn Error = &**error;
        let mut depth = 0;
        while let Some(source) = outer.source() {
            let texts = (outer.to_string(), source.to_string());
            assert!(!texts.0.contains(&texts.1), "{texts:?}");
            depth += 1;
            assert!(depth < 5, "{error:?}");
            outer = source;
        }
    }
}

#[test]
fn an_error_with_a_cause_has_it_as_its_source() {
    let with_source = [
        "Request",
        "Resolve",
        "Connect",
        "Proxy",
        "TlsHandshake",
        "Redirect",
        "Io",
        "Response",
        "Http2",
        "Randomness",
    ];
    for error in connect_errors() {
        let name = format!("{error:?}");
        let name = name.split([' ', '(', '{']).next().unwrap_or_default();
        // Rustls's error is the source of `TlsError`, which `Tls` passes on.
        let expected = with_source.contains(&name) || name == "Tls";
        assert_eq!(error.source().is_some(), expected, "{error:?}");
    }
}
