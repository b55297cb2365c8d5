//! How response heads are read: a refusal leniently, a 101 strictly.

use http::{Response, StatusCode, header};

use super::{super::ClientRequest, Limits, RESPONSE, ResponseError, ResponseReader};
use crate::handshake::ClientHandshake;

fn read(head: &str) -> Result<Response<()>, ResponseError> {
    let (response, len) =
        ResponseReader::new(&Limits::default()).read(head.as_bytes())?.expect("a complete head");
    assert_eq!(len, head.len());
    Ok(response)
}

#[test]
fn a_folded_value_is_joined_with_spaces() {
    for (folded, joined) in [
        ("a\r\n b", "a b"),
        ("a \t\r\n\t\t b \r\n c", "a b c"),
        ("\r\n a", "a"),
        ("a\r\n \r\n b", "a b"),
        ("\r\n ", ""),
    ] {
        for head in [format!("HTTP/1.1 403 No\r\nX: {folded}\r\nY: z\r\n\r\n"), {
            RESPONSE.replace("\r\n\r\n", &format!("\r\nX: {folded}\r\nY: z\r\n\r\n"))
        }] {
            let response = read(&head).unwrap();
            assert_eq!(
                (&response.headers()["x"], &response.headers()["y"]),
                (&joined.parse().unwrap(), &"z".parse().unwrap())
            );
        }
    }
}

#[test]
fn a_refusal_is_read_leniently_and_a_101_strictly() {
    for (from, to) in [
        ("\r\n", "\n"),
        ("Upgrade: websocket\r\n", "Upgrade: websocket\n"),
        ("Upgrade:", "Upgrade :"),
        ("Upgrade:", " X: y\r\nUpgrade:"),
        ("Upgrade:", "no colon\r\nUpgrade:"),
        ("Upgrade:", ": no name\r\nUpgrade:"),
        ("Upgrade:", "X: \u{1}\r\nUpgrade:"),
        ("Upgrade:", "X Y: z\r\nUpgrade:"),
        (" 101", "  101"),
    ] {
        let head = RESPONSE.replacen(from, to, if from == "\r\n" { usize::MAX } else { 1 });
        assert_ne!(head, RESPONSE);
        assert_eq!(read(&head).map(drop), Err(ResponseError::Malformed), "{head:?}");
        let response = read(&head.replace("101", "403")).unwrap();
        assert_eq!(response.status(), StatusCode::FORBIDDEN, "{head:?}");
        assert_eq!(response.headers()[header::UPGRADE], "websocket", "{head:?}");
    }
    for head in
        ["HTTP/1.1 403 No\r\nX: \0\r\n\r\n", "HTTP/1.1 403 No\r\nX: a\rb\r\n\r\n", "HTTP/1.1 40 No\r\n\r\n"]
    {
        assert_eq!(read(head).map(drop), Err(ResponseError::Malformed), "{head:?}");
    }
}

#[test]
fn a_response_that_is_not_http_is_refused_at_its_first_bytes() {
    for head in ["S", "SSH-2.0-x\r\n", "HTTQ", "http/1.1 403"] {
        let result = ResponseReader::new(&Limits::default()).read(head.as_bytes());
        assert_eq!(result.map(drop), Err(ResponseError::Malformed), "{head}");
    }
    for head in ["", "H", "HTTP/"] {
        assert_eq!(ResponseReader::new(&Limits::default()).read(head.as_bytes()).map(drop), Ok(()), "{head}");
    }
}

#[test]
fn debug_output_of_a_request_has_no_secrets() {
    let mut request = ClientRequest::new("example.com", "/chat?token=secret");
    request.headers.append("x-api-key", "secret".parse().unwrap());
    request.subprotocols.push("token.secret".to_owned());
    let (handshake, _) = ClientHandshake::new(&request, [7; 16]).unwrap();
    let printed = format!("{request:?} {handshake:?}");
    assert!(
        !printed.contains("secret") && printed.contains("x-api-key") && printed.contains("/chat"),
        "{printed}"
    );
}
