//! The server under load: no accepted request is lost, whatever is changed
//! meanwhile.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use pssst_net::pssst::{Client, Keyring, Refusal, SecretKey, Suite};
use pssst_net::{DatagramOutcome, Handler, Reply, Request};

use crate::common::*;

const V4: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// Answers with its own mark, after a pause.
fn marked(mark: u8, pause: Duration) -> Handler {
    Handler::from_service(tower::service_fn(move |request: Request| async move {
        tokio::time::sleep(pause).await;
        Ok::<_, std::io::Error>(Some(Reply::from([&[mark], request.message()].concat())))
    }))
}

/// Sends requests from its own socket, one after another, each once, until `stop` is set.
/// Every one of them must be answered. Returns how many there were.
fn keep_asking(address: SocketAddr, clients: &[Client], stop: &AtomicBool) -> u64 {
    let socket = socket(V4);
    let mut asked = 0;
    while !stop.load(Ordering::Relaxed) {
        for client in clients {
            let message = asked.to_string();
            let (reply, _) = ask(&socket, address, client, message.as_bytes());
            assert!(reply.ends_with(message.as_bytes()));
            asked += 1;
        }
    }
    asked
}

///
#[test]
fn sixty_four_clients_lose_nothing() {
    for address in [IpAddr::from(V4), Ipv6Addr::LOCALHOST.into()] {
        let server = builder().workers(2).bind((address, 0)).unwrap().serve(config(echo())).unwrap();
        let server_address = server.local_addr();
        let requests = 100;
        thread::scope(|scope| {
            for number in 0..64_u32 {
                scope.spawn(move || {
                    let client = client(SUITES[number as usize % 2]);
                    let client = if number % 4 < 2 { client } else { client.with_identity(&identity()).unwrap() };
                    let socket = socket(address);
                    for request in 0..requests {
                        let message = [number, request].map(u32::to_be_bytes).concat();
                        assert_eq!(ask(&socket, server_address, &client, &message).0, message);
                    }
                });
            }
        });
        // The kernel chose the workers; 64 clients do not all get the same.
        assert!(server.worker_stats().iter().all(|worker| worker.received > 0));
        let stats = server.shutdown_blocking(PATIENCE);
        assert_eq!(nonzero(&stats), [(DatagramOutcome::Replied, 64 * u64::from(requests))]);
        assert_eq!((stats.anonymous_requests, stats.kernel_drops), (32 * u64::from(requests), Some(0)));
    }
}

#[test]
fn half_of_all_traffic_may_be_junk() {
    let server = builder().bind((V4, 0)).unwrap().serve(config(echo())).unwrap();
    let address = server.local_addr();
    let stop = AtomicBool::new(false);
    let (asked, junk) = thread::scope(|scope| {
        let askers: Vec<_> =
            (0..4).map(|_| scope.spawn(|| keep_asking(address, &[anonymous(), authenticated()], &stop))).collect();
        let junk = scope.spawn(|| {
            let socket = socket(V4);
            let mut sent = 0;
            while !stop.load(Ordering::Relaxed) {
                let mut packet = sealed(&anonymous(), b"").0;
                packet[40] ^= 1;
                socket.send_to(&packet, address).unwrap();
                sent += 1;
                // At the pace of the clients, about.
                while !stop.load(Ordering::Relaxed) && server.stats().count(DatagramOutcome::Replied) < sent {
                    thread::yield_now();
                }
            }
            sent
        });
        wait_for(&server, |stats| {
            let count = |outcome| stats.count(outcome);
            count(DatagramOutcome::Replied) > 2000 && count(DatagramOutcome::Refused(Refusal::DecryptFailed)) > 2000
        });
        stop.store(true, Ordering::Relaxed);
        (askers.into_iter().map(|asker| asker.join().unwrap()).sum::<u64>(), junk.join().unwrap())
    });
    let stats = server.shutdown_blocking(PATIENCE);
    assert_eq!(
        nonzero(&stats),
        [(DatagramOutcome::Replied, asked), (DatagramOutcome::Refused(Refusal::DecryptFailed), junk)]
    );
}

