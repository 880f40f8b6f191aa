//! Delays between attempts.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// Delays that double with each failure, up to a limit.
///
/// Each is drawn at random from the upper half of its time, so that those who failed together do
/// not come back together.
#[derive(Clone, Debug)]
pub struct Backoff {
    initial: Duration,
    max: Duration,
    next: Duration,
}

impl Backoff {
    /// Begins with `initial`, and doubles up to `max`.
    pub fn new(initial: Duration, max: Duration) -> Self {
        Self { initial, max, next: initial.min(max) }
    }

    /// Changes the limit.
    pub fn set_max(&mut self, max: Duration) {
        self.max = max;
        self.next = self.next.min(max);
    }

    /// Returns the delay before the next attempt.
    pub fn next_delay(&mut self) -> Duration {
        // The standard library's only source of randomness: good enough to spread attempts.
        let random = u32::try_from(RandomState::new().hash_one(()) >> 32).unwrap_or(u32::MAX);
        self.next_delay_with(f64::from(random) / f64::from(u32::MAX))
    }

    /// Returns the delay before the next attempt, for a random number between 0 and 1.
    pub fn next_delay_with(&mut self, fraction: f64) -> Duration {
        let half = self.next / 2;
        let delay = half + half.mul_f64(fraction.clamp(0.0, 1.0));
        self.next = self.next.saturating_mul(2).min(self.max);
        delay
    }

    /// Begins with the initial delay again, after a success.
    pub fn reset(&mut self) {
        self.next = self.initial.min(self.max);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn delays_double_up_to_the_limit_and_begin_anew() {
        let mut backoff = Backoff::new(SECOND, 5 * SECOND);
        for _ in 0..2 {
            let delays: Vec<_> = (0..5).map(|_| backoff.next_delay_with(1.0).as_secs()).collect();
            assert_eq!(delays, [1, 2, 4, 5, 5]);
            backoff.reset();
        }
        backoff.set_max(SECOND / 2);
        assert_eq!(backoff.next_delay_with(1.0), SECOND / 2);
        assert_eq!(Backoff::new(10 * SECOND, SECOND).next_delay_with(1.0), SECOND);
        let mut endless = Backoff::new(Duration::MAX / 2, Duration::MAX);
        assert_eq!((0..5).map(|_| endless.next_delay_with(0.0)).max(), Some(Duration::MAX / 2));
    }

    #[test]
    fn delays_are_spread_over_the_upper_half() {
        let delays: Vec<_> = (0..100).map(|_| Backoff::new(SECOND, SECOND).next_delay()).collect();
        assert!(delays.iter().all(|delay| *delay >= SECOND / 2 && *delay <= SECOND), "{delays:?}");
        assert!(delays.iter().any(|delay| *delay < SECOND * 3 / 4), "{delays:?}");
        assert!(delays.iter().any(|delay| *delay > SECOND * 3 / 4), "{delays:?}");
    }
}
