//! A server on one core beside its floor: the same system calls and the same X25519, and nothing
//! else.
//!
//! A closed loop of requests, 32-byte messages, over loopback; the server on one core, the clients
//! on another. All fields of the table are measured in turn, round after round; medians, and ratios
//! within a round. What junk costs follows from how much slower real requests are when as much junk
//! comes with them.
//!
//! A second table has every suite: what a transaction takes of the server's processor time, system
//! calls included, without a reply cache. `--plot FILE` draws it.

use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use pssst_net::pssst::{
    Client, ClientCheck, ClientClaim, KeyCheck, Keyring, Padding, PublicKey, SecretKey, SharedSecret, Suite, SysRng,
    UnsealedRequest, X25519, XWingSecretKey,
};
use pssst_net::udp::{BatchSocket, ReceiveBatch, SendBatch};
use pssst_net::{Handler, Reply, Request, Server, ServerConfig};
use pssst_test::bar_chart::{Bar, BarChart};
use x25519_batch::Product;

/// Rounds, each with every field of the table.
const ROUNDS: usize = 7;
const ROUND: Duration = Duration::from_millis(700);
/// Different requests: more than the server's cache holds.
const REQUESTS: usize = 200_000;
/// Requests in flight.
const WINDOW: usize = 128;
const MESSAGE: [u8; 32] = [b'm'; 32];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Floor,
    Ours,
    WithoutCache,
    Service,
    Junk,
}

const KINDS: [(Kind, &str); 5] = [
    (Kind::Floor, "floor: the same system calls and X25519 alone"),
    (Kind::Ours, "pssst-net, a function"),
    (Kind::WithoutCache, "pssst-net, a function, no cache"),
    (Kind::Service, "pssst-net, a tower service"),
    (Kind::Junk, "pssst-net, a function, and as much junk"),
];

fn main() {
    let secret = SecretKey::generate(&mut SysRng).unwrap();
    let identity = SecretKey::generate(&mut SysRng).unwrap();
    let client = Client::new(secret.public_key()).unwrap().with_suite(Suite::X25519AesGcm128).unwrap();
    let authenticated = Client::new(secret.public_key()).unwrap().with_identity(&identity).unwrap();
    let authenticated = authenticated.with_suite(Suite::X25519AesGcm128).unwrap();
    let arguments: Vec<_> = std::env::args().collect();
    let plot = arguments.iter().position(|argument| argument == "--plot");
    let plot = plot.map(|place| PathBuf::from(arguments.get(place + 1).expect("--plot FILE")));
    // `cargo test --benches` goes through it once.
    let (rounds, round, requests) = if arguments.iter().any(|argument| argument == "--bench") {
        (ROUNDS, ROUND, REQUESTS)
    } else {
        (1, Duration::from_millis(100), 1000)
    };
    println!("X25519 {:?}; thousands of transactions a second on one core", X25519::new().batch_backend());
    for (name, client) in [("anonymous", &client), ("authenticated", &authenticated)] {
        let requests = sealed(client, requests);
        let mut rates = [const { Vec::new() }; KINDS.len()];
        for _ in 0..rounds {
            for ((kind, _), rates) in KINDS.iter().zip(&mut rates) {
                rates.push(measure(*kind, &secret, client.overhead() > 52, &requests, round));
            }
        }
        println!("\n{name}");
        let floor = rates[0].clone();
        for ((_, name), rates) in KINDS.iter().zip(&rates) {
            let ratios = rates.iter().zip(&floor).map(|(rate, floor)| rate / floor).collect();
            println!("{:8.1}  {:.3} of the floor  {name}", median(rates.clone()) / 1000.0, median(ratios));
        }
        let [_, ours, .., with_junk] = &rates;
        let junk = ours.iter().zip(with_junk).map(|(without, with)| without / with - 1.0).collect();
        println!("a packet of junk costs {:.2} of a transaction", median(junk));
    }
    let suites = compare_suites(rounds, round, requests / 10);
    if let Some(file) = plot {
        std::fs::write(file, picture(&suites)).unwrap();
    }
}

/// Draws the rates of the suites.
fn picture(rates: &[(&str, f64)]) -> String {
    let subtitle = format!(
        "thousands of transactions a second on one core over UDP, messages of 32 bytes; X25519 {:?}",
        X25519::new().batch_backend()
    );
    let bar = |&(name, rate)| Bar { name, value: rate / 1000.0, is_other: name.starts_with("suite 1") };
    BarChart { title: "What one core serves", subtitle: &subtitle, bars: rates.iter().map(bar).collect() }.to_svg()
}

