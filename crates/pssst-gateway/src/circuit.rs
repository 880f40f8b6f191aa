//! A circuit breaker: stops calling an upstream after consecutive failures.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use pssst_support::Backoff;
use pssst_support::sync::lock;
use tokio::time::Instant;

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

/// Permission for one call. Report its result; dropping it counts as neither.
pub(crate) struct Permit {
    circuit: Arc<Circuit>,
    is_probe: bool,
    /// When it was given, by the openings so far.
    openings: u64,
}

impl Circuit {
    pub(crate) fn new(options: CircuitBreaker) -> Self {
        let CircuitBreaker { failures, open_for } = options;
        let backoff = Backoff::new(open_for, open_for.saturating_mul(MAX_OPEN_FOR));
        let inner = Inner { state: State::Closed { failures: 0 }, backoff, openings: 0 };
        Self { max_failures: failures, inner: Mutex::new(inner) }
    }

    /// Permits a call, unless the circuit is open.
    pub(crate) fn enter(self: &Arc<Self>) -> Option<Permit> {
        let mut inner = lock(&self.inner);
        let is_probe = match inner.state {
            State::Closed { .. } => false,
            State::Open { until } if Instant::now() >= until => {
                inner.state = State::Probing;
                true
            }
            State::Open { .. } | State::Probing => return None,
        };
        Some(Permit { circuit: Arc::clone(self), is_probe, openings: inner.openings })
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
    /// Reports that the upstream answered, whatever it said.
    pub(crate) fn succeeded(mut self) {
        let mut inner = lock(&self.circuit.inner);
        match inner.state {
            State::Probing if self.is_probe => {
                tracing::warn!("the circuit closes: the upstream answers again");
                inner.state = State::Closed { failures: 0 };
                inner.backoff.reset();
            }
            State::Closed { .. } if self.openings == inner.openings => inner.state = State::Closed { failures: 0 },
            State::Closed { .. } | State::Open { .. } | State::Probing => {}
        }
        drop(inner);
        self.is_probe = false;
    }

    /// Reports that it did not.
    pub(crate) fn failed(mut self) {
        let mut inner = lock(&self.circuit.inner);
        match inner.state {
            State::Probing if self.is_probe => inner.open(),
            State::Closed { failures } if self.openings == inner.openings => {
                let failures = failures.saturating_add(1);
                if self.circuit.max_failures > 0 && failures >= self.circuit.max_failures {
                    inner.open();
                } else {
                    inner.state = State::Closed { failures };
                }
            }
            State::Closed { .. } | State::Open { .. } | State::Probing => {}
        }
        drop(inner);
        self.is_probe = false;
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

    fn fail(circuit: &Arc<Circuit>, times: usize) {
        (0..times).for_each(|_| circuit.enter().unwrap().failed());
    }

    #[tokio::test(start_paused = true)]
    async fn failures_in_a_row_open_it_and_a_probe_closes_it() {
        let circuit = Arc::new(Circuit::new(CircuitBreaker::new(3, PAUSE)));
        // Not in a row.
        for _ in 0..5 {
            fail(&circuit, 2);
            circuit.enter().unwrap().succeeded();
        }
        assert!(!circuit.is_open());
        // One that was on its way before.
        let early = [circuit.enter().unwrap(), circuit.enter().unwrap()];
        fail(&circuit, 3);
        assert!(circuit.is_open() && circuit.enter().is_none());
        let [first, second] = early;
        first.succeeded();
        second.failed();
        assert!(circuit.enter().is_none());

        tokio::time::sleep(PAUSE).await;
        let probe = circuit.enter().unwrap();
        assert!(circuit.enter().is_none() && circuit.is_open());
        probe.succeeded();
        assert!(!circuit.is_open());
        fail(&circuit, 2);
        assert!(circuit.enter().is_some());
    }

    /// Slow calls that fail after the upstream has recovered.
    #[tokio::test(start_paused = true)]
    async fn failures_from_before_it_opened_open_it_no_second_time() {
        let circuit = Arc::new(Circuit::new(CircuitBreaker::new(3, PAUSE)));
        let hanging: Vec<_> = (0..20).map(|_| circuit.enter().unwrap()).collect();
        fail(&circuit, 3);
        tokio::time::sleep(PAUSE).await;
        circuit.enter().unwrap().succeeded();
        fail(&circuit, 2);
        hanging.into_iter().for_each(Permit::failed);
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
            assert!(circuit.enter().is_none(), "{pause}");
            tokio::time::sleep(Duration::from_millis(pause * 500 + 1)).await;
            circuit.enter().unwrap().failed();
        }
        tokio::time::sleep(30 * PAUSE).await;
        circuit.enter().unwrap().succeeded();
        // And it begins anew.
        fail(&circuit, 1);
        tokio::time::sleep(PAUSE).await;
        assert!(circuit.enter().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_is_given_up_makes_way_for_another() {
        let circuit = Arc::new(Circuit::new(CircuitBreaker::new(1, PAUSE)));
        fail(&circuit, 1);
        tokio::time::sleep(PAUSE).await;
        drop(circuit.enter().unwrap());
        circuit.enter().unwrap().succeeded();
        assert!(!circuit.is_open());
    }

    #[tokio::test(start_paused = true)]
    async fn it_can_be_switched_off() {
        let circuit = Arc::new(Circuit::new(CircuitBreaker::new(0, PAUSE)));
        fail(&circuit, 1000);
        assert!(!circuit.is_open());
    }
}
