//! Times of a client's refreshes.

use std::convert::Infallible;
use std::time::Duration;

use pssst_support::Backoff;
use tokio::time::{Instant, sleep_until};

use crate::Error;

/// The longest sleep: a sleep does not count the time during which the machine is suspended.
pub(super) const LONGEST_SLEEP: Duration = Duration::from_secs(60);
pub(super) const MIN_PAUSE: Duration = Duration::from_secs(1);
pub(super) const MAX_BACKOFF: Duration = Duration::from_secs(300);

/// Times of the current document.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timing {
    /// Zero when it is overdue.
    pub(super) until_refresh: Duration,
    /// From issue to the time to refresh.
    pub(super) interval: Duration,
}

/// Fetches again and again. `fraction` draws numbers from 0 to 1.
pub(super) async fn refresh_loop<T, F: Future<Output = Result<T, Error>>>(
    timing: impl Fn() -> Option<Timing>,
    fetch: impl Fn() -> F,
    fraction: impl Fn() -> f64,
) -> Infallible {
    let is_due = || timing().is_none_or(|timing| timing.until_refresh.is_zero());
    let regular_pause =
        || timing().map_or(MIN_PAUSE, |timing| jittered(timing.until_refresh, fraction()).max(MIN_PAUSE));
    // The document from the start may still be valid.
    if !is_due() {
        rest(regular_pause(), is_due).await;
    }
    let mut backoff = Backoff::new(MIN_PAUSE, MAX_BACKOFF);
    let mut failures = 0;
    loop {
        let outcome = fetch().await;
        if outcome.is_ok() && !is_due() {
            failures = 0;
            backoff.reset();
            rest(regular_pause(), is_due).await;
            continue;
        }
        backoff.set_max(max_backoff(timing().map(|timing| timing.interval)));
        let pause = backoff.next_delay_with(fraction());
        failures += 1;
        if let Err(error) = outcome {
            tracing::warn!(%error, failures, ?pause, "cannot fetch keys from the directory");
        } else {
            tracing::warn!(failures, ?pause, "the directory has only an expired key document");
        }
        rest(pause, || false).await;
    }
}

/// Returns a random time in the second half of the interval.
fn jittered(whole: Duration, fraction: f64) -> Duration {
    let half = whole / 2;
    half + half.mul_f64(fraction)
}

/// Returns a quarter of the interval, or 5 minutes.
pub(super) fn max_backoff(interval: Option<Duration>) -> Duration {
    interval.map_or(MAX_BACKOFF, |interval| (interval / 4).clamp(MIN_PAUSE, MAX_BACKOFF))
}

