//! Counters of a running load.

use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::clock::Nanos;
use crate::pool::Answer;

/// The result of a load.
#[derive(Debug)]
pub struct Outcome {
    /// The address that answered.
    pub server: SocketAddr,
    /// The counters.
    pub counters: Counters,
    /// How long was measured: less than was planned if the load was stopped.
    pub measured: Duration,
    /// Share of a core used, if the system reports it.
    pub cpu_share: Option<f64>,
}

/// Counters of the requests in the measurement, and of other packets during it.
#[derive(Debug)]
pub struct Counters {
    window: Range<Nanos>,
    /// Requests sent.
    pub requests: u64,
    /// Replies that opened.
    pub replies: u64,
    /// Requests without a reply in time.
    pub lost: u64,
    /// Requests of an open loop that were not sent, too many being in flight or too late.
    pub unsent: u64,
    /// Packets that claimed to be a reply and did not open.
    pub refused: u64,
    /// Replies that came again, or after their request was given up.
    pub repeated: u64,
    /// Packets that match no request in flight.
    pub unmatched_replies: u64,
    /// Junk packets sent.
    pub junk: u64,
    /// Errors of the system when sending or receiving.
    pub network_errors: u64,
    /// The last of these errors.
    pub last_network_error: Option<io::Error>,
    /// Nanoseconds from a request's scheduled time to its reply.
    pub latency: Histogram<u64>,
    /// Nanoseconds from a request's scheduled time to its sending.
    pub send_lag: Histogram<u64>,
}

impl Counters {
    /// Counts requests whose latency starts within the window. No time is longer than `longest`.
    ///
    /// # Errors
    /// Never in practice: the precision of the histograms is fixed.
    pub(crate) fn new(window: Range<Nanos>, longest: Nanos) -> Result<Self, hdrhistogram::CreationError> {
        let times = Histogram::new_with_max(longest.max(2), 3)?;
        Ok(Self {
            window,
            requests: 0,
            replies: 0,
            lost: 0,
            unsent: 0,
            refused: 0,
            repeated: 0,
            unmatched_replies: 0,
            junk: 0,
            network_errors: 0,
            last_network_error: None,
            latency: times.clone(),
            send_lag: times,
        })
    }

    /// Leaves out requests from this time on.
    pub(crate) fn end_at(&mut self, end: Nanos) {
        self.window.end = self.window.end.min(end);
    }

    pub(crate) fn sent(&mut self, start: Nanos, now: Nanos) {
        if self.window.contains(&start) {
            self.requests += 1;
            self.send_lag.saturating_record(now.saturating_sub(start));
        }
    }

    pub(crate) fn unsent(&mut self, start: Nanos) {
        self.unsent += u64::from(self.window.contains(&start));
    }

    pub(crate) fn junk(&mut self, now: Nanos) {
        self.junk += u64::from(self.window.contains(&now));
    }

    pub(crate) fn answered(&mut self, answer: &Answer, now: Nanos) {
        match answer {
            Answer::Reply { start } if self.window.contains(start) => {
                self.replies += 1;
                self.latency.saturating_record(now.saturating_sub(*start));
            }
            Answer::Reply { .. } => {}
            Answer::Refused => self.refused += u64::from(now >= self.window.start),
            Answer::Repeated => self.repeated += u64::from(now >= self.window.start),
            Answer::Stray => self.unmatched_replies += u64::from(now >= self.window.start),
        }
    }

    pub(crate) fn lost(&mut self, start: Nanos) {
        self.lost += u64::from(self.window.contains(&start));
    }

    pub(crate) fn network_failed(&mut self, error: io::Error) {
        self.network_errors += 1;
        self.last_network_error = Some(error);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_requests_of_the_window_count() {
        let mut counters = Counters::new(100..200, 2000).unwrap();
        for start in [50, 99, 100, 150, 199, 200, 300] {
            counters.sent(start, start + 1);
            counters.answered(&Answer::Reply { start }, start + 1000);
            counters.lost(start);
            counters.unsent(start);
            counters.junk(start);
        }
        for now in [50, 100, 300] {
            counters.answered(&Answer::Refused, now);
            counters.answered(&Answer::Repeated, now);
            counters.answered(&Answer::Stray, now);
        }
        assert_eq!(
            (counters.requests, counters.replies, counters.lost, counters.unsent, counters.junk),
            (3, 3, 3, 3, 3)
        );
        assert_eq!((counters.refused, counters.repeated, counters.unmatched_replies), (2, 2, 2));
        assert_eq!((counters.latency.len(), counters.latency.max(), counters.send_lag.max()), (3, 1000, 1));
    }
}
