//! Rate-limited log lines, so that a flood of packets does not become a flood of lines.

use std::time::{Duration, Instant};

const INTERVAL: Duration = Duration::from_secs(60);

/// Lets one log line through at most once a minute. Counters have the full number.
#[derive(Debug, Default)]
pub struct LogThrottle {
    next: Option<Instant>,
}

impl LogThrottle {
    /// Calls `log` unless it was called within the last minute.
    pub fn log(&mut self, log: impl FnOnce()) {
        let now = Instant::now();
        if self.next.is_none_or(|next| next <= now) {
            self.next = Some(now + INTERVAL);
            log();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_line_within_a_minute_is_held_back() {
        let (mut throttle, mut lines) = (LogThrottle::default(), 0);
        for _ in 0..1000 {
            throttle.log(|| lines += 1);
        }
        assert_eq!(lines, 1);
        throttle.next = Some(Instant::now());
        throttle.log(|| lines += 1);
        assert_eq!(lines, 2);
    }
}