/// Whether clients prove who they are, and where the server takes Z2 from.
#[derive(Clone, Copy, PartialEq)]
enum Identity {
    Anonymous,
    OnDemand,
    Ahead,
}

/// An option of the client.
#[derive(Clone, Copy, PartialEq)]
enum Extra {
    None,
    /// Requests and replies of 1,232 bytes, as suite 0xf003 has them by default.
    Padded,
    /// Fresh replies.
    Fresh,
}

const SUITES: [(&str, Suite, Identity, Extra); 14] = [
    ("suite 1, anonymous", Suite::X25519AesGcm128, Identity::Anonymous, Extra::None),
    ("suite 1, authenticated", Suite::X25519AesGcm128, Identity::OnDemand, Extra::None),
    ("f002, anonymous", Suite::X25519Aes256GcmSiv, Identity::Anonymous, Extra::None),
    ("f002, authenticated, Z2 ahead", Suite::X25519Aes256GcmSiv, Identity::Ahead, Extra::None),
    ("f002, authenticated, Z2 on demand", Suite::X25519Aes256GcmSiv, Identity::OnDemand, Extra::None),
    ("f003, anonymous", Suite::XWingAes256GcmSiv, Identity::Anonymous, Extra::None),
    ("f003, authenticated, Z2 ahead", Suite::XWingAes256GcmSiv, Identity::Ahead, Extra::None),
    ("f003, authenticated, Z2 on demand", Suite::XWingAes256GcmSiv, Identity::OnDemand, Extra::None),
    ("f003, authenticated, Z2 ahead, padded", Suite::XWingAes256GcmSiv, Identity::Ahead, Extra::Padded),
    ("f002, authenticated, Z2 ahead, padded", Suite::X25519Aes256GcmSiv, Identity::Ahead, Extra::Padded),
    ("f002, anonymous, fresh", Suite::X25519Aes256GcmSiv, Identity::Anonymous, Extra::Fresh),
    ("f002, authenticated, Z2 ahead, fresh", Suite::X25519Aes256GcmSiv, Identity::Ahead, Extra::Fresh),
    ("f003, anonymous, fresh", Suite::XWingAes256GcmSiv, Identity::Anonymous, Extra::Fresh),
    ("f003, authenticated, Z2 ahead, fresh", Suite::XWingAes256GcmSiv, Identity::Ahead, Extra::Fresh),
];

/// Names, the places in [`SUITES`] whose processor times are divided, and the goal.
const GOALS: [(&str, usize, usize, &str); 4] = [
    ("f002, time of authenticated, Z2 ahead, beside anonymous", 3, 2, "at most 1.1"),
    ("f002, Z2 ahead, transactions beside suite 1, authenticated", 1, 3, "at least 1.4"),
    ("f003, anonymous, transactions beside f002", 2, 5, "at least 0.5"),
    ("f003, authenticated, Z2 ahead, transactions beside f002", 3, 6, "at least 0.5"),
];

/// One enrolled client.
struct Clients {
    key: PublicKey,
    z2: Option<[u8; 32]>,
}

impl ClientCheck for Clients {
    fn check(&self, claim: &ClientClaim<'_>) -> KeyCheck {
        if *claim.key() == self.key { KeyCheck::Accept } else { KeyCheck::RejectUnknown }
    }

    fn look_up(&self, claim: &ClientClaim<'_>) -> SharedSecret {
        match self.z2 {
            None => SharedSecret::Compute,
            Some(z2) if *claim.key() == self.key => SharedSecret::Known(z2.into()),
            Some(_) => SharedSecret::Unknown,
        }
    }

    fn allows_unknown_clients(&self) -> bool {
        false
    }
}

