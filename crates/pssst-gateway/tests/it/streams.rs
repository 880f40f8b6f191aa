//! Upstreams of TCP and Unix sockets, which take messages with their lengths before them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use pssst_gateway::ExchangeOutcome::{Answered, Broken, Delivered, TimedOut, TooLarge};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::mpsc::{self, UnboundedReceiver};

use crate::common::*;

async fn echo(mut connection: TcpStream) {
    while let Some(message) = read_frame(&mut connection).await {
        write_frame(&mut connection, &message).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_every_size_share_a_connection() {
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    let address = tcp(move |connection| {
        count.fetch_add(1, Ordering::Relaxed);
        echo(connection)
    })
    .await;
    let chain = Chain::new(gateway_to(format!("tcp://{address}"))).await;
    for len in [0, 1, 255, 256, 1180, 16_384, 65_391] {
        assert_eq!(chain.ask(&vec![1; len]).await.unwrap(), vec![1; len], "{len}");
    }
    chain.outcomes(&[(Answered, 7)]);
    assert_eq!(connections.load(Ordering::Relaxed), 1);
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn unix_sockets_do_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("service");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            tokio::spawn(async move {
                while let Some(message) = read_frame(&mut connection).await {
                    write_frame(&mut connection, &[&message[..], b"!"].concat()).await;
                }
            });
        }
    });
    let chain = Chain::new(gateway_to(format!("unix:{}", path.display())).prefix_client_key(true)).await;
    for _ in 0..3 {
        assert_eq!(chain.ask(b"hello").await.unwrap(), [chain.identity.as_bytes(), &b"hello!"[..]].concat());
    }
    chain.outcomes(&[(Answered, 3)]);
}

/// The connection on which it comes is closed, so that it is nobody's answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_late_answer_reaches_nobody() {
    let address = tcp(|mut connection| async move {
        while let Some(message) = read_frame(&mut connection).await {
            if message == b"slow" {
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            drop(connection.write_all(&[&[0, 4], &message[..4]].concat()).await);
        }
    })
    .await;
    let chain = Chain::new(gateway_to(format!("tcp://{address}")).timeout(Duration::from_millis(250))).await;
    assert_eq!(chain.ask(b"fast").await.unwrap(), b"fast");
    assert!(chain.is_silent(b"slow").await);
    for _ in 0..5 {
        assert_eq!(chain.ask(b"next").await.unwrap(), b"next");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    chain.outcomes(&[(Answered, 6), (TimedOut, 1)]);
}

/// As after a restart, or an idle time: the request is not lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_was_closed_meanwhile_costs_no_request() {
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    let address = tcp(move |mut connection| {
        count.fetch_add(1, Ordering::Relaxed);
        async move {
            if let Some(message) = read_frame(&mut connection).await {
                write_frame(&mut connection, &message).await;
            }
        }
    })
    .await;
    let chain = Chain::new(gateway_to(format!("tcp://{address}"))).await;
    for number in 0..20_u8 {
        assert_eq!(chain.ask(&[number]).await.unwrap(), [number]);
    }
    chain.outcomes(&[(Answered, 20)]);
    assert_eq!(connections.load(Ordering::Relaxed), 20);
}

/// An unexpected frame is not used as the next answer. Otherwise one message could reach the
/// service as often as there are connections.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_because_of_which_connections_are_closed_is_written_twice_at_most() {
    let seen = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&seen);
    let address = tcp(move |mut connection| {
        let seen = Arc::clone(&counted);
        async move {
            while let Some(message) = read_frame(&mut connection).await {
                if message == b"poison" {
                    seen.fetch_add(1, Ordering::SeqCst);
                    return;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
                write_frame(&mut connection, &message).await;
            }
        }
    })
    .await;
    let chain = Chain::new(gateway_to(format!("tcp://{address}"))).await;
    // As many connections.
    for _ in 0..20 {
        chain.send(b"slow").await;
    }
    chain.outcomes(&[(Answered, 20)]);
    assert!(chain.is_silent(b"poison").await);
    chain.outcomes(&[(Answered, 20), (Broken, 1)]);
    assert_eq!(seen.load(Ordering::SeqCst), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_upstream_says_unasked_is_not_heard() {
    let address = tcp(|mut connection| async move {
        while let Some(message) = read_frame(&mut connection).await {
            write_frame(&mut connection, &message).await;
            write_frame(&mut connection, b"surprise").await;
        }
    })
    .await;
    let chain = Chain::new(gateway_to(format!("tcp://{address}"))).await;
    for number in 0..10_u8 {
        assert_eq!(chain.ask(&[number]).await.unwrap(), [number]);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_lengths_and_broken_answers_cost_their_own_request() {
    let address = tcp(|mut connection| async move {
        while let Some(message) = read_frame(&mut connection).await {
            match &message[..] {
                b"long" => write_frame(&mut connection, &[7; 2000]).await,
                // Much is promised.
                b"half" => drop(connection.write_all(&[0, 200, 1, 2, 3]).await),
                b"byte" => drop(connection.write_all(&[0]).await),
                _ => {
                    write_frame(&mut connection, &message).await;
                    continue;
                }
            }
            return;
        }
    })
    .await;
    let chain = Chain::new(gateway_to(format!("tcp://{address}")).max_reply(1000)).await;
    for bad in ["long", "half", "byte"] {
        assert!(chain.is_silent(bad.as_bytes()).await, "{bad}");
        assert_eq!(chain.ask(b"well?").await.unwrap(), b"well?");
    }
    chain.outcomes(&[(Answered, 3), (TooLarge, 1), (Broken, 2)]);
}

/// Starts a service that hands over each message, and then answers it if there is an answer.
async fn recorder(answer: Option<&'static [u8]>) -> (SocketAddr, UnboundedReceiver<Vec<u8>>) {
    let (sender, inbox) = mpsc::unbounded_channel();
    let address = tcp(move |mut connection| {
        let sender = sender.clone();
        async move {
            while let Some(message) = read_frame(&mut connection).await {
                sender.send(message).unwrap();
                if let Some(answer) = answer {
                    write_frame(&mut connection, answer).await;
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            }
        }
    })
    .await;
    (address, inbox)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_way_messages_are_written_and_nothing_is_read() {
    let (address, mut inbox) = recorder(None).await;
    let chain = Chain::new(gateway_to(format!("tcp://{address}")).one_way(true)).await;
    for number in 0..20_u8 {
        chain.send(&[number]).await;
    }
    let mut seen = Vec::new();
    for _ in 0..20 {
        seen.push(tokio::time::timeout(pssst_test::PATIENCE, inbox.recv()).await.unwrap().unwrap());
    }
    seen.sort();
    assert_eq!(seen, (0..20_u8).map(|number| vec![number]).collect::<Vec<_>>());
    chain.outcomes(&[(Delivered, 20)]);
}

/// A service that answers although nobody asked, and reads slowly: unread answers must not reset
/// the connections with what it has not read yet.
#[tokio::test(flavor = "multi_thread")]
async fn answers_to_one_way_messages_lose_none_of_them() {
    let (address, mut inbox) = recorder(Some(b"thanks")).await;
    let chain = Chain::new(gateway_to(format!("tcp://{address}")).one_way(true)).await;
    for number in 0..200_u8 {
        chain.send(&[number]).await;
        if number.is_multiple_of(16) {
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    while seen.len() < 200 {
        let message = tokio::time::timeout(pssst_test::PATIENCE, inbox.recv()).await;
        seen.insert(message.unwrap_or_else(|_| panic!("{} of 200 arrived", seen.len())).unwrap());
    }
    chain.outcomes(&[(Delivered, 200)]);
}
