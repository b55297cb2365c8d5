//! permessage-deflate as a client offers it (RFC 7692 section 7.1).

use ws_client::{Connector, DeflateConfig, error::ConnectError};

use crate::support::{SWITCHING, answered_with, run};

fn compressing() -> Connector {
    Connector::new().deflate(Some(DeflateConfig::client()))
}

async fn answered(connector: &Connector, extensions: &str) -> Result<bool, ConnectError> {
    let response = format!("{SWITCHING}Sec-WebSocket-Extensions: {extensions}\r\n\r\n");
    answered_with(connector, &response).await.map(|connected| connected.ws.deflate_params().is_some())
}

#[test]
fn an_answer_to_the_offer_is_taken() {
    run(async {
        for extensions in [
            "permessage-deflate",
            "permessage-deflate; server_no_context_takeover",
            "permessage-deflate; client_max_window_bits=9; server_max_window_bits=\"10\"",
        ] {
            assert!(answered(&compressing(), extensions).await.unwrap(), "{extensions}");
        }
        let response = format!("{SWITCHING}\r\n");
        let connected = answered_with(&compressing(), &response).await.unwrap();
        assert_eq!(connected.ws.deflate_params(), None, "a server need not");
    });
}

#[test]
fn an_answer_to_anything_else_fails_the_connection() {
    run(async {
        for extensions in [
            "permessage-bzip2",
            "permessage-deflate; unknown",
            "permessage-deflate, permessage-deflate",
            "permessage-deflate; client_max_window_bits",
            "permessage-deflate; server_max_window_bits=7",
            "permessage-deflate;",
        ] {
            let result = answered(&compressing(), extensions).await;
            assert!(matches!(result, Err(ConnectError::Response(_))), "{extensions}: {result:?}");
        }
        let result = answered(&Connector::new(), "permessage-deflate").await;
        assert!(matches!(result, Err(ConnectError::Response(_))), "it was not offered: {result:?}");
    });
}

#[test]
fn a_setting_out_of_range_is_an_error_before_any_byte_is_sent() {
    run(async {
        let mut config = DeflateConfig::client();
        config.level = 0;
        let error = Connector::new().deflate(Some(config)).connect("ws://127.0.0.1:1/").await.unwrap_err();
        assert!(matches!(error, ConnectError::Config(_)), "{error}");
    });
}
