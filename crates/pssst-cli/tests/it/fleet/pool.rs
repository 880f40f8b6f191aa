//! A pool for real: three gateways behind nginx, which balances packet by packet, PostgreSQL, and
//! clients that do not stop asking. There is junk as well, to which nobody answers. Meanwhile a
//! gateway is killed and started, nginx is restarted, and the database is away.

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use pssst_net::pssst::{PublicKey, SecretKey};
use pssst_net::{Client, Error};
use pssst_test::{Nginx, Postgres, Process, ReservedPort};

use crate::fleet::process::Fleet;

const CLIENTS: u32 = 100;

/// nginx with the balancer's configuration that is deployed, on ports of the test.
fn start_nginx(fleet: &Fleet, port: u16, gateways: [u16; 3]) -> Nginx {
    let deployed =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/balancers/nginx-stream.conf"));
    let mut stream = deployed.unwrap();
    for (place, port) in gateways.iter().enumerate() {
        let example = format!("10.0.0.1{}:45678", place + 1);
        assert!(stream.contains(&example));
        stream = stream.replace(&example, &format!("127.0.0.1:{port}"));
    }
    stream = stream.replace("listen 45678 udp reuseport;", &format!("listen 127.0.0.1:{port} udp reuseport;"));
    Nginx::start(&fleet.path(""), &stream)
}

/// A service that answers with what it is asked.
fn echo() -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    thread::spawn(move || {
        let mut buffer = [0; 2048];
        while let Ok((len, peer)) = socket.recv_from(&mut buffer) {
            drop(socket.send_to(&buffer[..len], peer));
        }
    });
    port
}

/// Observations of the pool's clients.
#[derive(Default)]
struct Seen {
    answered: AtomicU64,
    failed: AtomicU64,
    slowest_millis: AtomicU64,
    resent: AtomicU64,
}

