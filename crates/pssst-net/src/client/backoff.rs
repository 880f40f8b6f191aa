//! Retransmission timeouts.

use std::iter;
use std::time::Duration;

const MIN_PAUSE: Duration = Duration::from_millis(10);

/// The retransmissions of a request without a reply, as in RFC 7252, section 4.2.
///
/// The bytes are always the same, so that the server sees the same request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "callers make it")]
pub struct Retry {
    /// The shortest first timeout. Up to half as much is added at random, so that clients that were
    /// disconnected together do not return together. Each further timeout is twice as long. Values
    /// below 10 milliseconds count as 10.
    pub initial_timeout: Duration,
    /// The most retransmissions of a request. Its deadline ends it in any case.
    pub max_retransmits: u32,
}

/// A second, as RFC 8085, section 3.1.1, has it for paths that nothing is known of; and four
/// resends. They come within 1.5, 4.5, 10.5 and 22.5 seconds of the first packet.
impl Default for Retry {
    fn default() -> Self {
        Self { initial_timeout: Duration::from_secs(1), max_retransmits: 4 }
    }
}

impl Retry {
    /// Returns the pauses before each resend, for a random number between 0 and 1; what is outside
    /// counts as the nearer of them.
    pub fn pauses(self, fraction: f64) -> impl Iterator<Item = Duration> {
        let least = self.initial_timeout.max(MIN_PAUSE);
        let fraction = if fraction.is_nan() { 0.0 } else { fraction.clamp(0.0, 1.0) };
        let first = least.checked_add(least.mul_f64(fraction / 2.0)).unwrap_or(Duration::MAX);
        iter::successors(Some(first), |pause| Some(pause.saturating_mul(2))).take(self.max_retransmits as usize)
    }

    /// Returns how many packets of a request are long ones, before a client that has a fallback
    /// goes over to short ones: half of them, and three at most.
    pub(super) fn long_packets(self) -> u32 {
        self.max_retransmits.div_ceil(2).clamp(1, 3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_start_apart_and_double() {
        let millis = |fraction| Retry::default().pauses(fraction).map(|pause| pause.as_millis()).collect::<Vec<_>>();
        assert_eq!(millis(0.0), [1000, 2000, 4000, 8000]);
        assert_eq!(millis(1.0), [1500, 3000, 6000, 12_000]);
        assert_eq!(millis(7.0), millis(1.0));
        assert_eq!(millis(-1.0), millis(0.0));
        assert_eq!(millis(f64::NAN), millis(0.0));
        let endless = Retry { initial_timeout: Duration::from_secs(u64::MAX / 4), max_retransmits: u32::MAX };
        assert_eq!(endless.pauses(1.0).nth(100), Some(Duration::MAX));
        let hasty = Retry { initial_timeout: Duration::ZERO, max_retransmits: 9 };
        assert_eq!(hasty.pauses(0.0).next(), Some(MIN_PAUSE));
        assert_eq!(Retry { max_retransmits: 0, ..endless }.pauses(0.5).next(), None);
    }
}
