//! Upstreams of HTTP.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, Version};
use axum::routing::post;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use pssst_gateway::ExchangeOutcome::{Answered, Broken, Delivered, StatusRefused, TooLarge};
use pssst_gateway::{Error, Gateway, HttpVersion, StatusRule, Upstream};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::{ServerConfig, crypto, version};

use crate::common::*;

/// Serves both versions of HTTP, over TLS or without, and counts connections.
async fn serve(app: Router, tls: Option<TlsAcceptor>) -> (std::net::SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::Relaxed);
            let (service, tls) = (TowerToHyperService::new(app.clone()), tls.clone());
            tokio::spawn(async move {
                let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                match tls {
                    Some(tls) => {
                        let Ok(stream) = tls.accept(stream).await else { return };
                        drop(server.serve_connection(TokioIo::new(stream), service).await);
                    }
                    None => drop(server.serve_connection(TokioIo::new(stream), service).await),
                }
            });
        }
    });
    (address, connections)
}

fn tls() -> (TlsAcceptor, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let mut config = ServerConfig::builder_with_provider(Arc::new(crypto::aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    (TlsAcceptor::from(Arc::new(config)), made.cert.pem())
}

/// Answers with the version that was spoken, and the message.
fn versioned() -> Router {
    Router::new().route(
        "/",
        post(|request: Request| async move {
            let version = match request.version() {
                Version::HTTP_2 => "2",
                Version::HTTP_11 => "1",
                _ => "?",
            };
            let body = axum::body::to_bytes(request.into_body(), 100_000).await.unwrap();
            [version.as_bytes(), &body].concat()
        }),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn both_versions_are_spoken_over_tls_and_without() {
    let folder = tempfile::tempdir().unwrap();
    let (acceptor, pem) = tls();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, pem).unwrap();
    let (plain, _) = serve(versioned(), None).await;
    let (secure, _) = serve(versioned(), Some(acceptor)).await;
    let over_http = |version| gateway_to(format!("http://{plain}/")).http_version(version);
    let over_tls =
        |version| gateway_to(format!("https://localhost:{}/", secure.port())).ca_file(&ca).http_version(version);
    for (builder, spoken) in [
        (over_http(HttpVersion::Auto), "1"),
        (over_http(HttpVersion::Http1), "1"),
        (over_http(HttpVersion::Http2), "2"),
        (over_tls(HttpVersion::Auto), "2"),
        (over_tls(HttpVersion::Http1), "1"),
        (over_tls(HttpVersion::Http2), "2"),
    ] {
        let chain = Chain::new(builder).await;
        assert_eq!(chain.ask(b" hello").await.unwrap(), format!("{spoken} hello").as_bytes());
        chain.outcomes(&[(Answered, 1)]);
    }
    // An upstream without a trusted certificate gets no request.
    let stranger = Chain::new(gateway_to(format!("https://127.0.0.1:{}/", secure.port())).ca_file(&ca)).await;
    assert!(stranger.is_silent(b"hello").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_used_again() {
    for version in [HttpVersion::Http1, HttpVersion::Http2] {
        let (address, connections) = serve(versioned(), None).await;
        let chain = Chain::new(gateway_to(format!("http://{address}/")).http_version(version)).await;
        for _ in 0..50 {
            chain.ask(b"hello").await.unwrap();
        }
        assert_eq!(connections.load(Ordering::Relaxed), 1, "{version:?}");
    }
}

/// As services do that close what they have kept for a while: at any moment.
#[tokio::test(flavor = "multi_thread")]
async fn a_kept_connection_that_ends_costs_no_request() {
    let address = tcp(|mut connection| async move {
        for _ in 0..2 {
            if read_http(&mut connection).await.is_none() {
                return;
            }
            connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
        }
        // The third request is on its way.
        read_http(&mut connection).await;
    })
    .await;
    let chain = Chain::new(gateway_to(format!("http://{address}/"))).await;
    for _ in 0..100 {
        assert_eq!(chain.ask(b"hello").await.unwrap(), b"ok");
    }
    chain.outcomes(&[(Answered, 100)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_never_answers_is_asked_twice_at_most() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let address = tcp(move |mut connection| {
        let count = Arc::clone(&count);
        async move {
            read_http(&mut connection).await;
            count.fetch_add(1, Ordering::Relaxed);
        }
    })
    .await;
    let chain = Chain::new(gateway_to(format!("http://{address}/"))).await;
    assert!(chain.is_silent(b"hello").await);
    chain.outcomes(&[(Broken, 1)]);
    assert_eq!(asked.load(Ordering::Relaxed), 2);
    // What has begun is not asked for again.
    let address = tcp(|mut connection| async move {
        read_http(&mut connection).await;
        connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\no").await.unwrap();
    })
    .await;
    let chain = Chain::new(gateway_to(format!("http://{address}/"))).await;
    assert!(chain.is_silent(b"hello").await);
    chain.outcomes(&[(Broken, 1)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_tell_who_asks_and_no_client_can_forge_them() {
    let seen = Arc::new(Mutex::new(Vec::<(HeaderMap, Bytes)>::new()));
    let inbox = Arc::clone(&seen);
    let app = Router::new().route(
        "/readings",
        post(move |headers: HeaderMap, body: Bytes| async move {
            inbox.lock().unwrap().push((headers, body));
        }),
    );
    let (address, _) = serve(app, None).await;
    let names = Arc::new(Mutex::new(None::<&'static str>));
    let known = Arc::clone(&names);
    let chain = Chain::new(
        gateway_to(format!("http://{address}/readings?from=gateway"))
            .content_type("application/cbor")
            .authorization("Bearer of-the-gateway")
            .unwrap()
            .names(move |_| known.lock().unwrap().map(Into::into)),
    )
    .await;
    let forged = b"\r\nPSSST-Client-Key: 00\r\nPSSST-Client-Name: root\r\n\r\n";
    for name in [None, Some("boiler-7"), Some("K\u{fc}che 50% \r\nPSSST-Client-Name: root")] {
        *names.lock().unwrap() = name;
        assert_eq!(chain.ask(forged).await.unwrap(), b"");
    }
    chain.ask_anonymously(forged).await.unwrap();

    let seen = seen.lock().unwrap();
    let key = chain.identity.to_string();
    let encoded = "K%C3%BCche%2050%25%20%0D%0APSSST-Client-Name:%20root";
    let expected = [
        (Some(key.as_str()), None),
        (Some(key.as_str()), Some("boiler-7")),
        (Some(key.as_str()), Some(encoded)),
        (None, None),
    ];
    let mut ids = std::collections::HashSet::new();
    for ((headers, body), (key, name)) in seen.iter().zip(expected) {
        let header = |name: &str| {
            assert!(headers.get_all(name).iter().count() <= 1, "{name}");
            headers.get(name).map(|value| value.to_str().unwrap())
        };
        assert_eq!((header("pssst-client-key"), header("pssst-client-name")), (key, name));
        assert_eq!(
            (header("content-type"), header("authorization")),
            (Some("application/cbor"), Some("Bearer of-the-gateway"))
        );
        let id = header("pssst-request-id").unwrap();
        assert!(id.len() == 64 && ids.insert(id.to_owned()), "{id}");
        assert_eq!(&body[..], forged);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_is_a_reply_or_is_not_as_the_rule_says() {
    let app = Router::new().route(
        "/",
        post(|body: Bytes| async move {
            let status = std::str::from_utf8(&body).unwrap().parse::<u16>().unwrap();
            let location = [("location", "/elsewhere")];
            (StatusCode::from_u16(status).unwrap(), location, if status == 204 { "" } else { "body" })
        }),
    );
    let (address, _) = serve(app, None).await;
    let ok = Chain::new(gateway_to(format!("http://{address}/"))).await;
    for (status, reply) in [("200", "body"), ("201", "body"), ("204", "")] {
        assert_eq!(ok.ask(status.as_bytes()).await.unwrap(), reply.as_bytes());
    }
    for status in ["301", "307", "400", "404", "429"] {
        assert!(ok.is_silent(status.as_bytes()).await, "{status}");
    }
    ok.outcomes(&[(Answered, 3), (StatusRefused, 5)]);

    let prefix = Chain::new(gateway_to(format!("http://{address}/")).status_rule(StatusRule::Prefix)).await;
    for (status, reply) in
        [("200", &b"\x00\xc8body"[..]), ("204", b"\x00\xcc"), ("307", b"\x01\x33body"), ("503", b"\x01\xf7body")]
    {
        assert_eq!(prefix.ask(status.as_bytes()).await.unwrap(), reply, "{status}");
    }

    // With one-way delivery, a refused message was not delivered.
    for rule in [StatusRule::Ok, StatusRule::Prefix] {
        let builder = gateway_to(format!("http://{address}/")).status_rule(rule).one_way(true);
        let one_way = Chain::new(builder).await;
        for status in ["200", "404", "500"] {
            one_way.send(status.as_bytes()).await;
        }
        one_way.outcomes(&[(Delivered, 1), (StatusRefused, 2)]);
    }
}

/// 5xx says that the upstream fails, 4xx that the client does.
#[tokio::test(flavor = "multi_thread")]
async fn only_failures_of_the_upstream_open_the_circuit() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let app = Router::new().route(
        "/",
        post(move |body: Bytes| async move {
            count.fetch_add(1, Ordering::Relaxed);
            StatusCode::from_u16(std::str::from_utf8(&body).unwrap().parse().unwrap()).unwrap()
        }),
    );
    let (address, _) = serve(app, None).await;
    let breaker = pssst_gateway::CircuitBreaker::new(3, Duration::from_millis(1500));
    let chain = Chain::new(gateway_to(format!("http://{address}/")).circuit_breaker(breaker)).await;
    // One client whose messages the service fails on takes it from no other client.
    for status in ["404", "500", "500", "500", "502", "503", "500", "504", "502"] {
        assert!(chain.is_silent(status.as_bytes()).await);
    }
    assert!(!chain.gateway.stats().is_circuit_open);
    assert!(chain.is_silent(b"503").await);
    assert!(chain.gateway.stats().is_circuit_open);
    // Nothing gets through, until a probe does.
    assert!(chain.is_silent(b"200").await);
    assert_eq!(asked.load(Ordering::Relaxed), 10);
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(chain.ask(b"200").await.unwrap(), b"");
    assert!(!chain.gateway.stats().is_circuit_open);
    chain.outcomes(&[(Answered, 1), (StatusRefused, 10), (pssst_gateway::ExchangeOutcome::CircuitOpen, 1)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_up_to_the_limit_are_passed_on() {
    let app = Router::new().route(
        "/",
        post(|body: Bytes| async move { vec![7_u8; std::str::from_utf8(&body).unwrap().parse().unwrap()] }),
    );
    let (address, _) = serve(app, None).await;
    let plain = Chain::new(gateway_to(format!("http://{address}/")).max_reply(1000)).await;
    let prefixed =
        Chain::new(gateway_to(format!("http://{address}/")).max_reply(1000).status_rule(StatusRule::Prefix)).await;
    for (chain, limit) in [(&plain, 1000), (&prefixed, 998)] {
        for len in [0, 1, limit - 1, limit] {
            assert!(chain.ask(len.to_string().as_bytes()).await.unwrap().ends_with(&vec![7; len]));
        }
        for len in [limit + 1, 100_000_000] {
            assert!(chain.is_silent(len.to_string().as_bytes()).await);
        }
        chain.outcomes(&[(Answered, 4), (TooLarge, 2)]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_way_messages_are_posted() {
    let seen = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&seen);
    let app = Router::new().route(
        "/",
        post(move |body: Bytes| async move {
            count.fetch_add(body.len(), Ordering::Relaxed);
            if body.is_empty() { StatusCode::BAD_REQUEST } else { StatusCode::ACCEPTED }
        }),
    );
    let (address, _) = serve(app, None).await;
    let chain = Chain::new(gateway_to(format!("http://{address}/")).one_way(true)).await;
    chain.send(b"reading").await;
    assert!(chain.is_silent(b"reading").await);
    chain.send(b"").await;
    chain.outcomes(&[(Delivered, 2), (StatusRefused, 1)]);
    assert_eq!(seen.load(Ordering::Relaxed), 14);
}

#[test]
fn what_does_not_fit_together_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (empty, missing) = (folder.path().join("empty.pem"), folder.path().join("missing.pem"));
    std::fs::write(&empty, "").unwrap();
    let to = |location: &str| Gateway::builder(location.parse::<Upstream>().unwrap());
    macro_rules! assert_refused {
        ($outcome:expr, $cause:pat) => {
            let error = $outcome.unwrap_err();
            assert!(matches!(error, $cause), "{error:?}");
        };
    }
    assert_refused!(to("http://localhost/").content_type("a\nb").build(), Error::InvalidContentType(_));
    assert_refused!(to("http://localhost/").prefix_client_key(true).build(), Error::KeyPrefixOverHttp);
    assert_refused!(to("http://localhost/").ca_file(&empty).build(), Error::AuthoritiesWithoutTls);
    assert_refused!(to("udp://localhost:1").ca_file(&empty).build(), Error::AuthoritiesWithoutTls);
    assert_refused!(to("https://localhost/").ca_file(&empty).build(), Error::InvalidAuthorities { .. });
    assert_refused!(to("https://localhost/").ca_file(&missing).build(), Error::UnreadableAuthorities { .. });
    assert_refused!(to("unix:/a").authorization("Bearer a").unwrap().build(), Error::AuthorizationWithoutHttp);
    assert_refused!(to("http://localhost/").authorization(""), Error::EmptyAuthorization);
    assert_refused!(to("http://localhost/").authorization("Bearer secret\n"), Error::InvalidAuthorization);
    let shown =
        format!("{:?}", to("http://localhost/?secret").authorization("Bearer secret").unwrap().build().unwrap());
    assert!(!shown.contains("Bearer"), "{shown}");
}