/// Asks about once every fifth of a second until the pool is to rest.
async fn ask(client: Client, number: usize, seen: Arc<Seen>, rest: Arc<AtomicBool>) {
    tokio::time::sleep(Duration::from_millis(2 * number as u64)).await;
    let mut turn = 0_u32;
    while !rest.load(Ordering::Relaxed) {
        turn += 1;
        let message = format!("client {number}, turn {turn}");
        let start = Instant::now();
        match client.request(&message).await {
            Ok(reply) => {
                assert_eq!(reply, message.as_bytes());
                seen.answered.fetch_add(1, Ordering::Relaxed);
            }
            Err(Error::Timeout { .. }) => {
                seen.failed.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => panic!("{error}"),
        }
        seen.slowest_millis.fetch_max(start.elapsed().as_millis().try_into().unwrap(), Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    seen.resent.fetch_add(client.stats().retransmits, Ordering::Relaxed);
}

/// Twenty times a second, from a port of its own each time.
fn send_junk(port: u16, rest: Arc<AtomicBool>) -> thread::JoinHandle<u64> {
    thread::spawn(move || {
        let mut sent = 0;
        while !rest.load(Ordering::Relaxed) {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            sent += u64::from(socket.send_to(&[0; 100], ("127.0.0.1", port)).is_ok());
            thread::sleep(Duration::from_millis(50));
        }
        sent
    })
}

/// `PSSST_POOL_SECONDS` is how long at least; 20 or more.
#[test]
#[ignore = "long: a step of `cargo xtask ci full`"]
fn a_pool_loses_no_transaction_whatever_is_taken_away() {
    let seconds = std::env::var("PSSST_POOL_SECONDS").ok().map_or(20, |text| text.parse::<u32>().unwrap().max(20));
    let pass = |share: f64| thread::sleep(Duration::from_secs(seconds.into()).mul_f64(share));
    let fleet = Fleet::new();
    let mut database = Postgres::start();
    let store = database.url();
    let secrets: Vec<_> = (1..=CLIENTS).map(pssst_test::secret).collect();
    let line = |(number, secret): (usize, &SecretKey)| {
        format!("{{\"key\":\"{}\",\"name\":\"client-{number}\"}}\n", secret.public_key())
    };
    fleet.write("clients.jsonl", &secrets.iter().enumerate().map(line).collect::<String>());
    fleet.stdout(&["clients", "import", "--store", &store, "clients.jsonl"]);
    let server_key: PublicKey = fleet.stdout(&["keygen", "--out", "server.key"]).trim().parse().unwrap();

    let upstream = format!("udp://127.0.0.1:{}", echo());
    let balancer = ReservedPort::new();
    let reserved = [(); 3].map(|()| ReservedPort::new());
    let (port, ports) = (balancer.number(), reserved.each_ref().map(ReservedPort::number));
    let start_gateway = |port: u16| -> Process {
        let listen = format!("127.0.0.1:{port}");
        let gateway = [
            "gateway",
            "--listen",
            &listen,
            "--secret-key",
            "server.key",
            "--clients",
            &store,
            "--upstream",
            &upstream,
        ];
        let mut gateway = fleet.start(&[&gateway[..], &["--workers", "1", "--log-level", "error"]].concat(), 3);
        gateway.value_of("listening on ");
        gateway
    };
    let [mut first, second, third] = ports.map(start_gateway);
    let mut nginx = start_nginx(&fleet, port, ports);

    let (seen, rest) = (Arc::new(Seen::default()), Arc::new(AtomicBool::new(false)));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let load = thread::spawn({
        let (seen, rest) = (Arc::clone(&seen), Arc::clone(&rest));
        move || {
            runtime.block_on(async {
                let mut asking = Vec::new();
                for (number, secret) in secrets.iter().enumerate() {
                    let builder = Client::builder(server_key).identity(secret);
                    let client =
                        builder.timeout(Duration::from_secs(30)).connect(format!("127.0.0.1:{port}")).await.unwrap();
                    asking.push(tokio::spawn(ask(client, number, Arc::clone(&seen), Arc::clone(&rest))));
                }
                for asked in asking {
                    asked.await.unwrap();
                }
            });
        }
    });

    let junk = send_junk(port, Arc::clone(&rest));

    let so_far = |what: &str| {
        println!(
            "{what}: {} answered, {} failed",
            seen.answered.load(Ordering::Relaxed),
            seen.failed.load(Ordering::Relaxed)
        );
    };
    let start = Instant::now();
    pass(0.1);
    so_far("a gateway is killed");
    first.kill();
    pass(0.15);
    so_far("it is started again");
    first = start_gateway(ports[0]);
    pass(0.1);
    so_far("nginx is stopped");
    drop(nginx);
    thread::sleep(Duration::from_millis(500));
    nginx = start_nginx(&fleet, port, ports);
    so_far("and started again");
    pass(0.15);
    so_far("the database is stopped");
    database.stop();
    thread::sleep(Duration::from_secs(10));
    database.start_again();
    so_far("and started again, after ten seconds");
    pass(0.1);
    thread::sleep(Duration::from_secs(seconds.into()).saturating_sub(start.elapsed()));
    println!("after {} s of load:", start.elapsed().as_secs());
    rest.store(true, Ordering::Relaxed);
    load.join().unwrap();
    so_far("the end");
    println!("{} packets of junk", junk.join().unwrap());
    println!(
        "slowest {} ms, {} sent again",
        seen.slowest_millis.load(Ordering::Relaxed),
        seen.resent.load(Ordering::Relaxed)
    );
    drop(nginx);
    for (name, gateway) in [("first, after its restart", first), ("second", second), ("third", third)] {
        println!("{name}: {}", gateway.stop().trim());
    }
    assert!(seen.answered.load(Ordering::Relaxed) > u64::from(seconds) * 100);
    assert_eq!(seen.failed.load(Ordering::Relaxed), 0);
    assert!(seen.resent.load(Ordering::Relaxed) > 0, "nothing was taken away");
}
