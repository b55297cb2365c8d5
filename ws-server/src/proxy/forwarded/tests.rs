use http::HeaderValue;
use proptest::prelude::*;

use super::*;

fn trusted() -> Networks {
    "10.0.0.0/8, ::1".parse().unwrap()
}

/// The client that lines of the header name.
fn client(forwarded: &Forwarded, name: &'static str, lines: &[&str]) -> Option<String> {
    let mut headers = HeaderMap::new();
    for line in lines {
        headers.append(name, HeaderValue::from_bytes(line.as_bytes()).unwrap());
    }
    forwarded.client(&headers).map(|client| client.to_string())
}

fn by_x_forwarded_for(lines: &[&str]) -> Option<String> {
    client(&Forwarded::x_forwarded_for(trusted()), "x-forwarded-for", lines)
}

fn by_forwarded(lines: &[&str]) -> Option<String> {
    client(&Forwarded::rfc_7239(trusted()), "forwarded", lines)
}

#[test]
fn the_rightmost_address_that_is_not_trusted_counts() {
    for (lines, expected) in [
        (&["192.0.2.1"][..], "192.0.2.1:0"),
        (&["203.0.113.9, 192.0.2.1"], "192.0.2.1:0"),
        (&["203.0.113.9, 192.0.2.1, 10.0.0.2,10.0.0.1"], "192.0.2.1:0"),
        (&["203.0.113.9", "192.0.2.1, 10.0.0.2", "::1"], "192.0.2.1:0"),
        (&["nonsense,\"\\, 192.0.2.1"], "192.0.2.1:0"),
        (&["unknown, 2001:db8::7 ,, ::ffff:10.0.0.1"], "[2001:db8::7]:0"),
        (&["10.0.0.3, 10.0.0.2"], "10.0.0.3:0"),
        (&["192.0.2.1:4711, 10.0.0.1:80"], "192.0.2.1:4711"),
        (&["[2001:db8::7]:4711"], "[2001:db8::7]:4711"),
        (&["[2001:db8::7]"], "[2001:db8::7]:0"),
    ] {
        assert_eq!(by_x_forwarded_for(lines).as_deref(), Some(expected), "{lines:?}");
    }
}

#[test]
fn an_element_without_an_address_changes_nothing() {
    for lines in [
        &[][..],
        &[""],
        &[" , ,"],
        &["192.0.2.1, unknown"],
        &["192.0.2.1, nonsense, 10.0.0.1"],
        &["192.0.2.1 10.0.0.1"],
        &["192.0.2.256"],
        &["192.0.2.01"],
        &["192.0.2.1:"],
        &["192.0.2.1:65536"],
        &["192.0.2.1:+1"],
        &["[192.0.2.1]"],
        &["[2001:db8::7"],
        &["[2001:db8::7]x"],
        &["fe80::1%eth0"],
        &["\"192.0.2.1\""],
        &["192.0.2.1", "\u{e9}"],
    ] {
        assert_eq!(by_x_forwarded_for(lines), None, "{lines:?}");
    }
}

#[test]
fn only_the_header_that_was_chosen_counts() {
    let forwarded = Forwarded::rfc_7239(trusted());
    assert_eq!(client(&forwarded, "x-forwarded-for", &["192.0.2.1"]), None);
    let forwarded = Forwarded::x_forwarded_for(trusted());
    assert_eq!(client(&forwarded, "forwarded", &["for=192.0.2.1"]), None);
}

#[test]
fn the_parameter_for_names_the_address() {
    for (lines, expected) in [
        (&["for=192.0.2.1"][..], "192.0.2.1:0"),
        (&["For=\"192.0.2.1:4711\";proto=https;by=203.0.113.43"], "192.0.2.1:4711"),
        (&["proto=http; for=\"[2001:db8::7]\" ;host=\"a;b,c\\\"=\""], "[2001:db8::7]:0"),
        (&["for=203.0.113.9, for=192.0.2.1, for=10.0.0.1"], "192.0.2.1:0"),
        (&["for=192.0.2.1", "for=\"[::1]:80\", for=10.0.0.1"], "192.0.2.1:0"),
        (&["for=10.0.0.7;by=_x,for=10.0.0.1"], "10.0.0.7:0"),
        (&["for=\"192\\.0.2.1\""], "192.0.2.1:0"),
        (&[",, for=192.0.2.1 ,"], "192.0.2.1:0"),
    ] {
        assert_eq!(by_forwarded(lines).as_deref(), Some(expected), "{lines:?}");
    }
}

