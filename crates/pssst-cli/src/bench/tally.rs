//! What is counted while the load runs.

use std::io;
use std::net::SocketAddr;
use std::ops::Range;

use hdrhistogram::Histogram;

use super::clock::Moment;
use super::pool::Answer;

/// The result of a load.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) server: SocketAddr,
    pub(super) tally: Tally,
    /// Processor time per time, if the system tells.
    pub(super) cpu_share: Option<f64>,
}

/// Counts of what happened to the requests of the measurement, and of what else came and went meanwhile.
#[derive(Debug)]
pub(super) struct Tally {
    window: Range<Moment>,
    pub(super) requests: u64,
    pub(super) replies: u64,
    pub(super) lost: u64,
    pub(super) unsent: u64,
    pub(super) refused: u64,
    pub(super) repeated: u64,
    pub(super) strays: u64,
    pub(super) junk: u64,
    pub(super) network_errors: u64,
    pub(super) last_network_error: Option<io::Error>,
    /// Nanoseconds from when a request was to leave until its reply was there.
    pub(super) latency: Histogram<u64>,
    /// Nanoseconds from when a request was to leave until it left.
    pub(super) lateness: Histogram<u64>,
}

impl Tally {
    /// Counts requests whose latency counts from a moment of the window. No time is longer than `longest`.
    ///
    /// # Errors
    /// None: the precision of the histograms is no option.
    pub(super) fn new(window: Range<Moment>, longest: Moment) -> Result<Self, hdrhistogram::CreationError> {
        let times = Histogram::new_with_max(longest.max(2), 3)?;
        Ok(Self {
            window,
            requests: 0,
            replies: 0,
            lost: 0,
            unsent: 0,
            refused: 0,
            repeated: 0,
            strays: 0,
            junk: 0,
            network_errors: 0,
            last_network_error: None,
            latency: times.clone(),
            lateness: times,
        })
    }

    pub(super) fn sent(&mut self, start: Moment, now: Moment) {
        if self.window.contains(&start) {
            self.requests += 1;
            self.lateness.saturating_record(now.saturating_sub(start));
        }
    }

    pub(super) fn unsent(&mut self, start: Moment) {
        self.unsent += u64::from(self.window.contains(&start));
    }

    pub(super) fn junk(&mut self, now: Moment) {
        self.junk += u64::from(self.window.contains(&now));
    }

    pub(super) fn answered(&mut self, answer: &Answer, now: Moment) {
        match answer {
            Answer::Reply { start } if self.window.contains(start) => {
                self.replies += 1;
                self.latency.saturating_record(now.saturating_sub(*start));
            }
            Answer::Reply { .. } => {}
            Answer::Refused => self.refused += u64::from(now >= self.window.start),
            Answer::Repeated => self.repeated += u64::from(now >= self.window.start),
            Answer::Stray => self.strays += u64::from(now >= self.window.start),
        }
    }

    pub(super) fn lost(&mut self, start: Moment) {
        self.lost += u64::from(self.window.contains(&start));
    }

    pub(super) fn network_failed(&mut self, error: io::Error) {
        self.network_errors += 1;
        self.last_network_error = Some(error);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_requests_of_the_window_count() {
        let mut tally = Tally::new(100..200, 2000).unwrap();
        for start in [50, 99, 100, 150, 199, 200, 300] {
            tally.sent(start, start + 1);
            tally.answered(&Answer::Reply { start }, start + 1000);
            tally.lost(start);
            tally.unsent(start);
            tally.junk(start);
        }
        for now in [50, 100, 300] {
            tally.answered(&Answer::Refused, now);
            tally.answered(&Answer::Repeated, now);
            tally.answered(&Answer::Stray, now);
        }
        assert_eq!((tally.requests, tally.replies, tally.lost, tally.unsent, tally.junk), (3, 3, 3, 3, 3));
        assert_eq!((tally.refused, tally.repeated, tally.strays), (2, 2, 2));
        assert_eq!((tally.latency.len(), tally.latency.max(), tally.lateness.max()), (3, 1000, 1));
    }
}
