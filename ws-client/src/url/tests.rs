use proptest::prelude::*;
use url::Url;

use super::*;
use crate::{ProxyUrl, error::ProxyUrlError};

fn tcp(host: &str, port: u16) -> Endpoint {
    let authority = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    Endpoint::Tcp { host: host_and_port(&authority, 0).unwrap().0, port }
}

#[test]
fn a_url_is_parsed_into_its_parts() {
    let cases = [
        ("ws://example.com", false, "example.com", 80, "/", "example.com"),
        ("WS://example.com:80/", false, "example.com", 80, "/", "example.com"),
        ("ws://example.com:8080/chat?a=b", false, "example.com", 8080, "/chat?a=b", "example.com:8080"),
        ("wss://example.com?x=1", true, "example.com", 443, "/?x=1", "example.com"),
        ("ws://[::1]:9001/ws", false, "::1", 9001, "/ws", "[::1]:9001"),
        ("ws://127.0.0.1:1/#part", false, "127.0.0.1", 1, "/", "127.0.0.1:1"),
        ("ws://example.com/@user?a@b#c@d", false, "example.com", 80, "/@user?a@b", "example.com"),
    ];
    for (url, secure, host, port, path, host_header) in cases {
        let expected = Target {
            secure,
            endpoint: tcp(host, port),
            path: path.to_owned(),
            host_header: host_header.to_owned(),
            authorization: None,
        };
        assert_eq!(Target::parse(url), Ok(expected), "{url}");
    }
}

#[test]
fn a_ws_unix_url_names_a_socket_path() {
    for (url, socket, path) in [
        ("ws+unix:/run/a.sock", "/run/a.sock", "/"),
        ("ws+unix:///run/a.sock:/chat?x=1#part", "/run/a.sock", "/chat?x=1"),
        ("WS+UNIX:relative.sock:/", "relative.sock", "/"),
        ("ws+unix:/a.sock:/a b/../\u{fc}?\u{fc}", "/a.sock", "/%C3%BC?%C3%BC"),
    ] {
        let target = Target::parse(url).unwrap();
        assert_eq!((target.endpoint, target.path.as_str()), (Endpoint::Unix(socket.into()), path), "{url}");
        assert_eq!(target.host_header, "localhost");
    }
    for url in ["ws+unix:", "ws+unix::/path", "ws+unix:/a.sock:path", "ws+unix:/a.sock:/a\tb"] {
        assert!(Target::parse(url).is_err(), "{url}");
    }
}

#[test]
fn an_invalid_url_is_an_error() {
    assert_eq!(Target::parse("http://example.com"), Err(UrlError::Scheme("http".to_owned())));
    assert_eq!(Target::parse("example.com"), Err(UrlError::Scheme(String::new())));
    for url in ["", "ws://", "ws:///path", "ws://a b", "ws://example.com:99999", "ws://example.com/\r\nX: y"]
    {
        assert!(Target::parse(url).is_err(), "{url:?}");
    }
}

#[test]
fn an_error_shows_neither_the_query_nor_the_fragment() {
    for rest in ["?token=secret", "/path?token=secret", "#secret", "/path#secret", "/?a#secret"] {
        for start in
            ["ws://", "ws:/h", "ws://h:x", "ws://[h]", "ws://h y", "wss://h/\t", "ws+unix::", "ws+unix:a:b"]
        {
            let error = Target::parse(&format!("{start}{rest}")).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
        }
        let base = Target::parse("ws://h/").unwrap();
        for start in ["ws+unix:/a", "//h:x", "/\t", "https://h y"] {
            let error = base.resolve_location(&format!("{start}{rest}")).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
        }
    }
    assert_eq!(Target::parse("ws://h#\tsecret"), Err(UrlError::Invalid("ws://h".to_owned())));
    assert_eq!(Target::parse("ws:///?secret"), Err(UrlError::NoHost("ws:///".to_owned())));
}

