//! Panics in code of the application that runs during a handshake.

use super::{Make, Way, expect_echo, explode, once, payload, run, start};
use bytes::Bytes;
use e2e_tests::server::{Api, close_normally};
use http::{HeaderName, HeaderValue, Response};
use std::sync::Arc;
use ws_client::Connector;
use ws_server::rustls::server::{ClientHello, ResolvesServerCert};
use ws_server::rustls::{ServerConfig, crypto::ring, sign::CertifiedKey};
use ws_server::{OriginPolicy, Rejection, Server, ServerBuilder, Tls};

/// The statuses that two requests get.
async fn expect_statuses(builder: ServerBuilder, statuses: [u16; 2]) {
    for api in Api::ALL {
        let make: Make = Arc::new(|_| Bytes::new());
        let server = start(api, builder.clone(), Way::Send, make).await;
        for status in statuses {
            let mut client = server.connect().await;
            let request = client.request("/").with("Origin", "https://example.com").to_bytes();
            assert_eq!(client.upgrade_with(request).await.status(), status);
        }
        server.wait_for_handshakes(0).await;
        server.expect_alive().await;
        server.stop().await;
    }
}

#[test]
fn a_hook_whose_panic_panics_is_answered_with_500() {
    run(async {
        let any = || Server::builder().origin(OriginPolicy::Any);
        let on_request = any().on_request(|request| {
            if request.headers().contains_key("origin") {
                explode();
            }
            Ok(())
        });
        expect_statuses(on_request, [500, 500]).await;
        let in_the_call = any().on_request_async(|request| {
            if request.headers().contains_key("origin") {
                explode();
            }
            async { Ok(request) }
        });
        expect_statuses(in_the_call, [500, 500]).await;
        let in_the_future = any().on_request_async(async |request| {
            if request.headers().contains_key("origin") {
                explode();
            }
            Ok(request)
        });
        expect_statuses(in_the_future, [500, 500]).await;
        let policy = OriginPolicy::Custom(Arc::new(|_| {
            explode();
            true
        }));
        expect_statuses(Server::builder().origin(policy), [500, 500]).await;
    });
}

#[test]
fn what_an_answer_carries_may_panic_when_it_is_dropped() {
    run(async {
        let page = || Response::builder().status(402).body(payload(5, explode)).unwrap();
        let plain = Server::builder().http(move |_| page());
        let refused = Server::builder().on_request(move |_| Err(Rejection::from(page())));
        for (builder, upgrades) in [(plain, false), (refused, true)] {
            for api in Api::ALL {
                let make: Make = Arc::new(|_| Bytes::new());
                let server = start(api, builder.clone(), Way::Send, make).await;
                let mut client = server.connect().await;
                let mut request = client.request("/");
                if !upgrades {
                    request = request.without("Upgrade").without("Connection");
                }
                let head = client.upgrade_with(request.to_bytes()).await;
                assert_eq!((head.status(), client.recv_body(&head).await), (402, b"ppppp".to_vec()));
                server.wait_for_connections(0).await;
                server.stop().await;
            }
        }
        let header = Server::builder().on_request(|request| {
            let value = HeaderValue::from_maybe_shared(payload(5, explode)).unwrap();
            request.add_response_header(HeaderName::from_static("x-mine"), value);
            Ok(())
        });
        expect_service(header).await;
    });
}

/// A value that hooks attach to requests. Its destructor panics.
#[derive(Clone)]
struct Attached;

impl Drop for Attached {
    fn drop(&mut self) {
        explode();
    }
}

#[test]
fn what_a_request_carries_may_panic_when_it_is_dropped() {
    run(async {
        let attaching = Server::builder().on_request(|request| {
            request.extensions_mut().insert(Attached);
            Ok(())
        });
        expect_service(attaching).await;
    });
}

/// Connections of each API work, and end as they should.
async fn expect_service(builder: ServerBuilder) {
    for api in Api::ALL {
        let make: Make = Arc::new(|_| Bytes::new());
        let server = start(api, builder.clone(), Way::Send, make).await;
        let mut client = server.open().await;
        expect_echo(&mut client).await;
        close_normally(client).await;
        server.stop().await;
    }
}

/// A certificate resolver without a certificate. It panics at the first call.
struct Resolver(Box<dyn Fn() + Send + Sync>);

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Resolver")
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        (self.0)();
        None
    }
}

#[test]
fn a_certificate_resolver_that_panics_ends_its_own_handshake() {
    run(async {
        for api in Api::ALL {
            let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
            let config = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
            let config = config.with_cert_resolver(Arc::new(Resolver(Box::new(once()))));
            let make: Make = Arc::new(|_| Bytes::new());
            let builder = Server::builder().tls(Tls::from_config(Arc::new(config)));
            let server = start(api, builder, Way::Send, make).await;
            let url = format!("wss://localhost:{}/", server.addr().port());
            for _ in 0..2 {
                Connector::new().connect(&url).await.unwrap_err();
                server.wait_for_handshakes(0).await;
            }
            server.stop().await;
        }
    });
}
