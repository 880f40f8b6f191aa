//! When requests leave in an open loop.

use crate::clock::Nanos;

/// The times of every `connections`th request of a load with a fixed rate, so that the connections'
/// requests alternate.
#[derive(Debug)]
pub(crate) struct Schedule {
    rate: f64,
    /// The number of the next request, a whole one: to add up times would add up errors.
    next: f64,
    step: f64,
    end: Nanos,
}

impl Schedule {
    /// Returns the times of connection number `connection`, at `rate` requests a second over all
    /// connections, up to `end`.
    pub(crate) fn new(rate: f64, connection: u32, connections: u32, end: Nanos) -> Self {
        Self { rate, next: connection.into(), step: connections.into(), end }
    }

    /// Brings the end forward.
    pub(crate) fn end_at(&mut self, end: Nanos) {
        self.end = self.end.min(end);
    }

    /// When the next request leaves, if one does before the end.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "not negative; saturates after centuries"
    )]
    pub(crate) fn next(&self) -> Option<Nanos> {
        let next = (self.next * 1e9 / self.rate) as Nanos;
        (next < self.end).then_some(next)
    }

    /// Takes the next time if it has come.
    pub(crate) fn take(&mut self, now: Nanos) -> Option<Nanos> {
        let due = self.next().filter(|due| *due <= now)?;
        self.next += self.step;
        Some(due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Nanos = 1_000_000_000;

    fn times(schedule: &mut Schedule, now: Nanos) -> Vec<Nanos> {
        std::iter::from_fn(|| schedule.take(now)).collect()
    }

    #[test]
    fn lanes_alternate_and_make_up_the_rate() {
        let mut connections: Vec<_> = (0..3).map(|connection| Schedule::new(1000.0, connection, 3, SECOND)).collect();
        let mut all: Vec<_> = connections.iter_mut().flat_map(|connection| times(connection, 2 * SECOND)).collect();
        all.sort_unstable();
        assert_eq!(all.len(), 1000);
        for (place, time) in (0..).zip(all) {
            assert!(time.abs_diff(place * 1_000_000) <= 1, "{place}: {time}");
        }
    }

    #[test]
    fn times_do_not_come_early_and_late_ones_are_made_up_for() {
        let mut schedule = Schedule::new(10.0, 0, 1, SECOND);
        assert_eq!(schedule.take(0), Some(0));
        assert_eq!((schedule.take(99_999_999), schedule.next()), (None, Some(SECOND / 10)));
        assert_eq!(times(&mut schedule, 350_000_000).len(), 3);
        assert_eq!(times(&mut schedule, 20 * SECOND).len(), 6);
        assert_eq!((schedule.next(), schedule.take(30 * SECOND)), (None, None));
    }

    #[test]
    fn rates_that_are_no_whole_nanoseconds_hold() {
        let mut schedule = Schedule::new(300_000.0, 7, 8, 10 * SECOND);
        assert_eq!(times(&mut schedule, 10 * SECOND).len(), 375_000);
    }
}
