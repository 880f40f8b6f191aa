//! A server whose configuration is replaced while it serves: no packet sees halves of two.

use std::cell::Cell;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use pssst_net::pssst::{Client, KeyCheck, PublicKey, SecretKey};
use pssst_net::{DatagramOutcome, Handler, Reply, Request, ServerConfig};

use crate::common::{PATIENCE, builder, identity, sealed, socket};

const V4: Ipv4Addr = Ipv4Addr::LOCALHOST;
/// Replacements at least, and requests served meanwhile.
const REPLACEMENTS: u64 = 1000;
const REQUESTS: u64 = 2000;

thread_local! {
    /// The generation of the client check that this worker asked last.
    static CHECKED: Cell<u64> = const { Cell::new(u64::MAX) };
}

/// Observations of the handlers of all generations.
#[derive(Default)]
struct Seen {
    whole: AtomicU64,
    mixed: AtomicU64,
    stop: AtomicBool,
}

/// The key of a generation, which is not the one of the next.
fn secret(generation: u64) -> SecretKey {
    SecretKey::from_bytes([if generation.is_multiple_of(2) { 8 } else { 16 }; 32])
}

/// Keys, client check and handler. Each knows its generation.
fn config(generation: u64, seen: &Arc<Seen>) -> ServerConfig {
    // One kind of handler for two generations, and then another.
    let handler = if generation & 2 == 0 {
        Handler::from_fn(|request: Request<&[u8]>| Some(Reply::copy_from(request.message())))
    } else {
        Handler::from_service(tower::service_fn(async |request: Request| {
            Ok::<_, std::io::Error>(Some(Reply::from(request.into_message())))
        }))
    };
    let (server_key, seen) = (secret(generation).public_key(), Arc::clone(seen));
    let handler = handler.inspect(move |request| {
        let is_whole = request.server_key().is_some_and(|key| *key == server_key) && CHECKED.get() == generation;
        if is_whole { &seen.whole } else { &seen.mixed }.fetch_add(1, Ordering::Relaxed);
    });
    ServerConfig::new(secret(generation), handler).client_check(move |_: &PublicKey| {
        CHECKED.set(generation);
        KeyCheck::Accept
    })
}

/// Sends requests for one key and for the other; a server opens half of them.
fn send_requests(server: SocketAddr, seen: &Seen) {
    let socket = socket(V4);
    socket.set_nonblocking(true).unwrap();
    let clients = [0, 1].map(|key| Client::new(secret(key).public_key()).unwrap().with_identity(&identity()).unwrap());
    while !seen.stop.load(Ordering::Relaxed) {
        for client in &clients {
            // The kernel drops what finds no room.
            drop(socket.send_to(&sealed(client, b"hello").0, server));
        }
        while socket.recv(&mut [0; 200]).is_ok() {}
    }
}

/// Ends the clients, also when the test fails.
struct StopOnDrop<'a>(&'a Seen);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.stop.store(true, Ordering::Relaxed);
    }
}

/// The configuration is replaced as fast as it can be, many times for each batch of packets, so
/// that replacements also come between any two moments at which a worker looks at it.
#[test]
fn no_packet_sees_two_generations_of_a_configuration() {
    let seen = Arc::default();
    let server = builder().workers(2).bind((V4, 0)).unwrap().serve(config(0, &seen)).unwrap();
    let mut generation = 0;
    thread::scope(|scope| {
        let _stop = StopOnDrop(&seen);
        for _ in 0..2 {
            scope.spawn(|| send_requests(server.local_addr(), &seen));
        }
        let deadline = Instant::now() + PATIENCE;
        while generation < REPLACEMENTS || seen.whole.load(Ordering::Relaxed) < REQUESTS {
            assert!(Instant::now() < deadline, "{generation} replacements: {:?}", server.stats());
            generation += 1;
            server.set_config(config(generation, &seen));
        }
    });
    let stats = server.shutdown_blocking(PATIENCE);
    let (whole, mixed) = (seen.whole.load(Ordering::Relaxed), seen.mixed.load(Ordering::Relaxed));
    println!("{whole} requests served under one of {generation} configurations, {mixed} under two at once");
    assert_eq!(mixed, 0);
    assert_eq!(stats.count(DatagramOutcome::Replied), whole);
    assert_eq!(stats.config_errors, 0);
}

#[test]
fn no_update_of_a_configuration_is_lost() {
    let server = builder().bind((V4, 0)).unwrap().serve(config(0, &Arc::default())).unwrap();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                server.update_config(|config| config.max_amplification(4));
            }
        });
        let lost = (0..REPLACEMENTS).find(|&generation| {
            server.update_config(|config| config.keys(secret(generation)));
            thread::yield_now();
            server.server_keys() != [secret(generation).public_key()]
        });
        stop.store(true, Ordering::Relaxed);
        assert_eq!(lost, None);
    });
}
