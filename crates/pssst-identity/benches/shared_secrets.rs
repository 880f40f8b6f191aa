//! Cost of secrets that are computed ahead of time: to compute them, to keep them, to look them up,
//! and what a request costs with and without them.
//!
//! `cargo bench -p pssst-identity --bench shared_secrets` takes a million clients; `-- 100000` as
//! many as that. Without `--bench` (as `cargo test` runs it) it takes few.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use pssst_identity::pssst::{
    BATCH_LEN, Client, ClientCheck, ClientClaim, KeyCheck, Keyring, PublicKey, SecretKey, Server, SharedSecret, Suite,
    SysRng, X25519,
};
use pssst_identity::{
    AccessPolicy, Change, ClientStatus, IdentitySnapshot, Revision, SharedSecrets, State, UnknownClients,
};
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

const PIECE: usize = 10_000;
/// Look-ups that are timed together.
const ROUND_LEN: u32 = 10_000;
const ROUND: usize = ROUND_LEN as usize;
const SUITE: Suite = Suite::X25519Aes256GcmSiv;

fn main() {
    let clients = std::env::args().skip(1).find_map(|argument| argument.parse().ok());
    let is_bench = std::env::args().any(|argument| argument == "--bench");
    let clients = clients.unwrap_or(if is_bench { 1_000_000 } else { 2_000 });
    let (lookups, requests) = if is_bench { (2_000_000, 200_000) } else { (20_000, 640) };
    let x25519 = X25519::new();
    println!("{}; X25519 {:?}, in batches {:?}", cpu(), x25519.single_backend(), x25519.batch_backend());

    // Keys look like random bytes, and whether they are points makes no difference here.
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut keys: Vec<_> = (0..clients).map(|_| PublicKey::from_bytes(rng.random())).collect();
    let identities: Vec<_> = (0..BATCH_LEN).map(|_| SecretKey::generate(&mut SysRng).expect("a key")).collect();
    for (key, identity) in keys.iter_mut().zip(&identities) {
        *key = identity.public_key();
    }
    let snapshot = Arc::new(IdentitySnapshot::new());
    for keys in keys.chunks(PIECE) {
        snapshot.apply(&keys.iter().map(enrolled).collect::<Vec<_>>());
    }

    let secret = SecretKey::generate(&mut SysRng).expect("a key");
    let keyring = Keyring::new(secret.clone());
    let (start, on_cpu) = (Instant::now(), seconds_on_cpu());
    let secrets = SharedSecrets::compute(&snapshot, &keyring);
    let (wall, seconds) = (start.elapsed().as_secs_f64(), seconds_on_cpu() - on_cpu);
    assert!(secrets.is_complete());
    println!(
        "{clients} clients, one server key: {seconds:.2} s of one core ({wall:.2} s by the clock), {:.2} us each",
        seconds * 1e6 / per(clients, 1)
    );
    // Memory that was free before serves the first table, so the second one is measured.
    let resident = resident_bytes();
    let second = SharedSecrets::compute(&snapshot, &keyring);
    println!(
        "memory: {:.1} MB, {:.2} bytes each; resident memory grew by {:.1} MB with a second table; computed for 10 million: {:.0} MB",
        per(secrets.memory(), 1_000_000),
        per(secrets.memory(), clients),
        per(resident_bytes().saturating_sub(resident), 1_000_000),
        per(secrets.memory(), clients) * 10.0,
    );
    drop(second);

    let without = AccessPolicy::new(Arc::clone(&snapshot), UnknownClients::Refuse);
    let with = AccessPolicy::new(snapshot, UnknownClients::Refuse).with_shared_secrets(secrets);
    let known: Vec<_> = (0..lookups).map(|_| keys[rng.random_range(0..clients)]).collect();
    let unknown: Vec<_> = (0..lookups).map(|_| PublicKey::from_bytes(rng.random())).collect();
    let is_known = |found: &SharedSecret| matches!(found, SharedSecret::Known(_));
    let is_unknown = |found: &SharedSecret| matches!(found, SharedSecret::Unknown);
    let is_computed = |found: &SharedSecret| matches!(found, SharedSecret::Compute);
    println!("look-up with the table, known key: {:.0} ns", look_up(&with, &known, is_known));
    println!("look-up with the table, unknown key: {:.0} ns", look_up(&with, &unknown, is_unknown));
    println!("look-up without the table: {:.0} ns", look_up(&without, &known, is_computed));
    println!("check after decryption, by itself: {:.0} ns", check(&with, &known));
    println!("look-up with the table and check: {:.0} ns", look_up_and_check(&with, &known));

    let packets: Vec<_> = identities
        .iter()
        .map(|identity| {
            let client =
                Client::new(secret.public_key()).and_then(|client| client.with_suite(SUITE)).expect("a client");
            let client = client.with_identity(identity).expect("an identity");
            client.seal_request_to_vec(&mut SysRng, &[0; 32]).expect("a request").0
        })
        .collect();
    let server = Server::new(keyring);
    for (name, policy) in [("with", &with), ("without", &without)] {
        println!(
            "a request in batches of {BATCH_LEN}, {name} the table: {:.2} us",
            open(&server, policy, &packets, requests)
        );
    }
}

