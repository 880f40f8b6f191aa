//! A circuit breaker: stops calling an upstream after consecutive failures.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use pssst_support::Backoff;
use pssst_support::sync::lock;
use tokio::time::Instant;

use crate::client_id::ClientId;
use crate::stats::ExchangeOutcome;

/// How many times as long as at first the circuit stays open at most.
const MAX_OPEN_FOR: u32 = 30;

/// Settings of a circuit breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CircuitBreaker {
    /// The consecutive failures that open the circuit; 0 for never.
    pub failures: u32,
    /// How long it stays open at first, less up to half at random. Then one request tries the
    /// upstream; while those fail, the time doubles, up to 30 times as long.
    pub open_for: Duration,
}

impl CircuitBreaker {
    /// Opens after `failures` in a row, for `open_for` at first.
    pub const fn new(failures: u32, open_for: Duration) -> Self {
        Self { failures, open_for }
    }
}

/// 16 failures, and a second.
impl Default for CircuitBreaker {
    fn default() -> Self {
        Self::new(16, Duration::from_secs(1))
    }
}

/// The state that all workers share.
#[derive(Debug)]
pub(crate) struct Circuit {
    /// The consecutive failures that open it; 0 for never.
    max_failures: u32,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    state: State,
    /// The client whose call timed out last, since the upstream last answered. Its further timeouts
    /// do not count, and others need not wait for the probe that it wasted.
    blamed: Option<ClientId>,
    backoff: Backoff,
    /// How often it has opened. Calls from before the last time are ignored.
    openings: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Calls pass; this many have failed in a row.
    Closed { failures: u32 },
    /// No call passes until this time.
    Open { until: Instant },
    /// One call has passed, to try the upstream.
    Probing,
}

/// Evidence that a call gives about the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It answers.
    Works,
    /// It does not answer anyone: it is unreachable, broken, malformed, or says so itself.
    Fails,
    /// It did not answer this client in time, which may be the fault of the client's message.
    FailsThisClient,
    /// Nothing.
    Unknown,
}

impl Verdict {
    /// Returns the verdict of a call without an answer.
    pub(crate) const fn of(outcome: ExchangeOutcome) -> Self {
        match outcome {
            // An answer that is too long shows that the upstream works.
            ExchangeOutcome::Answered
            | ExchangeOutcome::Delivered
            | ExchangeOutcome::StatusRefused
            | ExchangeOutcome::TooLarge => Self::Works,
            ExchangeOutcome::Unreachable | ExchangeOutcome::Broken | ExchangeOutcome::Malformed => Self::Fails,
            ExchangeOutcome::TimedOut => Self::FailsThisClient,
            ExchangeOutcome::LocalShortage
            | ExchangeOutcome::CircuitOpen
            | ExchangeOutcome::Overloaded
            | ExchangeOutcome::Cancelled => Self::Unknown,
        }
    }
}

/// Permission for one call. Report its result; dropping it counts as neither.
pub(crate) struct Permit {
    circuit: Arc<Circuit>,
    client: ClientId,
    is_probe: bool,
    /// When it was given, by the openings so far.
    openings: u64,
}

impl Circuit {
    pub(crate) fn new(options: CircuitBreaker) -> Self {
        let CircuitBreaker { failures, open_for } = options;
        let backoff = Backoff::new(open_for, open_for.saturating_mul(MAX_OPEN_FOR));
        let inner = Inner { state: State::Closed { failures: 0 }, blamed: None, backoff, openings: 0 };
        Self { max_failures: failures, inner: Mutex::new(inner) }
    }

    /// Permits a client's call, unless the circuit is open.
    pub(crate) fn enter(self: &Arc<Self>, client: ClientId) -> Option<Permit> {
        let mut inner = lock(&self.inner);
        let is_probe = match inner.state {
            State::Closed { .. } => false,
            State::Open { until } if Instant::now() >= until || inner.blamed.is_some_and(|blamed| blamed != client) => {
                inner.state = State::Probing;
                true
            }
            State::Open { .. } | State::Probing => return None,
        };
        Some(Permit { circuit: Arc::clone(self), client, is_probe, openings: inner.openings })
    }