/// Returns the rates of the suites, in transactions a second.
fn compare_suites(rounds: usize, round: Duration, count: usize) -> Vec<(&'static str, f64)> {
    let secret = SecretKey::generate(&mut SysRng).unwrap();
    let xwing_secret = XWingSecretKey::generate(&mut SysRng).unwrap();
    let identity = SecretKey::generate(&mut SysRng).unwrap();
    let keyring = || Keyring::new(secret.clone()).with_xwing_key(&xwing_secret).unwrap();
    let requests = SUITES.map(|(_, suite, kind, extra)| {
        let client = match suite {
            Suite::XWingAes256GcmSiv => Client::new(xwing_secret.public_key()),
            _ => Client::new(secret.public_key()).unwrap().with_suite(suite),
        };
        let client = client.unwrap();
        let padding = if extra == Extra::Padded { Padding::ToLength(1232) } else { Padding::None };
        let client = match suite {
            Suite::X25519AesGcm128 => client,
            _ => client.with_padding(padding).unwrap(),
        };
        let client = if extra == Extra::Fresh { client.with_fresh_replies().unwrap() } else { client };
        let is_anonymous = kind == Identity::Anonymous;
        sealed(&if is_anonymous { client } else { client.with_identity(&identity).unwrap() }, count)
    });
    let mut measured = [const { Vec::new() }; SUITES.len()];
    for _ in 0..rounds {
        for ((_, suite, kind, _), (requests, measured)) in SUITES.iter().zip(requests.iter().zip(&mut measured)) {
            pin(0);
            let server_key = match suite {
                Suite::XWingAes256GcmSiv => xwing_secret.public_key().x25519_part(),
                _ => secret.public_key(),
            };
            let z2 = identity.shared_secret(&server_key).unwrap();
            let z2 = (*kind == Identity::Ahead).then(|| *z2.as_bytes());
            let handler = Handler::from_fn(|request: Request<&[u8]>| Some(Reply::copy_from(request.message())));
            let config = ServerConfig::new(keyring(), handler);
            let config = config.client_check(Clients { key: identity.public_key(), z2 });
            let builder = Server::builder().workers(1).reply_cache(0);
            let server = builder.bind("127.0.0.1:0").unwrap().serve(config).unwrap();
            measured.push(load(server.local_addr(), requests, false, round));
            server.shutdown_blocking(Duration::from_secs(1));
        }
    }
    println!("\nthousands of transactions a second, and us of the server's processor time for each");
    let mut rates = Vec::new();
    for ((name, ..), measured) in SUITES.iter().zip(&measured) {
        let rate = median(measured.iter().map(|load| load.rate).collect());
        rates.push((*name, rate));
        let time = median(measured.iter().map(|load| load.server_us).collect());
        println!("{:8.1} {time:8.2}  {name}", rate / 1000.0);
    }
    for (name, divided, divisor, goal) in GOALS {
        let times = |place: usize| measured[place].iter().map(|load| load.server_us);
        let ratios = times(divided).zip(times(divisor)).map(|(divided, divisor)| divided / divisor).collect();
        println!("{:.3}  {name}; goal: {goal}", median(ratios));
    }
    rates
}

/// Results of a round.
struct Load {
    /// Transactions a second.
    rate: f64,
    /// Microseconds of processor time of all other threads, for each transaction.
    server_us: f64,
}

