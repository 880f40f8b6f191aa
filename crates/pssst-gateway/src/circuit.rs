//! A circuit breaker: leaves an upstream alone that fails and fails.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How many times as long as the first pause the longest one is.
const LONGEST: u32 = 30;

/// Shared by all workers: what one has learnt, all know.
#[derive(Debug)]
pub(crate) struct Circuit {
    /// Failures in a row that open it; 0 for never.
    failures: u32,
    first_pause: Duration,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    state: State,
    /// How often it has opened. What was asked before the last time changes nothing any more.
    openings: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Requests pass; so many have failed in a row.
    Closed { failures: u32 },
    /// None passes until then.
    Open { until: Instant, pause: Duration },
    /// A single one has passed, to see how things are.
    Probing { pause: Duration },
}

/// Leave to ask the upstream. Whoever has it says how that went, or drops it.
pub(crate) struct Pass {
    circuit: Arc<Circuit>,
    is_probe: bool,
    /// When it was given, by the openings so far.
    openings: u64,
}

impl Circuit {
    pub(crate) const fn new(failures: u32, first_pause: Duration) -> Self {
        Self { failures, first_pause, inner: Mutex::new(Inner { state: State::Closed { failures: 0 }, openings: 0 }) }
    }

    /// `None` while the upstream is left alone.
    pub(crate) fn enter(self: &Arc<Self>) -> Option<Pass> {
        let mut inner = self.inner();
        let is_probe = match inner.state {
            State::Closed { .. } => false,
            State::Open { until, pause } if Instant::now() >= until => {
                inner.state = State::Probing { pause };
                true
            }
            State::Open { .. } | State::Probing { .. } => return None,
        };
        Some(Pass { circuit: Arc::clone(self), is_probe, openings: inner.openings })
    }

    pub(crate) fn is_open(&self) -> bool {
        !matches!(self.inner().state, State::Closed { .. })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn open(&mut self, pause: Duration) {
        tracing::warn!(?pause, "the upstream fails; it is left alone for a while");
        self.state = State::Open { until: Instant::now() + pause, pause };
        self.openings += 1;
    }
}

impl Pass {
    /// The upstream answered, whatever it said.
    pub(crate) fn succeeded(mut self) {
        let mut inner = self.circuit.inner();
        match inner.state {
            State::Probing { .. } if self.is_probe => {
                tracing::warn!("the upstream answers again");
                inner.state = State::Closed { failures: 0 };
            }
            State::Closed { .. } if self.openings == inner.openings => inner.state = State::Closed { failures: 0 },
            _ => {}
        }
        drop(inner);
        self.is_probe = false;
    }

    /// The upstream did not.
    pub(crate) fn failed(mut self) {
        let mut inner = self.circuit.inner();
        match inner.state {
            State::Probing { pause } if self.is_probe => {
                inner.open((2 * pause).min(LONGEST * self.circuit.first_pause));
            }
            State::Closed { failures } if self.openings == inner.openings => {
                let failures = failures.saturating_add(1);
                if self.circuit.failures > 0 && failures >= self.circuit.failures {
                    inner.open(self.circuit.first_pause);
                } else {
                    inner.state = State::Closed { failures };
                }
            }
            _ => {}
        }
        drop(inner);
        self.is_probe = false;
    }
}

/// A probe that was given up has learnt nothing: the next request is one.
impl Drop for Pass {
    fn drop(&mut self) {
        if self.is_probe {
            let mut inner = self.circuit.inner();
            if let State::Probing { pause } = inner.state {
                inner.state = State::Open { until: Instant::now(), pause };
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
        let circuit = Arc::new(Circuit::new(3, PAUSE));
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

    /// Slow ones, which fail when the upstream is well again.
    #[tokio::test(start_paused = true)]
    async fn failures_from_before_it_opened_open_it_no_second_time() {
        let circuit = Arc::new(Circuit::new(3, PAUSE));
        let hanging: Vec<_> = (0..20).map(|_| circuit.enter().unwrap()).collect();
        fail(&circuit, 3);
        tokio::time::sleep(PAUSE).await;
        circuit.enter().unwrap().succeeded();
        fail(&circuit, 2);
        hanging.into_iter().for_each(Pass::failed);
        assert!(!circuit.is_open());
        fail(&circuit, 1);
        assert!(circuit.is_open());
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_double_up_to_a_limit() {
        let circuit = Arc::new(Circuit::new(1, PAUSE));
        fail(&circuit, 1);
        for pause in [1, 2, 4, 8, 16, 30, 30] {
            tokio::time::sleep(Duration::from_millis(pause * 1000 - 1)).await;
            assert!(circuit.enter().is_none(), "{pause}");
            tokio::time::sleep(Duration::from_millis(1)).await;
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
        let circuit = Arc::new(Circuit::new(1, PAUSE));
        fail(&circuit, 1);
        tokio::time::sleep(PAUSE).await;
        drop(circuit.enter().unwrap());
        circuit.enter().unwrap().succeeded();
        assert!(!circuit.is_open());
    }

    #[tokio::test(start_paused = true)]
    async fn it_can_be_switched_off() {
        let circuit = Arc::new(Circuit::new(0, PAUSE));
        fail(&circuit, 1000);
        assert!(!circuit.is_open());
    }
}
