//! Rates of the last intervals, and their trend as a row of bars.

use std::collections::{HashMap, VecDeque};

use super::report::Counts;

const MAX_INTERVALS: usize = 60;
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The rates of each counter in the last intervals. Grows with the counters of one page only.
#[derive(Debug, Default)]
pub(crate) struct History(HashMap<String, VecDeque<f64>>);

impl History {
    /// Adds an interval. One without rates is a gap, which is not shown.
    pub(crate) fn push(&mut self, counts: &Counts) {
        self.0.retain(|name, _| counts.0.iter().any(|(it, _)| it == name));
        for (name, count) in &counts.0 {
            let Some(rate) = count.per_second else { continue };
            let rates = self.0.entry(name.clone()).or_default();
            if rates.len() == MAX_INTERVALS {
                rates.pop_front();
            }
            rates.push_back(rate);
        }
    }

    /// Returns the last intervals as bars relative to the highest, the newest last.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 7")]
    pub(crate) fn trend(&self, name: &str, width: usize) -> String {
        let Some(rates) = self.0.get(name) else { return String::new() };
        let shown = rates.range(rates.len().saturating_sub(width)..);
        let highest = shown.clone().copied().fold(0.0, f64::max);
        let bar = |rate: &f64| if *rate > 0.0 { BARS[(rate / highest * 7.0).round() as usize & 7] } else { '·' };
        shown.map(bar).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::report::Count;

    #[test]
    fn a_trend_is_relative_to_its_highest_rate() {
        let mut history = History::default();
        for rate in [Some(9.0), Some(0.0), None, Some(1.0), Some(4.0), Some(8.0)] {
            history.push(&Counts(vec![("junk".into(), Count { total: 1, per_second: rate })]));
        }
        assert_eq!(history.trend("junk", 4), "·▂▅█");
        assert_eq!((history.trend("junk", 0), history.trend("none", 9)), (String::new(), String::new()));
        for _ in 0..200 {
            history.push(&Counts(vec![("junk".into(), Count { total: 1, per_second: Some(1.0) })]));
        }
        assert_eq!(history.trend("junk", 999).chars().count(), MAX_INTERVALS);
        history.push(&Counts::default());
        assert_eq!(history.trend("junk", 9), "");
    }
}
