//! Memory of the server's process.

use std::net::{Ipv4Addr, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use pssst_net::pssst::{BATCH_LEN, Client, SysRng, UnsealedRequest};
use pssst_net::udp::{BatchSocket, ReceiveBatch, SendBatch};
use pssst_net::{DatagramOutcome, Handler, Reply, Request, Server};

use crate::alone;
use crate::common::*;

const V4: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// A server on one core whose handler works for this long on each request.
fn working(work: Duration) -> Handler {
    Handler::from_fn(move |request: Request<&[u8]>| {
        let end = Instant::now() + work;
        while Instant::now() < end {
            std::hint::spin_loop();
        }
        Some(Reply::copy_from(request.message()))
    })
}

/// Replies a second, when so many requests a second are offered for a while.
fn offer(server: &Server, per_second: f64, time: Duration) -> f64 {
    let (address, before) = (server.local_addr(), server.stats().count(DatagramOutcome::Replied));
    let socket = socket(V4);
    let drain = socket.try_clone().unwrap();
    drain.set_nonblocking(true).unwrap();
    // Sealed before the clock starts; sent again and again, which the server without reply cache
    // cannot tell.
    let packets: Vec<_> = (0..64).map(|_| sealed(&anonymous(), b"").0).collect();
    let start = Instant::now();
    let mut sent = 0.0;
    for packet in packets.iter().cycle() {
        let elapsed = start.elapsed();
        if elapsed >= time {
            break;
        }
        if sent < per_second * elapsed.as_secs_f64() {
            // A full buffer is the kernel's way to drop.
            drop(drain.send_to(packet, address));
            sent += 1.0;
        } else {
            thread::yield_now();
        }
        while drain.recv(&mut [0; 100]).is_ok() {}
    }
    #[expect(clippy::cast_precision_loss, reason = "thousands")]
    let replied = (server.stats().count(DatagramOutcome::Replied) - before) as f64;
    replied / start.elapsed().as_secs_f64()
}

#[test]
fn overload_leaves_goodput_and_memory_as_they_were() {
    let _alone = alone();
    let server = builder()
        .reply_cache(0)
        .socket_buffer(1 << 17)
        .bind((V4, 0))
        .unwrap()
        .serve(config(working(Duration::from_micros(200))))
        .unwrap();
    // Others use this machine's cores too, so the two are compared in turn, and the best of a few
    // rounds counts.
    let mut ratios = Vec::new();
    for _ in 0..5 {
        // More than 5,000 a second are not to be had. What a full queue gives is the capacity.
        let capacity = offer(&server, 6000.0, Duration::from_millis(700));
        let memory = resident_bytes();
        let goodput = offer(&server, 3.0 * capacity, Duration::from_millis(700));
        let growth = resident_bytes().saturating_sub(memory);
        assert!(growth < 2 << 20, "{growth} bytes more");
        println!("capacity {capacity:.0}/s, at three times as much {goodput:.0}/s, memory +{growth} bytes");
        ratios.push(goodput / capacity);
        if goodput >= 0.8 * capacity {
            break;
        }
    }
    assert!(ratios.iter().any(|ratio| *ratio >= 0.8), "{ratios:?}");
    let drops = server.stats().kernel_drops.unwrap();
    assert!(drops > 0, "there was no overload");
    assert_eq!(server.shutdown_blocking(PATIENCE).in_flight(), 0);
}

/// Requests that no two clients share, from ever other ports; returns how many were answered.
fn distinct_clients(server: SocketAddr, clients: usize) -> usize {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let [anonymous, authenticated] = [anonymous(), authenticated()];
        let mut received = ReceiveBatch::new(BATCH_LEN, 2048);
        let mut answered = 0;
        while answered < clients {
            let mut batch = SendBatch::new();
            let mut packets = [[0; 128]; BATCH_LEN];
            let clients = [&anonymous, &authenticated].into_iter().cycle();
            let requests = packets.iter_mut().zip(clients).map(|(buffer, client)| UnsealedRequest {
                client,
                message: b"once",
                buffer,
            });
            Client::seal_batch(&mut SysRng, requests, |_, outcome| {
                let (packet, _) = outcome.unwrap();
                batch.push(server, None, packet.len(), ()).copy_from_slice(packet);
            });
            let mut socket = BatchSocket::new(std::net::UdpSocket::bind((V4, 0)).unwrap()).unwrap();
            socket.send(&mut batch, |(), outcome| outcome.unwrap()).await;
            let mut left = BATCH_LEN;
            while left > 0 {
                tokio::time::timeout(PATIENCE, socket.receive(&mut received)).await.unwrap().unwrap();
                left -= received.len();
            }
            answered += BATCH_LEN;
        }
        answered
    })
}

/// `PSSST_MEMORY_CLIENTS` says how many; a release build takes some seconds for a million.
#[test]
#[ignore = "long: a step of `cargo xtask ci full`"]
fn a_million_clients_leave_nothing_behind() {
    let _alone = alone();
    let clients = std::env::var("PSSST_MEMORY_CLIENTS").map_or(40_000, |clients| clients.parse().unwrap());
    let server = builder().reply_cache(2 << 20).bind((V4, 0)).unwrap().serve(config(echo())).unwrap();
    // Until the reply cache has been written all over.
    let warm = distinct_clients(server.local_addr(), 40_000);
    let before = resident_bytes();
    let answered = distinct_clients(server.local_addr(), clients);
    let after = resident_bytes();
    println!("{answered} clients: {before} bytes resident before, {after} after");
    assert!(after < before + (1 << 20), "{} bytes more", after - before);
    let stats = server.shutdown_blocking(PATIENCE);
    assert_eq!(nonzero(&stats), [(DatagramOutcome::Replied, (warm + answered) as u64)]);
}