/// Nanoseconds for each of `items`: the median of many rounds, so that what else the machine does
/// counts less.
fn median<T>(items: &[T], mut round: impl FnMut(&[T])) -> f64 {
    let mut rounds: Vec<_> = items
        .chunks_exact(ROUND)
        .map(|items| {
            let start = Instant::now();
            round(items);
            start.elapsed().div_f64(f64::from(ROUND_LEN)).as_secs_f64() * 1e9
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    rounds[rounds.len() / 2]
}

fn claim(key: &PublicKey) -> ClientClaim<'_> {
    ClientClaim::new(key, SUITE, 0, false)
}

fn look_up(policy: &AccessPolicy, keys: &[PublicKey], is_expected: impl Fn(&SharedSecret) -> bool) -> f64 {
    median(keys, |keys| {
        let found = keys.iter().filter(|key| is_expected(&black_box(policy.look_up(&claim(key))))).count();
        assert_eq!(found, keys.len());
    })
}

fn check(policy: &AccessPolicy, keys: &[PublicKey]) -> f64 {
    median(keys, |keys| {
        let found = keys.iter().filter(|key| black_box(policy.check(&claim(key))) == KeyCheck::Accept).count();
        assert_eq!(found, keys.len());
    })
}

fn look_up_and_check(policy: &AccessPolicy, keys: &[PublicKey]) -> f64 {
    median(keys, |keys| {
        for key in keys {
            black_box(policy.look_up(&claim(key)));
            assert_eq!(black_box(policy.check(&claim(key))), KeyCheck::Accept);
        }
    })
}

/// Microseconds for each request: the median of many batches.
fn open(server: &Server, policy: &AccessPolicy, packets: &[Vec<u8>], requests: usize) -> f64 {
    let mut batches: Vec<_> = (0..requests / packets.len())
        .map(|_| {
            let mut packets = packets.to_vec();
            let mut opened = 0;
            let start = Instant::now();
            server.open_batch(packets.iter_mut().map(Vec::as_mut_slice), policy, |_, outcome| {
                opened += usize::from(outcome.is_ok());
            });
            let seconds = start.elapsed().as_secs_f64();
            assert_eq!(opened, packets.len());
            seconds * 1e6 / per(packets.len(), 1)
        })
        .collect();
    batches.sort_by(f64::total_cmp);
    batches[batches.len() / 2]
}

fn enrolled(key: &PublicKey) -> Change {
    let status = ClientStatus { name: "sensor".into(), state: State::Enrolled, expires: None, requires_psk: false };
    Change::new(Revision(1), *key, Some(status))
}

#[expect(clippy::cast_precision_loss, reason = "no more than some gigabytes")]
fn per(bytes: usize, clients: usize) -> f64 {
    bytes as f64 / clients as f64
}

/// Of this process; 0 where the system does not tell.
fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<usize>().ok()).unwrap_or(0) * 1024
}

/// Returns how long this thread has been on a CPU, in seconds; 0 where the system does not tell.
fn seconds_on_cpu() -> f64 {
    let times = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = times.split(' ').next().and_then(|first| first.parse::<f64>().ok());
    nanoseconds.unwrap_or_default() / 1e9
}

/// Returns the name of the CPU, where the system tells it.
fn cpu() -> String {
    let cpus = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    name.map_or("unknown CPU", |(_, name)| name).to_owned()
}