/// Ends early when the refresh is due by the clock: the machine may have been suspended.
async fn rest(pause: Duration, is_due: impl Fn() -> bool) {
    let start = Instant::now();
    let end = start.checked_add(pause).unwrap_or(start + MAX_BACKOFF);
    while Instant::now() < end && !is_due() {
        sleep_until(end.min(Instant::now() + LONGEST_SLEEP)).await;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use rand::rngs::ChaCha8Rng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    /// A directory in virtual time, which answers while `is_there` says so, with documents of an
    /// hour.
    struct Fake<A> {
        start: Instant,
        is_there: A,
        refresh_at: Cell<Option<Instant>>,
        calls: RefCell<Vec<Instant>>,
    }

    impl<A: Fn(Duration) -> bool> Fake<A> {
        fn new(is_there: A) -> Self {
            Self { start: Instant::now(), is_there, refresh_at: Cell::default(), calls: RefCell::default() }
        }

        async fn run(&self, within: Duration) -> Vec<Duration> {
            let seed = rand::random();
            println!("seed {seed}");
            let rng = RefCell::new(ChaCha8Rng::seed_from_u64(seed));
            let timing = || {
                let until_refresh = self.refresh_at.get()?.saturating_duration_since(Instant::now());
                Some(Timing { until_refresh, interval: HOUR })
            };
            let fetch = || async {
                self.calls.borrow_mut().push(Instant::now());
                if !(self.is_there)(self.start.elapsed()) {
                    return Err(Error::Status(503));
                }
                self.refresh_at.set(Some(Instant::now() + HOUR));
                Ok(())
            };
            let fraction = || rng.borrow_mut().random::<f64>();
            tokio::time::timeout(within, refresh_loop(timing, fetch, fraction)).await.unwrap_err();
            let calls = self.calls.borrow();
            calls.windows(2).map(|pair| pair[1] - pair[0]).collect()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn check_ins_come_in_time_and_spread() {
        let fake = Fake::new(|_| true);
        let pauses = fake.run(500 * HOUR).await;
        assert_eq!(fake.calls.borrow()[0], fake.start, "the first document was not fetched at once");
        assert!(pauses.len() >= 499, "{}", pauses.len());
        // Timers have a resolution of a millisecond.
        let tick = Duration::from_millis(2);
        assert!(pauses.iter().all(|pause| (HOUR / 2..HOUR + tick).contains(pause)), "{pauses:?}");
        let [first, last] = [pauses.iter().min(), pauses.iter().max()].map(Option::unwrap);
        assert!(*first < HOUR * 55 / 100 && *last > HOUR * 95 / 100, "not spread: {first:?} to {last:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn failures_are_followed_by_growing_pauses() {
        let back = 12 * HOUR;
        let fake = Fake::new(|time| time < HOUR / 4 || time >= back);
        let pauses = fake.run(14 * HOUR).await;
        // The first came, and was good for a while.
        let failed: Vec<_> = pauses[1..].iter().take_while(|pause| **pause < HOUR / 4).collect();
        let tick = Duration::from_millis(2);
        for (count, pause) in failed.iter().enumerate() {
            let step = Duration::from_secs(1 << count.min(20)).min(MAX_BACKOFF);
            assert!((step / 2..step + tick).contains(*pause), "{count}: {failed:?}");
        }
        assert!((100..400).contains(&failed.len()), "{}", failed.len());
        // And soon after the directory was back, all was as before.
        assert!((HOUR / 2..HOUR + tick).contains(pauses.last().unwrap()), "{pauses:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_held_at_the_start_saves_a_fetch() {
        let fake = Fake::new(|_| true);
        fake.refresh_at.set(Some(fake.start + HOUR));
        fake.run(HOUR).await;
        assert!((HOUR / 2..=HOUR).contains(&(fake.calls.borrow()[0] - fake.start)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_leaps_brings_the_check_in_forward() {
        let (start, is_due, calls) = (Instant::now(), Cell::new(false), RefCell::new(Vec::new()));
        let timing = || {
            let until_refresh = if is_due.get() { Duration::ZERO } else { 1000 * HOUR };
            Some(Timing { until_refresh, interval: 1000 * HOUR })
        };
        let fetch = || async {
            calls.borrow_mut().push(start.elapsed());
            is_due.set(false);
            Ok(())
        };
        let leap = async {
            tokio::time::sleep(HOUR).await;
            is_due.set(true);
            std::future::pending::<()>().await;
        };
        let both = async { tokio::join!(refresh_loop(timing, fetch, || 0.5), leap) };
        tokio::time::timeout(2 * HOUR, both).await.unwrap_err();
        let calls = calls.borrow();
        assert!(calls.len() == 1 && (HOUR..=HOUR + LONGEST_SLEEP).contains(&calls[0]), "{calls:?}");
    }

    #[test]
    fn pauses_have_their_limits() {
        assert_eq!(jittered(HOUR, 0.0), HOUR / 2);
        assert_eq!(jittered(HOUR, 1.0), HOUR);
        assert_eq!(max_backoff(None), MAX_BACKOFF);
        assert_eq!(max_backoff(Some(Duration::from_secs(16))), Duration::from_secs(4));
        assert_eq!(max_backoff(Some(Duration::ZERO)), MIN_PAUSE);
    }
}
