//! Upstreams that do whatever they must not do.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use pssst_gateway::CircuitBreaker;
use pssst_gateway::ExchangeOutcome::{
    Answered, Broken, Cancelled, CircuitOpen, Malformed, Overloaded, TimedOut, TooLarge, Unreachable,
};
use pssst_net::DatagramOutcome;
use pssst_test::wait_for_value;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream, UdpSocket};

use crate::common::*;

const NEVER: CircuitBreaker = CircuitBreaker::new(0, Duration::from_secs(1));

/// A port that nobody listens at, of either protocol.
async fn closed() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(UdpSocket::bind(address).await.unwrap());
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_there() {
    let address = closed().await;
    for location in
        [format!("http://{address}/"), format!("udp://{address}"), format!("tcp://{address}"), "unix:/none".into()]
    {
        let chain = Chain::new(gateway_to(location).circuit_breaker(NEVER)).await;
        for _ in 0..3 {
            assert!(chain.is_silent(b"hello").await);
        }
        chain.outcomes(&[(Unreachable, 3)]);
        // The server counts them as its own, once each, and lives.
        let stats = chain.server.stats();
        assert_eq!((stats.count(DatagramOutcome::HandlerFailed), stats.in_flight()), (3, 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_nobody_has_are_unreachable() {
    for location in ["http://nobody.invalid/", "udp://nobody.invalid:9", "tcp://nobody.invalid:9"] {
        let chain = Chain::new(gateway_to(location)).await;
        chain.send(b"hello").await;
        chain.outcomes(&[(Unreachable, 1)]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_says_nothing_is_waited_for_as_long_as_was_said_and_no_longer() {
    let silent = tcp(|mut connection| async move { while read_http(&mut connection).await.is_some() {} }).await;
    let silent_udp = udp(|_| None).await;
    // Nobody accepts: the kernel does, and then nothing happens.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let never_accepted = listener.local_addr().unwrap();
    for location in [
        format!("http://{silent}/"),
        silent_udp,
        format!("tcp://{never_accepted}"),
        format!("http://{never_accepted}/"),
    ] {
        let builder = gateway_to(location).timeout(Duration::from_millis(100)).circuit_breaker(NEVER);
        let chain = Chain::new(builder).await;
        for _ in 0..3 {
            assert!(chain.is_silent(b"hello").await);
        }
        chain.outcomes(&[(TimedOut, 3)]);
        assert_eq!(chain.server.stats().count(DatagramOutcome::HandlerTimedOut), 3);
    }
}

/// Answers a message as a bad HTTP server, byte by byte.
async fn misbehave(mut connection: TcpStream) {
    while let Some((_, body)) = read_http(&mut connection).await {
        let say: &[u8] = match &body[..] {
            b"garbage" => b"\x16\x03\x01 what?\r\n\r\n",
            b"half a head" => b"HTTP/1.1 200 OK\r\nContent-Le",
            b"half a body" => b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
            b"bad chunk" => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n",
            b"nothing" => b"",
            b"bad length" => b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
            b"lies" => b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
            b"endless" | b"lying endless" => b"HTTP/1.1 200 OK\r\n\r\n",
            b"endless head" => b"HTTP/1.1 200 OK\r\n",
            _ => {
                drop(connection.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nwell").await);
                continue;
            }
        };
        drop(connection.write_all(say).await);
        match &body[..] {
            b"endless" => while connection.write_all(&[b'x'; 10_000]).await.is_ok() {},
            b"endless head" => while connection.write_all(b"a: b\r\n").await.is_ok() {},
            b"lies" => std::future::pending().await,
            _ => {}
        }
        return;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_answer_costs_its_own_request_only() {
    let address = tcp(misbehave).await;
    let builder = gateway_to(format!("http://{address}/")).max_reply(1000).circuit_breaker(NEVER);
    let chain = Chain::new(builder).await;
    let faults = [
        ("garbage", Malformed),
        ("half a head", Broken),
        ("half a body", Broken),
        ("bad chunk", Broken),
        ("nothing", Broken),
        ("bad length", Malformed),
        ("lies", TooLarge),
        ("endless", TooLarge),
        ("endless head", Malformed),
    ];
    for (fault, outcome) in faults {
        let before = chain.gateway.stats().count(outcome);
        assert!(chain.is_silent(fault.as_bytes()).await, "{fault}");
        wait_for_value(fault, || {
            let stats = chain.gateway.stats();
            if (stats.count(outcome), stats.in_flight) == (before + 1, 0) { Ok(()) } else { Err(format!("{stats:?}")) }
        });
        assert_eq!(chain.ask(b"are you well?").await.unwrap(), b"well", "{fault}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_reset_costs_its_own_request_only() {
    let address = tcp(|mut connection| async move {
        while let Some((_, body)) = read_http(&mut connection).await {
            if body == b"reset" {
                drop(connection.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf").await);
                connection.set_zero_linger().unwrap();
                return;
            }
            drop(connection.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nwell").await);
        }
    })
    .await;
    let chain = Chain::new(gateway_to(format!("http://{address}/")).circuit_breaker(NEVER)).await;
    for _ in 0..3 {
        assert_eq!(chain.ask(b"?").await.unwrap(), b"well");
        assert!(chain.is_silent(b"reset").await);
    }
    chain.outcomes(&[(Answered, 3), (Broken, 3)]);
}

/// It closes each connection after an answer, without having said so.
#[tokio::test(flavor = "multi_thread")]
async fn connections_that_are_closed_behind_ones_back_cost_nothing() {
    let address = tcp(|mut connection| async move {
        if read_http(&mut connection).await.is_some() {
            drop(connection.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nwell").await);
        }
    })
    .await;
    let chain = Chain::new(gateway_to(format!("http://{address}/"))).await;
    for _ in 0..30 {
        assert_eq!(chain.ask(b"?").await.unwrap(), b"well");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    chain.outcomes(&[(Answered, 30)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_upstream_holds_no_more_than_it_may() {
    let (most, now) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let seen = Arc::clone(&most);
    let address = tcp(move |mut connection| {
        let (most, now) = (Arc::clone(&seen), Arc::clone(&now));
        async move {
            while read_http(&mut connection).await.is_some() {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(700)).await;
                now.fetch_sub(1, Ordering::SeqCst);
                drop(connection.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nwell").await);
            }
        }
    })
    .await;
    let chain = Chain::with_workers(gateway_to(format!("http://{address}/")).max_concurrency(5), 2).await;
    let others = [chain.another_client().await, chain.another_client().await, chain.another_client().await];
    for client in others.iter().cycle().take(60) {
        client.send("hello").await.unwrap();
    }
    // All come from one address, which leaves a slot to others.
    chain.outcomes(&[(Answered, 4), (Overloaded, 56)]);
    assert_eq!(most.load(Ordering::SeqCst), 4);
    assert_eq!(chain.server.stats().count(DatagramOutcome::Overloaded), 56);
    // And there is room again.
    assert_eq!(chain.ask(b"?").await.unwrap(), b"well");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_comes_back_is_found() {
    let address = closed().await;
    let breaker = CircuitBreaker::new(4, Duration::from_millis(200));
    let chain = Chain::new(gateway_to(format!("tcp://{address}")).circuit_breaker(breaker)).await;
    for _ in 0..4 {
        chain.send(b"?").await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    chain.outcomes(&[(Unreachable, 4)]);
    chain.send(b"?").await;
    chain.outcomes(&[(Unreachable, 4), (CircuitOpen, 1)]);
    let listener = TcpListener::bind(address).await.unwrap();
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            while let Some(message) = read_frame(&mut connection).await {
                write_frame(&mut connection, &message).await;
            }
        }
    });
    tokio::time::sleep(Duration::from_millis(250)).await;
    assert_eq!(chain.ask(b"back?").await.unwrap(), b"back?");
    assert!(!chain.gateway.stats().is_circuit_open);
}

/// Requests in flight at the old upstream when it was replaced are counted as well.
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_replaces_another_goes_on_counting() {
    let mut chain = Chain::new(gateway_to(udp(|_| None).await).timeout(Duration::from_secs(2))).await;
    for _ in 0..3 {
        chain.send(b"hello").await;
    }
    chain.until_in_flight(3).await;
    let new = gateway_to(udp(|message| Some(message.to_vec())).await).replacing(&chain.gateway).build().unwrap();
    chain.server.set_config(chain.server.config().handler(new.handler()));
    chain.gateway = new;
    assert_eq!(chain.gateway.stats().in_flight, 3);
    assert_eq!(chain.ask(b"hello").await.unwrap(), b"hello");
    chain.outcomes(&[(Answered, 1), (TimedOut, 3)]);
}

/// A server that stops gives up what the upstream has not answered, and that is counted.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_stopping_server_gives_up_is_counted() {
    let chain = Chain::new(gateway_to(udp(|_| None).await)).await;
    for _ in 0..7 {
        chain.send(b"hello").await;
    }
    chain.until_in_flight(7).await;
    let stats = chain.server.shutdown(Duration::from_millis(50)).await;
    assert_eq!(stats.count(DatagramOutcome::Cancelled), 7);
    chain.outcomes(&[(Cancelled, 7)]);
}
