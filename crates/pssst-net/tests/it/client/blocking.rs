//! A client for programs without async.

use std::fmt::Debug;
use std::io::ErrorKind;
use std::net::UdpSocket;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use pssst_net::blocking::{Client, ClientBuilder};
use pssst_net::pssst::{self, PublicKey, SecretKey};
use pssst_net::{Error, Retry};

use crate::client::TIMEOUT;
use crate::client::server::{TestServer, server_key};

fn builder() -> ClientBuilder {
    let retry = Retry { initial_timeout: Duration::from_millis(100), max_retransmits: 8 };
    Client::builder(server_key()).timeout(TIMEOUT).retry(retry)
}

/// Bounds what may block.
fn within_bounds(test: impl FnOnce() + Send + 'static) {
    let (done, wait) = mpsc::channel();
    let thread = thread::spawn(move || {
        test();
        done.send(()).unwrap();
    });
    let outcome = wait.recv_timeout(2 * TIMEOUT);
    assert_ne!(outcome, Err(mpsc::RecvTimeoutError::Timeout), "it hangs");
    thread.join().unwrap();
}

#[test]
fn threads_share_a_client() {
    within_bounds(|| {
        let server = TestServer::echo("127.0.0.1:0").unwrap();
        let client = &builder().connect(server.address().to_string()).unwrap();
        thread::scope(|scope| {
            for thread in 0..8 {
                scope.spawn(move || {
                    for number in 0..100 {
                        let message = format!("gauge {thread}/{number}?");
                        assert_eq!(client.request(&message).unwrap(), message);
                    }
                });
            }
        });
        assert_eq!((client.stats().requests, client.stats().replies, client.in_flight()), (800, 800, 0));
        client.send("23.5 C").unwrap();
        assert_eq!(client.stats().one_way, 1);
    });
}

#[test]
fn errors_are_those_of_the_other_client() {
    within_bounds(|| {
        let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
        let identity = SecretKey::from_bytes([0x1d; 32]);
        let client = builder().identity(&identity).max_datagram(200).connect(silent.local_addr().unwrap().to_string());
        let client = client.unwrap();
        let (start, time) = (Instant::now(), Duration::from_millis(50));
        let timeout = client.request_within(time, "level?");
        assert!(
            matches!(timeout, Err(Error::Timeout { sent: 1, refused: 0, last_network_error: None, .. })),
            "{timeout:?}"
        );
        assert!(start.elapsed() >= time);
        assert_eq!(client.max_message_len(), 200 - 92);
        assert!(matches!(client.request([7; 109]), Err(Error::TooLarge { message_len: 109, limit: 108 })));
        assert!(matches!(client.send([7; 109]), Err(Error::TooLarge { message_len: 109, limit: 108 })));
        let weak = client.set_server_key(PublicKey::from_bytes([0; 32]));
        assert!(matches!(weak, Err(Error::Protocol(pssst::Error::Refused(pssst::Refusal::WeakKey)))));
        assert_eq!(client.server_key(), server_key());
        client.set_server_key(identity.public_key()).unwrap();
        assert_eq!(client.server_key(), identity.public_key());
        assert!(matches!(builder().connect("no-port.example"), Err(Error::Network(_))));
    });
}

#[test]
fn closing_ends_requests_of_other_threads() {
    within_bounds(|| {
        let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
        let builder = builder().timeout(100 * TIMEOUT).max_in_flight(4);
        let client = &builder.connect(silent.local_addr().unwrap().to_string()).unwrap();
        thread::scope(|scope| {
            // Four are under way, and four wait for a place.
            let requests: Vec<_> = (0..8).map(|_| scope.spawn(|| client.request("level?"))).collect();
            while client.in_flight() < 4 {
                thread::sleep(Duration::from_millis(1));
            }
            client.close();
            for request in requests {
                assert!(matches!(request.join().unwrap(), Err(Error::Closed)));
            }
        });
        assert!(matches!(client.request("level?"), Err(Error::Closed)));
        assert!(matches!(client.send("23.5 C"), Err(Error::Closed)));
        assert_eq!(client.in_flight(), 0);
    });
}

#[test]
fn within_an_async_runtime_it_refuses_and_can_be_dropped() {
    within_bounds(|| {
        let server = TestServer::echo("127.0.0.1:0").unwrap();
        let address = server.address().to_string();
        let mut runtimes = [tokio::runtime::Builder::new_current_thread(), tokio::runtime::Builder::new_multi_thread()];
        for runtime in &mut runtimes {
            let client = builder().connect(&address).unwrap();
            assert_eq!(client.request("level?").unwrap(), "level?");
            runtime.enable_all().build().unwrap().block_on(async {
                assert_refused(client.request("level?"));
                assert_refused(client.request_within(TIMEOUT, "level?"));
                assert_refused(client.send("23.5 C"));
                assert_refused(builder().connect(&address));
                assert_eq!((client.stats().requests, client.in_flight()), (1, 0));
                drop(client);
            });
        }
    });
}

fn assert_refused<T: Debug>(outcome: Result<T, Error>) {
    match outcome {
        Err(Error::Network(error)) => {
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert!(error.to_string().contains("pssst_net::Client"));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn it_shows_no_secrets() {
    let identity = SecretKey::from_bytes(*b"an identity of thirty-two bytes.");
    let client = builder().identity(&identity).connect("127.0.0.1:9").unwrap();
    let text = format!("{client:?}");
    assert!(text.contains(&identity.public_key().to_string()), "{text}");
    assert!(!text.contains(identity.expose_hex().as_str()), "{text}");
    assert!(!text.contains("97, 110, 32, 105, 100"), "{text}");
}

#[test]
fn it_can_be_shared() {
    fn is_shared<T: Send + Sync + 'static>() {}
    is_shared::<Client>();
    is_shared::<ClientBuilder>();
}