#[test]
fn credentials_become_basic_authentication() {
    let cases = [
        ("ws://Aladdin:open%20sesame@example.com/a@b", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
        ("wss://user@example.com", "Basic dXNlcjo="),
        ("ws://a:b:c@example.com", "Basic YTpiOmM="),
        ("ws://a:b@c@example.com", "Basic YTpiQGM="),
    ];
    for (url, expected) in cases {
        let target = Target::parse(url).unwrap();
        let authorization = target.authorization.unwrap();
        assert_eq!(authorization, expected, "{url}");
        assert!(authorization.is_sensitive());
        assert_eq!(target.host_header, "example.com");
    }
}

#[test]
fn user_info_that_others_would_read_as_a_host_is_refused() {
    // Browsers treat a backslash as a slash and remove white space.
    for info in ["good.example\\", "a:b\\", "a b", "a\tb:c", "a:\nb", "\u{a0}", "a:\0", "\u{7f}"] {
        let url = format!("ws://{info}@evil.example/");
        assert_eq!(Target::parse(&url), Err(UrlError::Credentials), "{url:?}");
        let proxy = ProxyUrl::parse(&format!("http://{info}@evil.example/"));
        assert_eq!(proxy, Err(ProxyUrlError::Credentials), "{url:?}");
    }
    for info in ["a%5C:b%20%0A", "a:ü^|"] {
        assert!(Target::parse(&format!("ws://{info}@example.com/")).is_ok(), "{info}");
    }
}

#[test]
fn no_error_repeats_a_password() {
    for url in [
        "ws://me:secret@",
        "ws://me:secret@[/",
        "http://me:secret@h",
        "ws://me:secret%zz@h",
        "ws://m%3Ae:secret@h",
        "ws://me:secret/x@h y",
        "ws://me:secret#x@h",
        "ws:/me:secret@h",
        "ws://me:secret@[h]",
        "ws://me:secret@h:x",
        "ws://me:secret/@h",
    ] {
        let error = Target::parse(url).unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
    }
}

#[test]
fn a_location_is_resolved_against_the_redirecting_url() {
    let base = Target::parse("wss://user:pw@example.com:444/a/b/c?x=1").unwrap();
    let cases = [
        ("/new?y=2", true, tcp("example.com", 444), "/new?y=2"),
        ("d", true, tcp("example.com", 444), "/a/b/d"),
        ("./d/../e?z=../.", true, tcp("example.com", 444), "/a/b/e?z=../."),
        ("../../../..", true, tcp("example.com", 444), "/"),
        ("?y=2", true, tcp("example.com", 444), "/a/b/c?y=2"),
        ("//other:1/p", true, tcp("other", 1), "/p"),
        ("https://other/p", true, tcp("other", 443), "/p"),
        ("HTTP://other/p", false, tcp("other", 80), "/p"),
        ("ws://other", false, tcp("other", 80), "/"),
        ("/\\other/p", true, tcp("other", 443), "/p"),
        ("d e?\\", true, tcp("example.com", 444), "/a/b/d%20e?\\"),
        ("", true, tcp("example.com", 444), "/a/b/c?x=1"),
        ("//other/ #part", true, tcp("other", 443), "/%20"),
        ("#part", true, tcp("example.com", 444), "/a/b/c?x=1"),
    ];
    for (location, secure, endpoint, path) in cases {
        let next = base.resolve_location(location).unwrap();
        assert_eq!((next.secure, next.endpoint, next.path.as_str()), (secure, endpoint, path), "{location}");
        assert_eq!(next.authorization, None, "{location}");
    }
    for location in ["ftp://other", "mailto:a@b", "ws+unix:/a.sock", "//", "a\tb", "https:other", "/\\"] {
        assert!(base.resolve_location(location).is_err(), "{location}");
    }
    assert!(base.is_same_origin(&base.resolve_location("wss://EXAMPLE.com:444/").unwrap()));
    assert!(!base.is_same_origin(&base.resolve_location("wss://example.com/").unwrap()));
    assert!(!base.is_same_origin(&base.resolve_location("ws://example.com:444/").unwrap()));
}

/// Host, port, and path with query, as parsed by the `url` crate, which implements the standard.
fn standard(url: &str) -> Option<(String, u16, String)> {
    let url = Url::parse(url).ok()?;
    let query = url.query().map_or_else(String::new, |query| format!("?{query}"));
    // The standard has encoded `^` since 2023, which the crate does not do yet.
    let path = url.path().replace('^', "%5E");
    Some((url.host_str()?.to_owned(), url.port_or_known_default()?, format!("{path}{query}")))
}

fn ours(url: &str) -> Option<(String, u16, String)> {
    let target = Target::parse(url).ok()?;
    let Endpoint::Tcp { host, port } = target.endpoint else { return None };
    Some((host.to_string(), port, target.path))
}

/// The authority, percent-decoded if its encoding is valid.
fn authority_of(url: &str) -> String {
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let decoded =
        crate::credentials::percent_decode(authority).and_then(|bytes| String::from_utf8(bytes).ok());
    decoded.unwrap_or_else(|| authority.to_owned()).to_ascii_lowercase()
}

/// Whether this parser rejects a URL that the standard may accept.
fn is_refused_here(url: &str) -> bool {
    let authority = authority_of(url);
    let lacks_idna = !authority.is_ascii() && cfg!(not(feature = "idna"));
    url.contains(TAB_OR_NEWLINE) || authority.is_empty() || authority.contains('\\') || lacks_idna
}

#[track_caller]
fn assert_parsed_as_in_the_standard(url: &str) {
    if is_refused_here(url) {
        assert_eq!(ours(url), None, "{url:?}");
    } else if !authority_of(url).contains("xn--") {
        // ASCII names are not validated by IDNA here.
        assert_eq!(ours(url), standard(url), "{url:?}");
    }
}

#[test]
fn hosts_are_parsed_as_in_the_url_standard() {
    for (written, parsed) in [
        ("Example.COM", Some("example.com")),
        ("ex%61mple.com", Some("example.com")),
        ("0x7f000001", Some("127.0.0.1")),
        ("127.1", Some("127.0.0.1")),
        ("2130706433", Some("127.0.0.1")),
        ("0300.0250.1", Some("192.168.0.1")),
        ("1.2.3.4.", Some("1.2.3.4")),
        ("0x", Some("0.0.0.0")),
        ("0xffffffff", Some("255.255.255.255")),
        ("1.2.3", Some("1.2.0.3")),
        ("a.1b", Some("a.1b")),
        ("1.2.3.4.5", None),
        ("256.1.1.1", None),
        ("1.1.1.256", None),
        ("1..1", None),
        ("0x100000000", None),
        ("0xfffffffffffffffffffff", None),
        ("example.1", None),
        ("example.0x1", None),
        ("08", None),
        ("a<b", None),
        ("a%2fb", None),
        ("a%", None),
        ("a%ff", None),
        ("a^b", None),
        ("a|b", None),
        ("a b", None),
        ("a\"b", Some("a\"b")),
        (".", Some(".")),
        ("[::1]", Some("[::1]")),
        ("[0:0::0:1]", Some("[::1]")),
        ("[::ffff:1.2.3.4]", Some("[::ffff:102:304]")),
        ("[::1.2.3.4]", Some("[::102:304]")),
        ("[1:0:0:2::]", Some("[1:0:0:2::]")),
        ("[::1", None),
        ("[::1]a", None),
        ("[::1]]", None),
        ("[[::1]]", None),
        ("[]", None),
        ("[example.com]", None),
        ("[127.0.0.1]", None),
        ("[::1%]", None),
        ("::1", None),
        ("a]", None),
    ] {
        let url = format!("ws://{written}/");
        assert_eq!(ours(&url).map(|(host, ..)| host).as_deref(), parsed, "{url}");
        assert_eq!(ours(&url), standard(&url), "{url}");
    }
}

#[test]
fn a_port_consists_of_digits() {
    for (written, parsed) in [
        ("", Some(80)),
        (":", Some(80)),
        (":0080", Some(80)),
        (":0", Some(0)),
        (":65535", Some(65535)),
        (":65536", None),
        (":+80", None),
        (":-80", None),
        (":8x", None),
        (":8:8", None),
        (": 8", None),
        (":\u{661}", None),
    ] {
        for host in ["h", "[::1]"] {
            let url = format!("ws://{host}{written}/");
            assert_eq!(ours(&url).map(|(_, port, _)| port), parsed, "{url}");
            assert_eq!(ours(&url), standard(&url), "{url}");
        }
    }
}

#[test]
fn a_tab_or_line_break_is_refused_in_a_fragment_too() {
    let base = Target::parse("ws://h/").unwrap();
    for character in ['\t', '\r', '\n'] {
        for url in ["ws://h/#", "ws://h/#a", "ws+unix:/socket#"] {
            let url = format!("{url}{character}");
            assert!(matches!(Target::parse(&url), Err(UrlError::Invalid(_))), "{url:?}");
        }
        assert!(base.resolve_location(&format!("/b#{character}")).is_err());
    }
    assert_eq!(ours("ws://h/a#fragment"), ours("ws://h/a"));
}

#[test]
fn a_zone_is_not_part_of_the_host_name() {
    for (written, zone) in [("eth0", "eth0"), ("3", "3"), ("en%2e1", "en.1"), ("25", "25")] {
        let target = Target::parse(&format!("ws://[FE80::1%25{written}]:8080/a")).unwrap();
        let Endpoint::Tcp { host, port } = &target.endpoint else { panic!("{target:?}") };
        assert_eq!((host.name(), *port), ("fe80::1", 8080));
        assert_eq!(host.for_lookup(), format!("fe80::1%{zone}"));
        assert_eq!(target.host_header, "[fe80::1]:8080");
        // A relative reference keeps the zone.
        assert_eq!(target.resolve_location("/b").unwrap().endpoint, target.endpoint);
    }
    for zone in ["%25", "%eth0", "%25a%2fb", "%25a%zz", "%25a%20", "%25%25", "%25a]b", "%25\u{fc}"] {
        let url = format!("ws://[fe80::1{zone}]/");
        assert!(matches!(Target::parse(&url), Err(UrlError::Host { .. })), "{url}");
    }
}

#[test]
fn an_international_name_needs_the_feature_idna() {
    for url in ["ws://b\u{fc}cher.example/", "ws://b%C3%BCcher.example/"] {
        let host = Target::parse(url).map(|target| target.host_header);
        if cfg!(feature = "idna") {
            assert_eq!(host.as_deref(), Ok("xn--bcher-kva.example"));
        } else {
            let error = host.unwrap_err().to_string();
            assert!(error.contains("feature `idna`"), "{error}");
        }
    }
    for url in
        ["ws://a\u{ad}b/", "ws://\u{ad}/", "ws://\u{ff11}27\u{3002}1/", "ws://\u{fdd0}/", "ws://a\u{2048}b/"]
    {
        assert_parsed_as_in_the_standard(url);
    }
}

#[test]
fn paths_and_queries_are_encoded_as_in_the_url_standard() {
    for rest in [
        "",
        "?",
        "/?",
        "//a//",
        "/\u{fc} \"<>`{}^|[]\\'",
        "?\u{fc} \"<>`{}^|[]\\'",
        "/%zz%2",
        "/a/./b/../c/%2E%2e/d/.%2e",
        "/..",
        "/a/..",
        "/a/.",
        "/a/...",
        "/a\\..\\b",
        "/\u{1}\u{7f}?\u{1}\u{7f}",
        "/a ",
        "/a #b",
        "\\a",
    ] {
        assert_parsed_as_in_the_standard(&format!("ws://h{rest}"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_url_means_what_it_means_in_a_browser(
        scheme in "wss?", host in "[a-c0-9.x]{0,12}|[a-zA-Z%0-9.:\\[\\]\u{fc}\\\\]{0,8}|.{0,4}",
        port in "(:[0-9+a]{0,6})?", rest in "([/?][ -~\u{fc}\u{1}]{0,12}){0,3}",
    ) {
        // `ours` and `standard` do not compare user names.
        prop_assume!(!host.contains('@'));
        assert_parsed_as_in_the_standard(&format!("{scheme}://{host}{port}{rest}"));
    }

    #[test]
    fn an_address_in_brackets_is_parsed_as_in_a_browser(host in "[0-9a-f:.]{0,20}|(::)?([0-9a-f]{1,4}:){0,8}(:[0-9a-f]{1,5}){0,3}(1\\.2\\.3\\.4)?") {
        assert_parsed_as_in_the_standard(&format!("ws://[{host}]/"));
    }

    #[test]
    fn an_address_of_numbers_is_parsed_as_in_a_browser(host in "((0x|0)?[0-9a-f]{0,4}\\.?){1,5}") {
        assert_parsed_as_in_the_standard(&format!("ws://{host}/"));
    }

    #[test]
    fn a_reference_is_resolved_as_in_a_browser(reference in "[/?#.a\\\\ %2e]{0,12}") {
        let base = "wss://example.com:444/a/b/c?x=1";
        let resolved = Target::parse(base).unwrap().resolve_location(&reference).ok().map(|target| {
            let Endpoint::Tcp { host, port } = &target.endpoint else { panic!("{target:?}") };
            (host.to_string(), *port, target.path.clone())
        });
        let standard = Url::parse(base).unwrap().join(&reference).ok().and_then(|url| standard(url.as_str()));
        // This parser rejects more than two slashes before a host.
        let slashes = reference.trim_start_matches(' ').chars().take_while(|at| "/\\".contains(*at)).count();
        if slashes <= 2 {
            prop_assert_eq!(resolved, standard, "{:?}", reference);
        }
    }
}
