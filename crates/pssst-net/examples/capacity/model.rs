//! A pool in virtual time: what happens to each packet, one event after the other, from a seed.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use pssst_net::Retry;
use rand::rngs::ChaCha20Rng;
use rand::{RngExt, SeedableRng};

/// Workers that are alike, and the balancer before them: each packet goes to one of them at random.
#[derive(Clone, Copy)]
pub(crate) struct Pool {
    /// Each with a core and a socket of its own.
    pub workers: usize,
    /// Processor time of one request.
    pub cost: Duration,
    /// Packets that a socket holds in addition to the one in work; what comes on top is lost.
    pub queue: u64,
    /// The first so many are dead, and the balancer has not noticed.
    pub dead: usize,
}

/// Behaviour of a client, and of the network between it and the pool.
#[derive(Clone, Copy)]
pub(crate) struct Client {
    pub retry: Retry,
    pub timeout: Duration,
    /// Of a packet, in either direction.
    pub loss: f64,
    /// In either direction.
    pub delay: Duration,
}

/// So many requests, each at a random moment of the time. Many devices, each with its own rhythm,
/// look like this.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    pub requests: usize,
    pub within: Duration,
}

/// What became of a load.
#[derive(Debug)]
pub(crate) struct Results {
    pub requests: usize,
    /// Packets that clients sent, resends among them.
    pub sent: u64,
    /// Packets that workers worked on.
    pub served: u64,
    /// Packets that found a full socket.
    pub overflowed: u64,
    /// Of the requests that were answered in time, shortest first.
    pub latencies: Vec<Duration>,
    /// Of packets in sockets, until a worker took them; shortest first.
    pub waits: Vec<Duration>,
    /// When the last client was answered.
    pub last_answer: Duration,
}

impl Results {
    /// Share of the requests that were not answered in time.
    pub(crate) fn failed(&self) -> f64 {
        1.0 - ratio(self.latencies.len() as u64, self.requests as u64)
    }

    /// Packets sent for each request.
    pub(crate) fn sent_each(&self) -> f64 {
        ratio(self.sent, self.requests as u64)
    }

    /// Packets worked on for each request.
    pub(crate) fn served_each(&self) -> f64 {
        ratio(self.served, self.requests as u64)
    }
}

/// For numbers far below 2^52, as all here are.
#[expect(clippy::cast_precision_loss, reason = "counts of some millions")]
pub(crate) fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}

/// The value below which such a share of them is.
pub(crate) fn quantile(sorted: &[Duration], share: f64) -> Duration {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index"
    )]
    let index = (sorted.len() as f64 * share) as usize;
    sorted.get(index.min(sorted.len().saturating_sub(1))).copied().unwrap_or_default()
}

/// By time, and then in the order of the requests, so that a seed always gives the same.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Event {
    at: Duration,
    request: usize,
    kind: Kind,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// The client sends for this time, counted from 0.
    Send(usize),
    Arrive,
    Answer,
}

struct Request {
    start: Duration,
    /// Between 0 and 1: how long its pauses are.
    fraction: f64,
    answered: bool,
}

/// Runs until nothing more happens.
pub(crate) fn run(pool: Pool, client: Client, load: Load, seed: u64) -> Results {
    let mut random = ChaCha20Rng::seed_from_u64(seed);
    let mut requests: Vec<Request> = (0..load.requests)
        .map(|_| Request { start: load.within.mul_f64(random.random()), fraction: random.random(), answered: false })
        .collect();
    let mut events: BinaryHeap<Reverse<Event>> = requests
        .iter()
        .enumerate()
        .map(|(request, start)| Reverse(Event { at: start.start, request, kind: Kind::Send(0) }))
        .collect();
    let mut free_at = vec![Duration::ZERO; pool.workers];
    let mut results = Results {
        requests: load.requests,
        sent: 0,
        served: 0,
        overflowed: 0,
        latencies: Vec::with_capacity(load.requests),
        waits: Vec::with_capacity(load.requests),
        last_answer: Duration::ZERO,
    };

    while let Some(Reverse(Event { at, request, kind })) = events.pop() {
        let state = &mut requests[request];
        match kind {
            Kind::Send(_) | Kind::Answer if state.answered || at > state.start + client.timeout => {}
            Kind::Send(nth) => {
                results.sent += 1;
                if !random.random_bool(client.loss) {
                    events.push(Reverse(Event { at: at + client.delay, request, kind: Kind::Arrive }));
                }
                if let Some(pause) = client.retry.pauses(state.fraction).nth(nth) {
                    events.push(Reverse(Event { at: at + pause, request, kind: Kind::Send(nth + 1) }));
                }
            }
            Kind::Arrive => {
                let worker = random.random_range(0..pool.workers);
                let wait = free_at[worker].saturating_sub(at);
                if worker < pool.dead {
                    continue;
                }
                if wait.as_nanos().div_ceil(pool.cost.as_nanos()) > u128::from(pool.queue) {
                    results.overflowed += 1;
                    continue;
                }
                free_at[worker] = at + wait + pool.cost;
                results.served += 1;
                results.waits.push(wait);
                if !random.random_bool(client.loss) {
                    events.push(Reverse(Event { at: free_at[worker] + client.delay, request, kind: Kind::Answer }));
                }
            }
            Kind::Answer => {
                state.answered = true;
                results.latencies.push(at.saturating_sub(state.start));
                results.last_answer = at;
            }
        }
    }
    results.latencies.sort_unstable();
    results.waits.sort_unstable();
    results
}