/// Nanoseconds that the other threads of this process have run for; not a number where the system
/// does not say.
fn other_threads_ns() -> f64 {
    let run = |folder: &str| {
        let times = std::fs::read_to_string(format!("{folder}/schedstat")).ok()?;
        times.split(' ').next()?.parse::<f64>().ok()
    };
    let Ok(threads) = std::fs::read_dir("/proc/self/task") else { return f64::NAN };
    let all: f64 = threads.flatten().filter_map(|thread| run(&thread.path().to_string_lossy())).sum();
    all - run("/proc/thread-self").unwrap_or(f64::NAN)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn sealed(client: &Client, count: usize) -> Vec<Vec<u8>> {
    let mut packets = vec![vec![0; client.packet_len(MESSAGE.len()).unwrap()]; count];
    let requests = packets.iter_mut().map(|buffer| UnsealedRequest { client, message: &MESSAGE, buffer });
    Client::seal_batch(&mut SysRng, requests, |_, outcome| assert!(outcome.is_ok()));
    packets
}

/// Transactions a second.
fn measure(kind: Kind, secret: &SecretKey, is_authenticated: bool, requests: &[Vec<u8>], time: Duration) -> f64 {
    // Threads start on the core of the thread that starts them.
    pin(0);
    if kind == Kind::Floor {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let (secret, stop_it) = (secret.clone(), Arc::clone(&stop));
        let floor = thread::spawn(move || serve_floor(socket, &secret, is_authenticated, &stop_it));
        let rate = load(address, requests, false, time).rate;
        stop.store(true, Ordering::Relaxed);
        floor.join().unwrap();
        return rate;
    }
    let builder = Server::builder().workers(1);
    let builder = if kind == Kind::WithoutCache { builder.reply_cache(0) } else { builder };
    let handler = if kind == Kind::Service {
        Handler::from_service(tower::service_fn(|request: Request| {
            std::future::ready(Ok::<_, std::io::Error>(Some(Reply::from(request.into_message()))))
        }))
    } else {
        Handler::from_fn(|request: Request<&[u8]>| Some(Reply::copy_from(request.message())))
    };
    let server = builder.bind("127.0.0.1:0").unwrap().serve(ServerConfig::new(secret.clone(), handler)).unwrap();
    let rate = load(server.local_addr(), requests, kind == Kind::Junk, time).rate;
    server.shutdown_blocking(Duration::from_secs(1));
    rate
}

/// With one core only, all of it is slower alike.
fn pin(core: usize) {
    #[cfg(target_os = "linux")]
    {
        let mut set = nix::sched::CpuSet::new();
        set.set(core).unwrap();
        if let Err(error) = nix::sched::sched_setaffinity(nix::unistd::Pid::from_raw(0), &set) {
            eprintln!("not on core {core}: {error}");
        }
    }
}

/// Receives, multiplies, sends as many bytes as a reply has.
fn serve_floor(socket: UdpSocket, secret: &SecretKey, is_authenticated: bool, stop: &AtomicBool) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut socket = BatchSocket::new(socket).unwrap();
        let mut received = ReceiveBatch::new(64, 2048);
        let mut replies = SendBatch::new();
        let mut products: [Product; 64] = std::array::from_fn(|_| Product::default());
        let x25519 = X25519::new();
        while !stop.load(Ordering::Relaxed) {
            if tokio::time::timeout(Duration::from_millis(50), socket.receive(&mut received)).await.is_err() {
                continue;
            }
            let mut points = Vec::with_capacity(64);
            for datagram in received.datagrams() {
                points.push(datagram.bytes.unwrap()[4..36].try_into().unwrap());
                replies.push(datagram.peer, datagram.local, 52 + MESSAGE.len(), ());
            }
            let products = &mut products[..points.len()];
            x25519.multiply_points(secret.expose_bytes(), &points, products).unwrap();
            if is_authenticated {
                x25519.multiply_pairs(&points.clone(), &points, products).unwrap();
                let mut classes = vec![x25519_batch::PointClass::LowOrder; points.len()];
                x25519.classify_points(&points, &mut classes).unwrap();
            }
            socket.send(&mut replies, |(), outcome| outcome.unwrap()).await;
        }
    });
}

/// Keeps a window of requests in flight, and counts the replies and the server's time.
fn load(server: SocketAddr, requests: &[Vec<u8>], has_junk: bool, time: Duration) -> Load {
    pin(1);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut socket = BatchSocket::new(UdpSocket::bind("127.0.0.1:0").unwrap()).unwrap();
        let mut received = ReceiveBatch::new(64, 2048);
        let mut batch = SendBatch::new();
        let mut requests = requests.iter().cycle();
        let (mut replies, mut wanted) = (0_u32, WINDOW);
        let mut start = Instant::now();
        let warm = start + time / 5;
        let mut is_warm = false;
        let mut started_at = 0.0;
        loop {
            for request in requests.by_ref().take(wanted) {
                batch.push(server, None, request.len(), ()).copy_from_slice(request);
                if has_junk {
                    let junk = batch.push(server, None, request.len(), ());
                    junk.copy_from_slice(request);
                    junk[request.len() - 1] ^= 1;
                }
            }
            socket.send(&mut batch, |(), outcome| outcome.unwrap()).await;
            wanted = match tokio::time::timeout(Duration::from_millis(100), socket.receive(&mut received)).await {
                Ok(outcome) => {
                    outcome.unwrap();
                    received.len()
                }
                // A window was lost.
                Err(_) => WINDOW,
            };
            replies += u32::try_from(received.len()).unwrap();
            let now = Instant::now();
            if !is_warm && now > warm {
                (is_warm, start, replies, started_at) = (true, now, 0, other_threads_ns());
            }
            if is_warm && now > start + time {
                let replies = f64::from(replies);
                let server_us = (other_threads_ns() - started_at) / 1000.0 / replies;
                return Load { rate: replies / (now - start).as_secs_f64(), server_us };
            }
        }
    })
}