#[test]
fn an_element_that_breaks_the_grammar_changes_nothing() {
    for line in [
        "192.0.2.1",
        "for=",
        "for=192.0.2.1:80",
        "for=[2001:db8::7]",
        "for=\"2001:db8::7\"",
        "for=\"[2001:db8::7]",
        "for=unknown",
        "for=_hidden",
        "for=\"192.0.2.1:_hidden\"",
        "proto=https",
        "for=192.0.2.1;for=192.0.2.1",
        "for =192.0.2.1",
        "for=192.0.2.1 proto=https",
        "for=192.0.2.1;proto",
        "for=192.0.2.1;=x",
        "for=\"192.0.2.1\"x",
        "for=203.0.113.9, for=unknown, for=10.0.0.1",
        "for=\"\u{e9}\"",
    ] {
        assert_eq!(by_forwarded(&[line]), None, "{line}");
    }
}

/// What a client sends cannot hide the element that a proxy appends, on the same line or on another.
#[test]
fn what_a_client_sends_cannot_hide_what_a_proxy_appends() {
    for sent in
        ["for=\"", "\"", "for=\"203.0.113.9", "\\", "for=\"\\", "a=\"b\\\"", ",,\",", ";", "for=10.0.0.1;\""]
    {
        for appended in ["for=192.0.2.1", "for=\"192.0.2.1\";host=\"a,b\""] {
            let expected = Some("192.0.2.1:0".to_owned());
            assert_eq!(by_forwarded(&[&format!("{sent}, {appended}")]), expected, "{sent}");
            assert_eq!(by_forwarded(&[sent, appended]), expected, "{sent}");
        }
    }
}

/// An address with or without a port, and how it is written in both headers.
fn any_element() -> impl Strategy<Value = (SocketAddr, String, String)> {
    let ip = prop_oneof![
        any::<[u8; 4]>().prop_map(IpAddr::from),
        any::<u8>().prop_map(|last| IpAddr::from([10, 0, 0, last])),
        any::<[u8; 16]>().prop_map(IpAddr::from),
    ];
    (ip, prop::option::of(any::<u16>())).prop_map(|(ip, port)| {
        let address = SocketAddr::new(ip, port.unwrap_or(0));
        let bare = if ip.is_ipv6() { format!("[{ip}]") } else { ip.to_string() };
        let node = if port.is_some() { address.to_string() } else { bare };
        (address, node.clone(), format!("for=\"{node}\""))
    })
}

proptest! {
    #[test]
    fn both_headers_name_the_client_whatever_came_with_the_request(
        elements in prop::collection::vec(any_element(), 1..8),
        sent in "[ -~]{0,40}",
        lines in any::<bool>(),
    ) {
        let is_trusted = |address: &SocketAddr| trusted().contains(address.ip());
        let Some(untrusted) = elements.iter().rposition(|(address, ..)| !is_trusted(address)) else {
            return Ok(());
        };
        let expected = Some(elements[untrusted].0.to_string());
        let separator = if lines { "\n" } else { ", " };
        let write = |part: fn(&(SocketAddr, String, String)) -> &String| {
            let appended: Vec<_> = elements.iter().map(|element| part(element).as_str()).collect();
            [&[sent.as_str()], &appended[..]].concat().join(separator)
        };
        let (plain, standard) = (write(|element| &element.1), write(|element| &element.2));
        prop_assert_eq!(by_x_forwarded_for(&plain.split('\n').collect::<Vec<_>>()), expected.clone());
        prop_assert_eq!(by_forwarded(&standard.split('\n').collect::<Vec<_>>()), expected);
    }

    #[test]
    fn any_line_names_a_client_or_changes_nothing(line in "(for=|[0-9.:,;\" \\\\\\[\\]]|proto){0,30}|[ -~]{0,40}") {
        let _ = (by_forwarded(&[&line]), by_x_forwarded_for(&[&line]));
    }
}
