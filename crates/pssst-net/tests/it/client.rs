//! The client over sockets of the system, against a server made by hand.

use std::io::ErrorKind;
use std::net::{SocketAddr, ToSocketAddrs, UdpSocket};
use std::time::{Duration, Instant};

use pssst_net::{Client, ClientBuilder, Error, Retry};
use rand::rngs::ChaCha20Rng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

use crate::common::SUITES;
use server::{TestServer, echo, server_key};

mod blocking;
mod server;

/// Long enough for whatever a busy machine does.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Sends again soon and often, within [`TIMEOUT`].
fn builder() -> ClientBuilder {
    let retry = Retry { initial_timeout: Duration::from_millis(100), max_retransmits: 8 };
    Client::builder(server_key()).timeout(TIMEOUT).retry(retry)
}

#[tokio::test]
async fn over_ipv4_and_ipv6() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let server = match TestServer::echo(address) {
            Err(error) if error.kind() == ErrorKind::AddrNotAvailable => {
                println!("skipped: no {address} here");
                continue;
            }
            server => server.unwrap(),
        };
        for suite in SUITES {
            let client = builder().suite(suite).connect(server.address().to_string()).await.unwrap();
            assert_eq!(client.request("level?").await.unwrap(), "level?");
            client.send("23.5 C").await.unwrap();
            assert_eq!(client.request("").await.unwrap(), "");
        }
    }
}

#[tokio::test]
async fn a_name_with_two_addresses_of_which_one_listens() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let Ok(server) = TestServer::echo(address) else {
            println!("skipped: no {address} here");
            continue;
        };
        let name = format!("localhost:{}", server.address().port());
        let addresses: Vec<SocketAddr> = name.to_socket_addrs().unwrap().collect();
        if !addresses.contains(&server.address()) {
            println!("skipped: localhost is only {addresses:?} here");
            continue;
        }
        println!("{name} is {addresses:?}, and {} listens", server.address());
        let client = builder().connect(&name).await.unwrap();
        for _ in 0..3 {
            assert_eq!(client.request("level?").await.unwrap(), "level?");
        }
    }
}

