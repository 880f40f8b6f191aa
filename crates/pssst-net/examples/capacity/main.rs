//! How many cores for how many devices: the tables of docs/capacity.md, from what a transaction was
//! measured to cost, and from a pool in virtual time.
//!
//!     cargo run --release -p pssst-net --example capacity

mod model;

use std::collections::BTreeSet;
use std::time::Duration;

use pssst_net::Retry;
use pssst_net::pssst::Suite;

use crate::model::{Client, Load, Pool, Results, quantile, ratio, run};

const SUITE: Suite = Suite::X25519Aes256GcmSiv;
/// Transactions a second of one core: docs/benchmarks.md, "A server over UDP, beside the Python
/// implementation".
const ANONYMOUS: f64 = 129_203.0;
const AUTHENTICATED: f64 = 80_015.0;
/// The share of its time that a core is to be busy at most.
const BUSY: f64 = 0.6;
/// Packets of up to 148 bytes that a socket with the buffer of a server holds: each takes 832 bytes
/// of Linux's 8 MiB, which is what it makes of 4.
const QUEUE: u64 = 10_082;
/// The model's pools are this many times smaller than real ones, each packet takes that many times
/// longer, and sockets hold that many times fewer: what depends on seconds and shares stays the
/// same.
const SCALE: u32 = 100;

fn main() {
    for table in tables() {
        println!("{table}");
    }
}

fn tables() -> [String; 7] {
    [losses(), waiting(), overload(), power_cut(), dead_server(), cores(), traffic()]
}

/// In Markdown.
struct Table(String);

impl Table {
    fn new(head: &str) -> Self {
        Self(format!("| {head} |\n|{}\n", "---:|".repeat(head.split(" | ").count())))
    }

    fn row(&mut self, cells: &str) {
        self.0 += &["| ", cells, " |\n"].concat();
    }
}

fn cost(per_second: f64) -> Duration {
    Duration::from_secs_f64(1.0 / per_second)
}

/// One that waits as long as clients do by default, on a network in which packets take 20 ms.
fn client(loss: f64) -> Client {
    Client { retry: Retry::default(), timeout: Duration::from_secs(10), loss, delay: Duration::from_millis(20) }
}

/// So many workers for authenticated requests, of the model's size.
fn pool(workers: usize) -> Pool {
    Pool { workers, cost: cost(AUTHENTICATED) * SCALE, queue: QUEUE / u64::from(SCALE), dead: 0 }
}

/// What keeps so many workers busy for such a share of their time.
fn load(pool: Pool, busy: f64, within: Duration) -> Load {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "some millions"
    )]
    let requests = (pool.workers as f64 * busy * within.as_secs_f64() / pool.cost.as_secs_f64()) as usize;
    Load { requests, within }
}

/// Packets that a client sends for a request: every packet is sent only after all before it have
/// failed, there or back.
fn sent_each(loss: f64, packets: i32) -> f64 {
    let fails = 1.0 - (1.0 - loss).powi(2);
    (1.0 - fails.powi(packets)) / (1.0 - fails)
}

/// Packets that servers work on for a request: those that were not lost on the way to them.
fn served_each(loss: f64, packets: i32) -> f64 {
    sent_each(loss, packets) * (1.0 - loss)
}

/// Mean time that a packet waits for a worker that is busy for such a share of its time: a queue
/// with random arrivals and one cost for all (M/D/1).
fn mean_wait(busy: f64, cost: Duration) -> Duration {
    cost.mul_f64(busy / (2.0 * (1.0 - busy)))
}

fn mean(sorted: &[Duration]) -> Duration {
    sorted.iter().sum::<Duration>() / u32::try_from(sorted.len()).expect("some millions")
}

fn percent(share: f64) -> String {
    match share * 100.0 {
        0.0 => "0".to_owned(),
        percent if percent < 0.01 => format!("{percent:.3} %"),
        percent if percent < 1.0 => format!("{percent:.2} %"),
        percent => format!("{percent:.1} %"),
    }
}

fn millis(time: Duration) -> String {
    format!("{}", time.as_millis())
}

fn losses() -> String {
    let mut table =
        Table::new("loss, each way | packets sent | worked on | failed after 10 s | after 30 s | p50, ms | p99, ms");
    for loss in [0.0, 0.01, 0.05, 0.2] {
        let (hasty, patient) = lossy(loss);
        table.row(&format!(
            "{} | {:.3} | {:.3} | {} | {} | {} | {}",
            percent(loss),
            patient.sent_each(),
            patient.served_each(),
            percent(hasty.failed()),
            percent(patient.failed()),
            millis(quantile(&patient.latencies, 0.5)),
            millis(quantile(&patient.latencies, 0.99)),
        ));
    }
    table.0
}