    pub(crate) fn is_open(&self) -> bool {
        !matches!(lock(&self.inner).state, State::Closed { .. })
    }
}

impl Inner {
    fn open(&mut self) {
        let open_for = self.backoff.next_delay();
        tracing::warn!(?open_for, "the circuit opens: the upstream failed too often and is not called for a while");
        self.state = State::Open { until: Instant::now() + open_for };
        self.openings += 1;
    }
}

impl Permit {
    /// Reports what the call has told.
    pub(crate) fn report(mut self, verdict: Verdict) {
        let circuit = Arc::clone(&self.circuit);
        let mut inner = lock(&circuit.inner);
        let is_current = match inner.state {
            State::Closed { .. } => self.openings == inner.openings,
            State::Probing => self.is_probe,
            State::Open { .. } => false,
        };
        if !is_current || verdict == Verdict::Unknown {
            return;
        }
        self.is_probe = false;
        match (verdict, inner.state) {
            (Verdict::Works, state) => {
                if state == State::Probing {
                    tracing::warn!("the circuit closes: the upstream answers again");
                    inner.backoff.reset();
                }
                inner.state = State::Closed { failures: 0 };
                inner.blamed = None;
            }
            (Verdict::Fails, State::Probing) => {
                inner.blamed = None;
                inner.open();
            }
            (Verdict::FailsThisClient, State::Probing) => {
                // A second client that times out clears the first one.
                inner.blamed = inner.blamed.is_none().then_some(self.client);
                inner.open();
            }
            (Verdict::FailsThisClient, State::Closed { .. }) if inner.blamed == Some(self.client) => {}
            (Verdict::Fails | Verdict::FailsThisClient, State::Closed { failures }) => {
                let failures = failures.saturating_add(1);
                if circuit.max_failures > 0 && failures >= circuit.max_failures {
                    inner.blamed = None;
                    inner.open();
                } else {
                    inner.blamed = (verdict == Verdict::FailsThisClient).then_some(self.client);
                    inner.state = State::Closed { failures };
                }
            }
            (Verdict::Unknown, _) | (_, State::Open { .. }) => {}
        }
    }
}