#[tokio::test]
async fn where_nobody_listens_the_deadline_is_kept_and_the_reason_told() {
    let free = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let client = builder().connect(free.to_string()).await.unwrap();
    let (start, time) = (Instant::now(), Duration::from_millis(800));
    match client.request_within(time, "level?").await {
        Err(Error::Timeout { sent, refused, last_network_error: Some(error), .. }) => {
            // Not earlier, whatever the network says.
            assert!(start.elapsed() >= time);
            assert!(sent >= 1, "{sent} sent");
            assert_eq!((refused, error.kind()), (0, ErrorKind::ConnectionRefused));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(client.in_flight(), 0);
}

/// At once, not only when something is sent again.
#[tokio::test]
async fn that_nobody_listens_is_told_after_a_single_packet() {
    let free = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let retry = Retry { max_retransmits: 0, ..Retry::default() };
    let client = builder().retry(retry).connect(free.to_string()).await.unwrap();
    match client.request_within(Duration::from_secs(1), "level?").await {
        Err(Error::Timeout { sent: 1, refused: 0, last_network_error: Some(error), .. }) => {
            assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!((client.stats().receive_errors, client.stats().send_errors), (1, 0));
}

#[tokio::test]
async fn a_server_that_restarts_is_found_again() {
    let server = TestServer::echo("127.0.0.1:0").unwrap();
    let address = server.address().to_string();
    let client = builder().connect(&address).await.unwrap();
    assert_eq!(client.request("level?").await.unwrap(), "level?");
    drop(server);
    let request = tokio::spawn({
        let client = client.clone();
        async move { client.request("rain?").await }
    });
    tokio::time::timeout(TIMEOUT, async {
        while client.stats().receive_errors == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await
    .expect("the system reports that nobody listens");
    let _server = TestServer::echo(&address).unwrap();
    assert_eq!(request.await.unwrap().unwrap(), "rain?");
}

#[tokio::test]
async fn the_second_resend_is_the_same_packet_from_another_port() {
    let mut packets = 0;
    let server = TestServer::start("127.0.0.1:0", move |socket, datagram| {
        if let Some((peer, packet)) = datagram {
            packets += 1;
            if packets == 3 {
                socket.send_to(&echo(packet), peer).unwrap();
            }
        }
    })
    .unwrap();
    let client = builder().connect(server.address().to_string()).await.unwrap();
    assert_eq!(client.request("level?").await.unwrap(), "level?");
    let seen = server.seen();
    let ports: Vec<u16> = seen.iter().map(|(peer, _)| peer.port()).collect();
    assert!(ports[0] == ports[1] && ports[1] != ports[2], "{ports:?}");
    assert!(seen.iter().all(|(_, packet)| *packet == seen[0].1));
}

#[tokio::test]
async fn a_reply_to_a_port_that_was_left_is_taken() {
    let mut first = None;
    let mut packets = 0;
    let server = TestServer::start("127.0.0.1:0", move |socket, datagram| {
        if let Some((peer, packet)) = datagram {
            packets += 1;
            let first = *first.get_or_insert(peer);
            if packets == 4 {
                socket.send_to(&echo(packet), first).unwrap();
            }
        }
    })
    .unwrap();
    let client = builder().connect(server.address().to_string()).await.unwrap();
    assert_eq!(client.request("level?").await.unwrap(), "level?");
    assert!(client.stats().paths_opened >= 3);
}

#[tokio::test]
async fn the_system_drops_what_strangers_send() {
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut packets = 0;
    let server = TestServer::start("127.0.0.1:0", move |socket, datagram| {
        if let Some((peer, packet)) = datagram {
            packets += 1;
            // True, but from another address.
            stranger.send_to(&echo(packet), peer).unwrap();
            if packets == 2 {
                socket.send_to(&echo(packet), peer).unwrap();
            }
        }
    })
    .unwrap();
    let client = builder().connect(server.address().to_string()).await.unwrap();
    assert_eq!(client.request("level?").await.unwrap(), "level?");
    assert!(client.stats().datagrams_sent >= 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_requests_at_once_answered_at_random() {
    let seed = rand::random::<u64>();
    println!("seed {seed}");
    let mut random = ChaCha20Rng::seed_from_u64(seed);
    let mut replies: Vec<(SocketAddr, Vec<u8>)> = Vec::new();
    let server = TestServer::start("127.0.0.1:0", move |socket, datagram| {
        if let Some((peer, packet)) = datagram {
            let reply = echo(packet);
            if random.random_bool(0.1) {
                replies.push((peer, reply.clone()));
            }
            replies.push((peer, reply));
        }
        if datagram.is_none() || replies.len() > 100 {
            replies.shuffle(&mut random);
            for (peer, reply) in replies.drain(..) {
                // A full buffer, or a client that left the port: it asks again.
                drop(socket.send_to(&reply, peer));
            }
        }
    })
    .unwrap();
    let client = builder().connect(server.address().to_string()).await.unwrap();
    let requests: Vec<_> = (0..1000)
        .map(|number| {
            let client = client.clone();
            tokio::spawn(async move { (number, client.request(format!("gauge {number}?")).await) })
        })
        .collect();
    for request in requests {
        let (number, reply) = request.await.unwrap();
        assert_eq!(reply.unwrap(), format!("gauge {number}?"));
    }
    let stats = client.stats();
    println!("{stats:?}");
    assert_eq!((stats.requests, stats.replies, stats.refused(), client.in_flight()), (1000, 1000, 0, 0));
}

#[tokio::test]
async fn no_client_without_an_address() {
    for server in ["no-port.example", "127.0.0.1:65536", "", "[::1:1"] {
        assert!(matches!(builder().connect(server).await, Err(Error::Network(_))), "{server}");
    }
}
