//! Cost of a snapshot of many clients: memory, look-ups, changes.
//!
//! `cargo bench -p pssst-identity --bench snapshot` takes 10 million clients; `-- 1000000` as many
//! as that. Without `--bench` (as `cargo test` runs it) it takes few.

use std::hint::black_box;
use std::time::Instant;

use pssst_identity::jiff::Timestamp;
use pssst_identity::pssst::{ClientCheck, ClientClaim, KeyCheck, PublicKey, Suite};
use pssst_identity::{AccessPolicy, Change, ClientStatus, IdentitySnapshot, Revision, State, UnknownClients};
use rand::rngs::ChaCha8Rng;
use rand::{Rng, RngExt, SeedableRng};

const PIECE: usize = 1_000_000;
/// Look-ups that are timed together.
const ROUND_LEN: u32 = 10_000;
const ROUND: usize = ROUND_LEN as usize;

fn main() {
    let clients = std::env::args().skip(1).find_map(|argument| argument.parse().ok());
    let is_bench = std::env::args().any(|argument| argument == "--bench");
    let clients = clients.unwrap_or(if is_bench { 10_000_000 } else { 20_000 });
    let lookups = if is_bench { 5_000_000 } else { 50_000 };

    // Keys look like random bytes, and whether they are points makes no difference here.
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut keys = vec![[0; 32]; clients];
    for key in &mut keys {
        rng.fill_bytes(key);
    }

    let resident = resident_bytes();
    let snapshot = IdentitySnapshot::new();
    let start = Instant::now();
    for (piece, keys) in keys.chunks(PIECE).enumerate() {
        let changes: Vec<_> =
            keys.iter().zip(piece * PIECE..).map(|(key, number)| enrolled(*key, number, State::Enrolled)).collect();
        snapshot.apply(&changes);
    }
    let built = start.elapsed();
    assert_eq!(snapshot.len(), clients);
    let names = (0..clients).map(|number| name(number).len()).sum::<usize>();
    println!(
        "{clients} clients: {:.1} bytes each, {:.1} of them for the name; resident memory grew by {:.1} each; built in {:.1} s",
        per(snapshot.memory(), clients),
        per(names, clients),
        per(resident_bytes().saturating_sub(resident), clients),
        built.as_secs_f64(),
    );

    let policy = AccessPolicy::new(snapshot.into(), UnknownClients::Refuse);
    let known: Vec<_> = (0..lookups).map(|_| PublicKey::from_bytes(keys[rng.random_range(0..clients)])).collect();
    println!("look-up of a known key: {:.0} ns", look_up(&policy, &known, KeyCheck::Accept));
    let unknown: Vec<_> = (0..lookups).map(|_| PublicKey::from_bytes(rng.random())).collect();
    println!("look-up of an unknown key: {:.0} ns", look_up(&policy, &unknown, KeyCheck::RejectUnknown));

    println!("reading one word of as much memory: {:.0} ns", random_read(policy.snapshot().memory(), &mut rng));

    let changes = 1_000;
    let start = Instant::now();
    for _ in 0..changes {
        let number = rng.random_range(0..clients);
        policy.snapshot().apply(&[enrolled(keys[number], number, State::Revoked)]);
    }
    println!("a change by itself: {:.0} us", start.elapsed().as_secs_f64() * 1e6 / f64::from(changes));
    let start = Instant::now();
    let revoked: Vec<_> = (0..10_000)
        .map(|_| rng.random_range(0..clients))
        .map(|number| enrolled(keys[number], number, State::Revoked))
        .collect();
    policy.snapshot().apply(&revoked);
    println!("10,000 changes at once: {:.0} ms", start.elapsed().as_secs_f64() * 1e3);
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

fn look_up(policy: &AccessPolicy, keys: &[PublicKey], expected: KeyCheck) -> f64 {
    median(keys, |keys| {
        let check = |key| policy.check(&ClientClaim::new(key, Suite::X25519Aes256GcmSiv, 0, false));
        let found = keys.iter().filter(|key| black_box(check(key)) == expected).count();
        assert_eq!(found, keys.len());
    })
}

/// Reads a word of so much memory, where each address depends on the word before: what any look-up
/// has to wait for.
fn random_read(bytes: usize, rng: &mut ChaCha8Rng) -> f64 {
    let memory: Vec<usize> = (0..bytes / size_of::<usize>()).collect();
    let places: Vec<_> = (0..1_000_000).map(|_| rng.random_range(1..memory.len())).collect();
    let mut last = 0;
    // The highest bit is never set, which the compiler cannot know.
    median(&places, |places| last = places.iter().fold(last, |last, place| memory[place - black_box(last >> 63)]))
}

fn enrolled(key: [u8; 32], number: usize, state: State) -> Change {
    // One in ten expires some day.
    let expires = number.is_multiple_of(10).then_some(Timestamp::MAX);
    let status = ClientStatus { name: name(number), state, expires, requires_psk: false };
    Change::new(Revision(number as u64 + 1), PublicKey::from_bytes(key), Some(status))
}

fn name(number: usize) -> String {
    format!("sensor-{number}")
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