/// A probe that was given up has learnt nothing: the next call is one.
impl Drop for Permit {
    fn drop(&mut self) {
        if self.is_probe {
            let mut inner = lock(&self.circuit.inner);
            if inner.state == State::Probing {
                inner.state = State::Open { until: Instant::now() };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_secs(1);
    const A: ClientId = ClientId::Address(std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)));
    const B: ClientId = ClientId::Address(std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2)));

    fn fail(circuit: &Arc<Circuit>, times: usize) {
        (0..times).for_each(|_| circuit.enter(A).unwrap().report(Verdict::Fails));
    }

    #[tokio::test(start_paused = true)]
    async fn failures_in_a_row_open_it_and_a_probe_closes_it() {
        let circuit = Arc::new(Circuit::new(CircuitBreaker::new(3, PAUSE)));
        // Not in a row.
        for _ in 0..5 {
            fail(&circuit, 2);
            circuit.enter(A).unwrap().report(Verdict::Works);
        }
        assert!(!circuit.is_open());
        // One that was on its way before.
        let early = [circuit.enter(A).unwrap(), circuit.enter(A).unwrap()];
        fail(&circuit, 3);
        assert!(circuit.is_open() && circuit.enter(A).is_none());
        let [first, second] = early;
        first.report(Verdict::Works);
        second.report(Verdict::Fails);
        assert!(circuit.enter(A).is_none());

        tokio::time::sleep(PAUSE).await;
        let probe = circuit.enter(A).unwrap();
        assert!(circuit.enter(A).is_none() && circuit.is_open());
        probe.report(Verdict::Works);
        assert!(!circuit.is_open());
        fail(&circuit, 2);
        assert!(circuit.enter(A).is_some());
    }

    /// Slow calls that fail after the upstream has recovered.
    #[tokio::test(start_paused = true)]
    async fn failures_from_before_it_opened_open_it_no_second_time() {
        let circuit = Arc::new(Circuit::new(CircuitBreaker::new(3, PAUSE)));
        let hanging: Vec<_> = (0..20).map(|_| circuit.enter(A).unwrap()).collect();
        fail(&circuit, 3);
        tokio::time::sleep(PAUSE).await;
        circuit.enter(A).unwrap().report(Verdict::Works);
        fail(&circuit, 2);
        for permit in hanging {
            permit.report(Verdict::Fails);
        }
        assert!(!circuit.is_open());
        fail(&circuit, 1);
        assert!(circuit.is_open());
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_double_up_to_a_limit() {
        let circuit = Arc::new(Circuit::new(CircuitBreaker::new(1, PAUSE)));
        fail(&circuit, 1);
        for pause in [1, 2, 4, 8, 16, 30, 30] {
            // Drawn from the upper half.
            tokio::time::sleep(Duration::from_millis(pause * 500 - 1)).await;
            assert!(circuit.enter(A).is_none(), "{pause}");
            tokio::time::sleep(Duration::from_millis(pause * 500 + 1)).await;
            circuit.enter(A).unwrap().report(Verdict::Fails);
        }
        tokio::time::sleep(30 * PAUSE).await;
        circuit.enter(A).unwrap().report(Verdict::Works);
        // And it begins anew.
        fail(&circuit, 1);
        tokio::time::sleep(PAUSE).await;
        assert!(circuit.enter(A).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_is_given_up_makes_way_for_another() {
        let circuit = Arc::new(Circuit::new(CircuitBreaker::new(1, PAUSE)));
        fail(&circuit, 1);
        tokio::time::sleep(PAUSE).await;
        drop(circuit.enter(A).unwrap());
        circuit.enter(A).unwrap().report(Verdict::Works);
        assert!(!circuit.is_open());
    }

    #[tokio::test(start_paused = true)]
    async fn it_can_be_switched_off() {
        let circuit = Arc::new(Circuit::new(CircuitBreaker::new(0, PAUSE)));
        fail(&circuit, 1000);
        assert!(!circuit.is_open());
    }

    #[tokio::test(start_paused = true)]
    async fn one_client_that_times_out_does_not_open_it_for_others() {
        let circuit = Arc::new(Circuit::new(CircuitBreaker::new(3, PAUSE)));
        for _ in 0..100 {
            circuit.enter(A).unwrap().report(Verdict::FailsThisClient);
        }
        assert!(!circuit.is_open());
        // Two clients are evidence.
        for client in [B, A] {
            circuit.enter(client).unwrap().report(Verdict::FailsThisClient);
        }
        assert!(circuit.is_open());
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_one_client_wastes_is_made_up_for_by_another() {
        let circuit = Arc::new(Circuit::new(CircuitBreaker::new(1, PAUSE)));
        fail(&circuit, 1);
        tokio::time::sleep(PAUSE).await;
        circuit.enter(A).unwrap().report(Verdict::FailsThisClient);
        assert!(circuit.enter(A).is_none());
        circuit.enter(B).unwrap().report(Verdict::Works);
        assert!(!circuit.is_open());
        // If the second one gets no answer either, all wait.
        fail(&circuit, 1);
        tokio::time::sleep(PAUSE).await;
        circuit.enter(A).unwrap().report(Verdict::FailsThisClient);
        circuit.enter(B).unwrap().report(Verdict::FailsThisClient);
        assert!(circuit.enter(A).is_none() && circuit.enter(B).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_local_shortage_is_no_evidence() {
        let circuit = Arc::new(Circuit::new(CircuitBreaker::new(1, PAUSE)));
        circuit.enter(A).unwrap().report(Verdict::of(ExchangeOutcome::LocalShortage));
        assert!(!circuit.is_open());
    }
}