#[test]
fn keys_are_rotated_without_a_failed_request() {
    let secrets = [1, 2, 3].map(|byte| SecretKey::from_bytes([byte; 32]));
    let [old, new, next] = secrets.each_ref().map(|secret| Client::new(secret.public_key()).unwrap());
    let with_keys = |first: usize, second: usize| {
        config(echo()).keys(Keyring::new(secrets[first].clone()).with_key(secrets[second].clone()).unwrap())
    };
    let server = builder().workers(2).bind((V4, 0)).unwrap().serve(with_keys(0, 1)).unwrap();
    let address = server.local_addr();
    let (stop_old, stop_all) = (AtomicBool::new(false), AtomicBool::new(false));
    thread::scope(|scope| {
        let on_old = scope.spawn(|| keep_asking(address, std::slice::from_ref(&old), &stop_old));
        let on_new = scope.spawn(|| keep_asking(address, std::slice::from_ref(&new), &stop_all));
        for _ in 0..50 {
            // The order changes, and then whole servers.
            server.set_config(with_keys(1, 0));
            thread::sleep(Duration::from_millis(5));
            server.set_config(with_keys(0, 1));
            thread::sleep(Duration::from_millis(5));
        }
        stop_old.store(true, Ordering::Relaxed);
        assert!(on_old.join().unwrap() > 0);
        // Nobody uses the old key any more.
        server.set_config(with_keys(1, 2));
        let on_next = scope.spawn(|| keep_asking(address, std::slice::from_ref(&next), &stop_all));
        thread::sleep(Duration::from_millis(100));
        stop_all.store(true, Ordering::Relaxed);
        assert!(on_new.join().unwrap() > 0 && on_next.join().unwrap() > 0);
    });
    assert_eq!(server.server_keys(), [secrets[1].public_key(), secrets[2].public_key()]);
    let late = socket(V4);
    late.send_to(&sealed(&old, b"").0, address).unwrap();
    wait_for(&server, |stats| stats.count(DatagramOutcome::Refused(Refusal::DecryptFailed)) == 1);
    // The other worker counts a reply only after it is sent.
    wait_for(&server, |stats| stats.in_flight() == 0);
}

#[test]
fn handlers_are_replaced_and_finish_what_they_have() {
    let server = builder().bind((V4, 0)).unwrap().serve(config(marked(0, Duration::from_millis(300)))).unwrap();
    let address = server.local_addr();
    let client = client(Suite::X25519Aes256GcmSiv);
    let before = socket(V4);
    let (packet, pending) = sealed(&client, b"");
    before.send_to(&packet, address).unwrap();
    wait_for(&server, |stats| stats.in_flight() == 1);

    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let asking = scope.spawn(|| keep_asking(address, std::slice::from_ref(&client), &stop));
        for mark in 1..100 {
            // Of one kind and the other.
            server.set_config(config(match mark % 2 {
                0 => echo(),
                _ => marked(mark, Duration::from_millis(u64::from(mark % 5))),
            }));
            thread::sleep(Duration::from_millis(2));
            // However slow the machine, some are asked between one and another.
            wait_for(&server, |stats| stats.count(DatagramOutcome::Replied) >= u64::from(mark / 5));
        }
        stop.store(true, Ordering::Relaxed);
        asking.join().unwrap();
    });
    assert_eq!(pending.open(&mut receive(&before).0).unwrap(), [0]);
    server.set_config(config(marked(200, Duration::ZERO)));
    assert_eq!(ask(&before, address, &client, b"").0, [200]);
    let stats = server.shutdown_blocking(PATIENCE);
    assert!(matches!(*nonzero(&stats), [(DatagramOutcome::Replied, _)]), "{:?}", nonzero(&stats));
}

/// Requests sent before the shutdown are answered, by handlers that wait and by such that do
/// not.
#[test]
fn a_graceful_shutdown_loses_nothing_that_was_accepted() {
    for handler in [echo(), marked(0, Duration::from_millis(200))] {
        let server = builder().workers(2).bind((V4, 0)).unwrap().serve(config(handler)).unwrap();
        let sockets: Vec<_> = (0..50).map(|_| socket(V4)).collect();
        let pending: Vec<_> = sockets
            .iter()
            .map(|socket| {
                let requests = [anonymous(), authenticated()].map(|client| sealed(&client, b"hello"));
                for (packet, _) in &requests {
                    socket.send_to(packet, server.local_addr()).unwrap();
                }
                requests.map(|(_, pending)| pending)
            })
            .collect();
        let stats = server.shutdown_blocking(PATIENCE);
        assert_eq!(nonzero(&stats), [(DatagramOutcome::Replied, 100)]);
        for (socket, pending) in sockets.iter().zip(pending) {
            for _ in 0..2 {
                let (mut reply, _) = receive(socket);
                assert!(pending.iter().any(|pending| pending.open(&mut reply).is_ok()));
            }
        }
    }
}

