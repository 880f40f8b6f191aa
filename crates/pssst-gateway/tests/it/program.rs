//! Proxies, for programs that speak plain UDP.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pssst_gateway::{Proxy, ProxyDrop, ProxyStats};
use pssst_net::pssst::{SecretKey, SysRng};
use pssst_net::{Client, Handler, Reply, Request, Retry, Server, ServerConfig};
use pssst_test::{PATIENCE, until, wait_for_value};
use tokio::net::UdpSocket;
use tokio::time::timeout;

/// Answers with the message and who sent it; not at all to `silence`.
fn server() -> (Server, SecretKey) {
    let secret = SecretKey::generate(&mut SysRng).unwrap();
    let handler = Handler::from_fn(|request: Request<&[u8]>| match request.message() {
        b"silence" => None,
        message => Some(Reply::from([message, if request.client_key().is_some() { b"+" } else { b"-" }].concat())),
    });
    let config = ServerConfig::new(secret.clone(), handler).max_amplification(None);
    let builder = Server::builder().workers(1).max_datagram(65_507);
    (builder.bind("127.0.0.1:0").unwrap().serve(config).unwrap(), secret)
}

async fn client(server: SocketAddr, secret: &SecretKey, identity: Option<&SecretKey>) -> Client {
    let mut builder = Client::builder(secret.public_key())
        .timeout(Duration::from_secs(1))
        .retry(Retry { initial_timeout: PATIENCE, max_retransmits: 0 });
    if let Some(identity) = identity {
        builder = builder.identity(identity);
    }
    builder.connect(server.to_string()).await.unwrap()
}

async fn program(proxy: SocketAddr) -> UdpSocket {
    let any = if proxy.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
    let socket = UdpSocket::bind(any).await.unwrap();
    socket.connect(proxy).await.unwrap();
    socket
}

async fn exchange(program: &UdpSocket, message: &[u8]) -> Vec<u8> {
    program.send(message).await.unwrap();
    let mut buffer = vec![0; 65_535];
    let len = timeout(PATIENCE, program.recv(&mut buffer)).await.unwrap().unwrap();
    buffer.truncate(len);
    buffer
}

#[track_caller]
fn wait_for(proxy: &Proxy, what: impl Fn(&ProxyStats) -> bool) -> ProxyStats {
    let figures = wait_for_value("the proxy's figures", || {
        let stats = Box::new(proxy.stats());
        if what(&stats) { Ok(stats) } else { Err(stats) }
    });
    *figures
}

