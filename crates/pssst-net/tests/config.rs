//! A server whose configuration is replaced while it serves: no packet sees halves of two.

mod common;

use std::cell::Cell;
use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use common::{PATIENCE, builder, identity, sealed, socket};
use pssst_net::pssst::{Client, KeyCheck, PublicKey, SecretKey};
use pssst_net::{DatagramOutcome, Handler, Reply, Request, ServerConfig};

const V4: Ipv4Addr = Ipv4Addr::LOCALHOST;
const SWAPS: usize = 1000;

thread_local! {
    /// The generation of the client check that this worker asked last.
    static CHECKED: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// A key pair for each generation, and what the handlers saw.
struct Generations {
    secrets: Vec<SecretKey>,
    by_key: HashMap<PublicKey, usize>,
    served: Vec<AtomicUsize>,
    mixed: AtomicUsize,
}

impl Generations {
    fn new() -> Arc<Self> {
        let secrets: Vec<_> = (0..=SWAPS)
            .map(|generation| {
                let mut bytes = [7; 32];
                // X25519 ignores some bits of the first byte and of the last.
                bytes[8..16].copy_from_slice(&(generation as u64).to_le_bytes());
                SecretKey::from_bytes(bytes)
            })
            .collect();
        let by_key = secrets.iter().map(SecretKey::public_key).zip(0..).collect();
        let served = secrets.iter().map(|_| AtomicUsize::new(0)).collect();
        Arc::new(Self { secrets, by_key, served, mixed: AtomicUsize::new(0) })
    }

    /// Keys, client check and handler of one generation.
    fn config(self: &Arc<Self>, generation: usize) -> ServerConfig {
        let handler = if generation.is_multiple_of(2) {
            Handler::from_fn(|request: Request<&[u8]>| Some(Reply::copy_from(request.message())))
        } else {
            Handler::from_service(tower::service_fn(async |request: Request| {
                Ok::<_, std::io::Error>(Some(Reply::from(request.into_message())))
            }))
        };
        let generations = Arc::clone(self);
        let handler = handler.inspect(move |request| {
            let of_key = request.server_key().map(|key| generations.by_key[key]);
            if of_key == Some(generation) && CHECKED.get() == generation {
                generations.served[generation].fetch_add(1, Ordering::Relaxed);
            } else {
                generations.mixed.fetch_add(1, Ordering::Relaxed);
            }
        });
        ServerConfig::new(self.secrets[generation].clone(), handler).client_check(move |_| {
            CHECKED.set(generation);
            KeyCheck::Accept
        })
    }

    /// Sends requests for the key of whichever generation is current, until `stop`.
    fn ask(&self, server: SocketAddr, current: &AtomicUsize, stop: &AtomicBool) {
        let socket = socket(V4);
        socket.set_nonblocking(true).unwrap();
        while !stop.load(Ordering::Relaxed) {
            let server_key = self.secrets[current.load(Ordering::Relaxed)].public_key();
            let client = Client::new(server_key).unwrap().with_identity(&identity()).unwrap();
            for _ in 0..8 {
                // A full buffer is the kernel's way to drop.
                drop(socket.send_to(&sealed(&client, b"hello").0, server));
            }
            while socket.recv(&mut [0; 200]).is_ok() {}
        }
    }
}

/// Ends the clients, also when the test fails.
struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn no_packet_sees_two_generations_of_a_configuration() {
    let generations = Generations::new();
    let server = builder().workers(2).bind((V4, 0)).unwrap().serve(generations.config(0)).unwrap();
    let (current, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        let _stop = SetOnDrop(&stop);
        for _ in 0..2 {
            scope.spawn(|| generations.ask(server.local_addr(), &current, &stop));
        }
        for generation in 1..=SWAPS {
            server.set_config(generations.config(generation));
            current.store(generation, Ordering::Relaxed);
            // However slow the machine, some are served between one and another.
            let deadline = Instant::now() + PATIENCE;
            while generation.is_multiple_of(5) && generations.served[generation].load(Ordering::Relaxed) == 0 {
                assert!(Instant::now() < deadline, "{generation}: {:?} mixed {:?}", server.stats(), generations.mixed);
                thread::yield_now();
            }
        }
    });
    let stats = server.shutdown_blocking(PATIENCE);
    let total: usize = generations.served.iter().map(|served| served.load(Ordering::Relaxed)).sum();
    let used = generations.served.iter().filter(|served| served.load(Ordering::Relaxed) > 0).count();
    println!("{total} requests served under {used} of {SWAPS} configurations");
    assert_eq!(generations.mixed.load(Ordering::Relaxed), 0, "requests that saw two generations");
    assert!(used >= SWAPS / 5, "{used}");
    assert_eq!(stats.count(DatagramOutcome::Replied), total as u64);
    assert_eq!(stats.config_errors, 0);
}