#[test]
fn whoever_shares_a_server_stops_it_and_frees_its_port() {
    let server = builder().workers(2).bind((V4, 0)).unwrap().serve(config(echo())).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let stats = thread::scope(|scope| {
        let others = [(); 2].map(|()| scope.spawn(|| server.shutdown_blocking(PATIENCE)));
        runtime.block_on(server.shutdown(PATIENCE));
        others.map(|other| other.join().unwrap())
    });
    // While the old one still tells what it did.
    let next = builder().bind(server.local_addr()).unwrap();
    assert_eq!(next.local_addr(), server.local_addr());
    assert!(stats.iter().chain([&server.stats()]).all(|stats| stats.received == 0 && stats.kernel_drops == Some(0)));
}

/// Also what comes while the worker is busy and could not have heard of it.
#[test]
fn what_arrives_while_a_worker_is_busy_is_accepted_too() {
    let handler = Handler::from_fn(|request: Request<&[u8]>| {
        thread::sleep(Duration::from_millis(20));
        Some(Reply::copy_from(request.message()))
    });
    for _ in 0..5 {
        let server = builder().bind((V4, 0)).unwrap().serve(config(handler.clone())).unwrap();
        let socket = socket(V4);
        let send = || socket.send_to(&sealed(&anonymous(), b"").0, server.local_addr()).unwrap();
        send();
        wait_for(&server, |stats| stats.received == 1);
        (0..10).for_each(|_| assert!(send() > 0));
        assert_eq!(nonzero(&server.shutdown_blocking(PATIENCE)), [(DatagramOutcome::Replied, 11)]);
    }
}

#[test]
fn a_shutdown_ends_though_clients_go_on() {
    let server = builder().bind((V4, 0)).unwrap().serve(config(echo())).unwrap();
    let (address, stop) = (server.local_addr(), AtomicBool::new(false));
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let socket = socket(V4);
                let packets: Vec<_> = (0..64).map(|_| sealed(&anonymous(), b"").0).collect();
                for packet in packets.iter().cycle().take_while(|_| !stop.load(Ordering::Relaxed)) {
                    // Once the server is gone the system says so.
                    drop(socket.send_to(packet, address));
                }
            });
        }
        wait_for(&server, |stats| stats.received > 1000);
        let (ended, end) = std::sync::mpsc::channel();
        scope.spawn(move || ended.send(server.shutdown_blocking(Duration::from_secs(3600)).in_flight()).unwrap());
        let in_flight = end.recv_timeout(PATIENCE);
        stop.store(true, Ordering::Relaxed);
        assert_eq!(in_flight, Ok(0));
    });
}

#[test]
fn what_takes_too_long_is_given_up_at_shutdown() {
    let server = builder().bind((V4, 0)).unwrap().serve(config(marked(0, Duration::from_secs(3600)))).unwrap();
    let socket = socket(V4);
    for _ in 0..5 {
        socket.send_to(&sealed(&anonymous(), b"").0, server.local_addr()).unwrap();
    }
    wait_for(&server, |stats| stats.in_flight() == 5);
    let stats = server.shutdown_blocking(Duration::from_millis(50));
    assert_eq!((nonzero(&stats), stats.in_flight()), (vec![(DatagramOutcome::Cancelled, 5)], 0));
}