#[tokio::test(flavor = "multi_thread")]
async fn each_program_hears_its_own_answers() {
    let (server, secret) = server();
    let bound = Proxy::builder(client(server.local_addr(), &secret, None).await)
        .bind(&["127.0.0.1:0".parse().unwrap(), "[::1]:0".parse().unwrap()])
        .unwrap();
    let addresses = bound.local_addrs().to_vec();
    let proxy = bound.serve().unwrap();
    let programs = (0..40).map(|number: usize| {
        let address = addresses[number % 2];
        tokio::spawn(async move {
            let socket = program(address).await;
            for turn in 0..10 {
                let message = format!("{number}/{turn}");
                assert_eq!(exchange(&socket, message.as_bytes()).await, format!("{message}-").as_bytes());
            }
        })
    });
    for program in programs.collect::<Vec<_>>() {
        program.await.unwrap();
    }
    let stats = proxy.shutdown(PATIENCE).await;
    assert_eq!((stats.received, stats.replies, stats.in_flight()), (400, 400, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn datagrams_of_every_size_are_carried_or_counted() {
    let (server, secret) = server();
    let client = client(server.local_addr(), &secret, None).await;
    let limit = client.max_message_len();
    let bound = Proxy::builder(client).bind(&["127.0.0.1:0".parse().unwrap()]).unwrap();
    let address = bound.local_addrs()[0];
    let proxy = bound.serve().unwrap();
    let socket = program(address).await;
    for len in [0, 1, limit - 1, limit] {
        assert_eq!(exchange(&socket, &vec![7; len]).await.len(), len + 1);
    }
    for len in [limit + 1, 65_507] {
        socket.send(&vec![7; len]).await.unwrap();
    }
    let stats = wait_for(&proxy, |stats| stats.received == 6 && stats.in_flight() == 0);
    assert_eq!((stats.replies, stats.dropped(ProxyDrop::RequestTooLarge)), (4, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_ends_and_too_much_is_dropped() {
    let (server, secret) = server();
    let bound = Proxy::builder(client(server.local_addr(), &secret, None).await)
        .max_in_flight(10)
        .bind(&["127.0.0.1:0".parse().unwrap()])
        .unwrap();
    let address = bound.local_addrs()[0];
    let proxy = bound.serve().unwrap();
    let socket = program(address).await;
    for _ in 0..25 {
        socket.send(b"silence").await.unwrap();
    }
    let stats = wait_for(&proxy, |stats| stats.received == 25 && stats.in_flight() == 0);
    assert_eq!((stats.dropped(ProxyDrop::TimedOut), stats.dropped(ProxyDrop::Overloaded)), (10, 15));
    assert_eq!(exchange(&socket, b"well?").await, b"well?-");
    // A pool that is gone is no other silence.
    server.shutdown(PATIENCE).await;
    socket.send(b"hello").await.unwrap();
    wait_for(&proxy, |stats| stats.dropped(ProxyDrop::TimedOut) == 11);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_client_takes_over_and_nothing_is_lost() {
    let (server, secret) = server();
    let identity = SecretKey::generate(&mut SysRng).unwrap();
    let bound = Proxy::builder(client(server.local_addr(), &secret, None).await)
        .bind(&["127.0.0.1:0".parse().unwrap()])
        .unwrap();
    let address = bound.local_addrs()[0];
    let proxy = Arc::new(bound.serve().unwrap());
    let stop = Arc::new(AtomicBool::new(false));
    let asking = tokio::spawn({
        let stop = stop.clone();
        async move {
            let socket = program(address).await;
            let (mut asked, mut proven) = (0, 0);
            while !stop.load(Ordering::Relaxed) {
                let message = asked.to_string();
                let answer = exchange(&socket, message.as_bytes()).await;
                assert!(answer.starts_with(message.as_bytes()));
                asked += 1;
                proven += u64::from(answer.ends_with(b"+"));
            }
            (asked, proven)
        }
    });
    for turn in 0..20 {
        let who = (turn % 2 == 0).then_some(&identity);
        proxy.replace_client(client(server.local_addr(), &secret, who).await);
        // Each client carries at least eight of these: one may not have been counted, one may have
        // been under way.
        let replies = proxy.stats().replies;
        wait_for(&proxy, |stats| stats.replies >= replies + 10);
    }
    stop.store(true, Ordering::Relaxed);
    let (asked, proven) = asking.await.unwrap();
    assert!((80..=asked - 80).contains(&proven), "{proven} of {asked}");
    // The last is counted when it has been sent.
    wait_for(&proxy, |stats| stats.replies == asked);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_way_datagrams_are_sent_on() {
    let (server, secret) = server();
    let bound = Proxy::builder(client(server.local_addr(), &secret, None).await)
        .one_way(true)
        .bind(&["127.0.0.1:0".parse().unwrap()])
        .unwrap();
    let address = bound.local_addrs()[0];
    let proxy = bound.serve().unwrap();
    let socket = program(address).await;
    for _ in 0..20 {
        socket.send(b"reading").await.unwrap();
    }
    wait_for(&proxy, |stats| stats.one_way == 20 && stats.in_flight() == 0);
    until("the server receives them", async || server.stats().received == 20).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_machines_are_kept_out_unless_they_are_let_in() {
    let (server, secret) = server();
    let client = client(server.local_addr(), &secret, None).await;
    let any: [SocketAddr; 1] = ["0.0.0.0:0".parse().unwrap()];
    let refused = Proxy::builder(client.clone()).bind(&any).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::InvalidInput);
    assert!(Proxy::builder(client.clone()).bind(&[]).is_err());
    let bound = Proxy::builder(client).allow_other_hosts(true).bind(&any).unwrap();
    let port = bound.local_addrs()[0].port();
    let _proxy = bound.serve().unwrap();
    // The answer leaves from the address that was asked, or a connected socket would not take it.
    for host in ["127.0.0.1", "127.0.0.2"] {
        let socket = UdpSocket::bind((host, 0)).await.unwrap();
        socket.connect((host, port)).await.unwrap();
        assert_eq!(exchange(&socket, b"hello").await, b"hello-");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_turns_that_has_nothing_to_do_and_one_that_has_ended_does_not() {
    let (server, secret) = server();
    let bound = Proxy::builder(client(server.local_addr(), &secret, None).await)
        .bind(&["127.0.0.1:0".parse().unwrap(), "[::1]:0".parse().unwrap()])
        .unwrap();
    let proxy = bound.serve().unwrap();
    let (mut turned, mut before) = (0, Duration::ZERO);
    let turns = async || {
        let present = proxy.worker_stall();
        turned += u32::from(present < before);
        before = present;
        turned == 3
    };
    until("it turns three times", turns).await;
    proxy.shutdown(PATIENCE).await;
    // More than two idle turns.
    until("it turns no more", async || proxy.worker_stall() >= Duration::from_secs(2)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_stops_finishes_what_it_can() {
    let (server, secret) = server();
    let bound = Proxy::builder(client(server.local_addr(), &secret, None).await)
        .bind(&["127.0.0.1:0".parse().unwrap()])
        .unwrap();
    let address = bound.local_addrs()[0];
    let proxy = bound.serve().unwrap();
    let socket = program(address).await;
    for _ in 0..5 {
        socket.send(b"silence").await.unwrap();
    }
    wait_for(&proxy, |stats| stats.received == 5);
    let stats = proxy.shutdown(Duration::from_millis(50)).await;
    assert_eq!((stats.dropped(ProxyDrop::Cancelled), stats.in_flight()), (5, 0));
}