/// A load that never waits, of clients that wait for 10 seconds and for 30.
fn lossy(loss: f64) -> (Results, Results) {
    let pool = Pool { workers: 100, ..pool(100) };
    let load = Load { requests: 50_000, within: Duration::from_secs(50) };
    let patient = Client { timeout: Duration::from_secs(30), ..client(loss) };
    (run(pool, client(loss), load, 1), run(pool, patient, load, 1))
}

fn waiting() -> String {
    let mut table = Table::new("busy | wait in the socket, mean, µs | by the formula | p99, µs");
    for busy in [0.3, 0.6, 0.8, 0.9, 0.95] {
        let waits = busy_worker(busy).waits;
        table.row(&format!(
            "{} | {:.1} | {:.1} | {:.0}",
            percent(busy),
            micros(mean(&waits)),
            micros(mean_wait(busy, cost(AUTHENTICATED))),
            micros(quantile(&waits, 0.99)),
        ));
    }
    table.0
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// A worker of real size.
fn busy_worker(busy: f64) -> Results {
    let worker = Pool { workers: 1, cost: cost(AUTHENTICATED), queue: QUEUE, dead: 0 };
    run(worker, client(0.0), load(worker, busy, Duration::from_secs(1)), 2)
}

fn overload() -> String {
    let mut table =
        Table::new("asked, of what the pool can do | answered within 10 s | packets sent for each | p50, ms | p99, ms");
    for busy in [0.95, 1.05, 1.2, 1.5, 2.0] {
        let pool = pool(4);
        let results = run(pool, client(0.01), load(pool, busy, Duration::from_secs(30)), 3);
        table.row(&format!(
            "{} | {} | {:.2} | {} | {}",
            percent(busy),
            percent(1.0 - results.failed()),
            results.sent_each(),
            millis(quantile(&results.latencies, 0.5)),
            millis(quantile(&results.latencies, 0.99)),
        ));
    }
    table.0
}

fn power_cut() -> String {
    let mut table = Table::new(
        "each asks every | devices a core | they come back within | answered within 1 s | within 10 s | packets sent for each | no room for | the last answer after",
    );
    for (period, name) in [(10, "10 s"), (60, "minute")] {
        let Load { requests, .. } = load(pool(1), BUSY, Duration::from_secs(period));
        for within in BTreeSet::from([0, 10, period]) {
            let results = run(pool(1), client(0.01), Load { requests, within: Duration::from_secs(within) }, 4);
            let soon = results.latencies.partition_point(|latency| *latency < Duration::from_secs(1));
            table.row(&format!(
                "{name} | {:.1} million | {} | {} | {} | {:.2} | {} | {:.1} s",
                ratio(requests as u64 * u64::from(SCALE), 1_000_000),
                if within == 0 { "at once".to_owned() } else { format!("{within} s") },
                percent(ratio(soon as u64, requests as u64)),
                percent(1.0 - results.failed()),
                results.sent_each(),
                percent(ratio(results.overflowed, results.sent)),
                results.last_answer.as_secs_f64(),
            ));
        }
    }
    table.0
}

fn dead_server() -> String {
    let mut table = Table::new(
        "servers | one is dead, unnoticed: packets sent for each | p50, ms | p99, ms | failed after 10 s | the others, once it is noticed, are busy for",
    );
    for workers in [2, 3, 4, 10, 20] {
        let pool = Pool { dead: 1, ..pool(workers) };
        let results = run(pool, client(0.01), load(pool, BUSY, Duration::from_secs(20)), 5);
        table.row(&format!(
            "{workers} | {:.2} | {} | {} | {} | {}",
            results.sent_each(),
            millis(quantile(&results.latencies, 0.5)),
            millis(quantile(&results.latencies, 0.99)),
            percent(results.failed()),
            percent(BUSY * ratio(workers as u64, workers as u64 - 1)),
        ));
    }
    table.0
}

/// Cores for so many requests a second, at 1 % of loss.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "far below 2^52")]
fn cores_for(requests_per_second: f64, per_core: f64) -> u64 {
    let packets = 1 + i32::try_from(Retry::default().max_retransmits).expect("some");
    (requests_per_second * served_each(0.01, packets) / (per_core * BUSY)).ceil() as u64
}

fn cores() -> String {
    let mut table = Table::new("devices | each asks every second | 10 s | minute | hour");
    for exponent in 4..=10 {
        let devices = 10_f64.powi(exponent);
        let cores = [1.0, 10.0, 60.0, 3600.0].map(|period| {
            let of = |per_core| thousands(cores_for(devices / period, per_core));
            format!("{} / {}", of(ANONYMOUS), of(AUTHENTICATED))
        });
        table.row(&format!("10^{exponent} | {}", cores.join(" | ")));
    }
    table.0
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn traffic() -> String {
    let mut table = Table::new(
        "message and reply | request: bytes in UDP | on Ethernet | reply: bytes in UDP | on Ethernet | Mbit/s in, at 100,000 a second | out",
    );
    // IPv4 and UDP; then Ethernet with its check, preamble and gap.
    let on_ethernet = |bytes: usize| bytes + 28 + 38;
    let megabits = |bytes: usize| on_ethernet(bytes) as f64 * 8.0 * 100_000.0 / 1e6;
    for message in [32, 256, 1024] {
        for (kind, is_authenticated) in [("anonymous", false), ("authenticated", true)] {
            let request = message + SUITE.request_overhead(is_authenticated);
            let reply = message + SUITE.reply_overhead(false);
            table.row(&format!(
                "{message} B, {kind} | {request} | {} | {reply} | {} | {:.0} | {:.0}",
                on_ethernet(request),
                on_ethernet(reply),
                megabits(request),
                megabits(reply)
            ));
        }
    }
    table.0
}

fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|group| str::from_utf8(group).expect("digits")).collect();
    groups.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(measured: f64, expected: f64, within: f64) {
        assert!((measured / expected - 1.0).abs() < within, "{measured} instead of {expected}");
    }

    #[test]
    #[ignore = "long: a step of `cargo xtask ci full`"]
    fn the_document_has_what_is_printed_here() {
        let document = include_str!("../../../../docs/capacity.md");
        for table in tables() {
            assert!(document.contains(&table), "docs/capacity.md has another table than\n{table}");
        }
    }

    #[test]
    #[ignore = "long: a step of `cargo xtask ci full`"]
    fn packets_and_failures_follow_from_the_loss() {
        for loss in [0.01, 0.05, 0.2] {
            let (_, patient) = lossy(loss);
            close(patient.sent_each(), sent_each(loss, 5), 0.01);
            close(patient.served_each(), served_each(loss, 5), 0.01);
        }
        let (hasty, patient) = lossy(0.2);
        let fails = 1.0 - 0.8_f64.powi(2);
        close(patient.failed(), fails.powi(5), 0.2);
        // The fourth packet leaves after seven times the first pause, and its reply is in time if
        // that is less than 9.96 s.
        let fourth = (9.96 / 7.0 - 1.0) / 0.5;
        close(hasty.failed(), fourth * fails.powi(4) + (1.0 - fourth) * fails.powi(3), 0.1);
        assert_eq!(lossy(0.0).0.sent, 50_000);
    }

    #[test]
    fn packets_wait_as_queueing_theory_has_it() {
        for busy in [0.3, 0.6, 0.8, 0.9] {
            close(
                mean(&busy_worker(busy).waits).as_secs_f64(),
                mean_wait(busy, cost(AUTHENTICATED)).as_secs_f64(),
                0.1,
            );
        }
    }

    #[test]
    fn shares_and_seconds_do_not_depend_on_the_size() {
        let at_once = |scale: u32| {
            let pool = Pool { workers: 2, cost: cost(AUTHENTICATED) * scale, queue: QUEUE / u64::from(scale), dead: 1 };
            let Load { requests, .. } = load(pool, BUSY, Duration::from_secs(2));
            run(pool, client(0.05), Load { requests, within: Duration::from_secs(1) }, 6)
        };
        let (small, large) = (at_once(SCALE), at_once(SCALE / 10));
        close(small.sent_each(), large.sent_each(), 0.02);
        close(small.failed(), large.failed(), 0.2);
        close(small.last_answer.as_secs_f64(), large.last_answer.as_secs_f64(), 0.02);
        for share in [0.5, 0.9] {
            close(
                quantile(&small.latencies, share).as_secs_f64(),
                quantile(&large.latencies, share).as_secs_f64(),
                0.1,
            );
        }
    }

    #[test]
    fn a_seed_gives_the_same_twice() {
        let load = Load { requests: 1000, within: Duration::ZERO };
        let run = |seed| format!("{:?}", run(pool(2), client(0.2), load, seed));
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
    }
}
