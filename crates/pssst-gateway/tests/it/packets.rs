//! Upstreams of UDP.

use std::sync::{Arc, Mutex};

use pssst_gateway::ExchangeOutcome::{Answered, Delivered, TooLarge};
use pssst_net::pssst::PublicKey;

use crate::common::*;

#[tokio::test(flavor = "multi_thread")]
async fn datagrams_of_every_size_go_there_and_back() {
    let chain = Chain::new(gateway_to(udp(|message| Some(message.iter().rev().copied().collect())).await)).await;
    let mut asked = 0;
    for len in [0, 1, 2, 512, 1180, 1232, 1472, 1473, 9000, 65_391] {
        let message: Vec<u8> = (0..len).map(|place| u8::try_from(place % 251).unwrap()).collect();
        let reversed: Vec<u8> = message.iter().rev().copied().collect();
        assert_eq!(chain.ask(&message).await.unwrap(), reversed, "{len}");
        asked += 1;
    }
    chain.outcomes(&[(Answered, asked)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_up_to_the_limit_are_passed_on() {
    let service = udp(|message| Some(vec![7; std::str::from_utf8(message).unwrap().parse().unwrap()])).await;
    let chain = Chain::new(gateway_to(service).max_reply(1000)).await;
    for len in [0, 1, 999, 1000] {
        assert_eq!(chain.ask(len.to_string().as_bytes()).await.unwrap(), vec![7; len]);
    }
    for len in ["1001", "1002", "65000"] {
        assert!(chain.is_silent(len.as_bytes()).await);
    }
    // A long answer is not a failure of the upstream.
    assert!(!chain.gateway.stats().is_circuit_open);
    chain.outcomes(&[(Answered, 4), (TooLarge, 3)]);
}

/// One program's question is never answered with another's answer, however late the answers are.
#[tokio::test(flavor = "multi_thread")]
async fn a_late_answer_reaches_nobody() {
    let (release, mut released) = tokio::sync::mpsc::channel::<()>(1);
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let service = format!("udp://{}", socket.local_addr().unwrap());
    tokio::spawn(async move {
        let mut buffer = [0; 100];
        let (_, late) = socket.recv_from(&mut buffer).await.unwrap();
        let (_, next) = socket.recv_from(&mut buffer).await.unwrap();
        released.recv().await.unwrap();
        for _ in 0..10 {
            drop(socket.send_to(b"for the first", late).await);
        }
        socket.send_to(b"for the second", next).await.unwrap();
    });
    let chain = Chain::new(gateway_to(service).timeout(std::time::Duration::from_millis(300))).await;
    assert!(chain.is_silent(b"first").await);
    let (second, ()) = tokio::join!(chain.ask(b"second"), async { release.send(()).await.unwrap() });
    assert_eq!(second.unwrap(), b"for the second");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_upstream_may_be_told_the_clients_key() {
    let chain = Chain::new(gateway_to(udp(|message| Some(message.to_vec())).await).prefix_client_key(true)).await;
    assert_eq!(chain.ask(b"hello").await.unwrap(), [chain.identity.as_bytes(), &b"hello"[..]].concat());
    // A message that begins with a key does not replace it.
    let forged = [PublicKey::from_bytes([9; 32]).as_bytes(), &b"hello"[..]].concat();
    assert_eq!(chain.ask_anonymously(&forged).await.unwrap(), [&[0; 32], &forged[..]].concat());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_way_messages_are_delivered_and_not_waited_for() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let inbox = Arc::clone(&seen);
    let service = udp(move |message| {
        inbox.lock().unwrap().push(message.to_vec());
        // An answer that nobody wants.
        Some(b"thanks".to_vec())
    })
    .await;
    let chain = Chain::new(gateway_to(service).one_way(true)).await;
    for number in 0..50_u8 {
        chain.send(&[number]).await;
    }
    assert!(chain.is_silent(&[50]).await);
    chain.outcomes(&[(Delivered, 51)]);
    let mut seen = seen.lock().unwrap().clone();
    seen.sort();
    assert_eq!(seen, (0..=50_u8).map(|number| vec![number]).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn many_ask_at_once_and_each_hears_its_own_answer() {
    let service = udp(|message| Some([message, b"!"].concat())).await;
    let chain = Arc::new(Chain::with_workers(gateway_to(service).max_concurrency(10_000), 2).await);
    // A hundred at a time, which the sockets' buffers have room for.
    for hundred in 0..5 {
        let asking = (0..100).map(|number: u32| {
            let chain = Arc::clone(&chain);
            tokio::spawn(async move {
                let message = format!("{hundred}/{number}");
                assert_eq!(chain.ask(message.as_bytes()).await.unwrap(), format!("{message}!").as_bytes());
            })
        });
        for asked in asking.collect::<Vec<_>>() {
            asked.await.unwrap();
        }
    }
    chain.outcomes(&[(Answered, 500)]);
}