/// As when a service manager holds the socket: what waits when one server ends is the next one's.
#[test]
fn servers_replace_each_other_on_a_passed_socket_without_loss() {
    let socket = UdpSocket::bind((V4, 0)).unwrap();
    let address = socket.local_addr().unwrap();
    let stop = AtomicBool::new(false);
    let serve = |workers| {
        let sockets = vec![socket.try_clone().unwrap()];
        builder()
            .workers(workers)
            .bind_sockets(sockets)
            .unwrap()
            .serve(config(marked(0, Duration::from_millis(1))))
            .unwrap()
    };
    thread::scope(|scope| {
        let asking: Vec<_> =
            (0..4).map(|_| scope.spawn(|| keep_asking(address, &[anonymous(), authenticated()], &stop))).collect();
        let mut answered = 0;
        for restart in 0..10 {
            let server = serve(1 + restart % 2);
            wait_for(&server, |stats| stats.count(DatagramOutcome::Replied) > 10);
            let stats = server.shutdown_blocking(PATIENCE);
            answered += stats.count(DatagramOutcome::Replied);
            assert_eq!((stats.count(DatagramOutcome::Cancelled), stats.in_flight()), (0, 0));
            // Nobody serves for a while.
            thread::sleep(Duration::from_millis(10));
        }
        let server = serve(2);
        stop.store(true, Ordering::Relaxed);
        let asked: u64 = asking.into_iter().map(|asking| asking.join().unwrap()).sum();
        answered += server.shutdown_blocking(PATIENCE).count(DatagramOutcome::Replied);
        assert!(asked > 100 && asked == answered, "{asked} asked, {answered} answered");
    });
}

#[test]
fn requests_beyond_the_limit_are_dropped_the_newest_first() {
    let (handler, release) = held();
    let server = builder().max_in_flight(10).bind((V4, 0)).unwrap().serve(config(handler)).unwrap();
    let socket = socket(V4);
    let pending: Vec<_> = (0..25)
        .map(|number| {
            let (packet, pending) = sealed(&anonymous(), &[number]);
            socket.send_to(&packet, server.local_addr()).unwrap();
            pending
        })
        .collect();
    let stats = wait_for(&server, |stats| stats.received == 25 && stats.count(DatagramOutcome::Overloaded) == 15);
    assert_eq!(stats.in_flight(), 10);
    release.send(true).unwrap();
    for _ in 0..10 {
        let (mut reply, _) = receive(&socket);
        assert!(pending[..10].iter().any(|pending| pending.open(&mut reply).is_ok()));
    }
    expect_silence(&socket);
}

#[test]
#[cfg(target_os = "linux")]
fn what_the_kernel_drops_is_accounted_for() {
    let stalled = Arc::new(AtomicBool::new(true));
    let handler = {
        let stalled = Arc::clone(&stalled);
        Handler::from_fn(move |_| {
            while stalled.load(Ordering::Relaxed) {
                thread::yield_now();
            }
            None
        })
    };
    let server = builder().socket_buffer(1 << 14).bind((V4, 0)).unwrap().serve(config(handler)).unwrap();
    let socket = socket(V4);
    let sent = 2000;
    for _ in 0..sent {
        socket.send_to(&sealed(&anonymous(), b"").0, server.local_addr()).unwrap();
    }
    stalled.store(false, Ordering::Relaxed);
    let stats = wait_for(&server, |stats| stats.received + stats.kernel_drops.unwrap() == sent);
    assert!(stats.kernel_drops.unwrap() > 100, "{stats:?}");
    let stats = server.shutdown_blocking(PATIENCE);
    assert_eq!(stats.count(DatagramOutcome::NoReply) + stats.kernel_drops.unwrap(), sent);
}

#[test]
fn a_flood_of_repeats_calls_the_handler_once() {
    let calls = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&calls);
    let handler = Handler::from_fn(move |_| {
        counter.fetch_add(1, Ordering::Relaxed);
        Some(Reply::from("once"))
    });
    let server = builder().workers(2).bind((V4, 0)).unwrap().serve(config(handler)).unwrap();
    let (packet, _) = sealed(&anonymous(), b"");
    let address = server.local_addr();
    // While the first is in the handler's hands, copies of it are dropped.
    let first = socket(V4);
    first.send_to(&packet, address).unwrap();
    receive(&first);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let socket = socket(V4);
                for _ in 0..200 {
                    socket.send_to(&packet, address).unwrap();
                    receive(&socket);
                }
            });
        }
    });
    assert_eq!(calls.load(Ordering::Relaxed), 1);
}
