//! Histograms, and the quantiles that they show.

/// How many values fell into which bucket.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    /// The largest value of each bucket, rising to infinity, and the number of values up to it.
    buckets: Vec<(f64, u64)>,
    sum: f64,
}

impl Histogram {
    /// Returns `None` for buckets that do not rise, or do not end with infinity.
    pub(super) fn new(buckets: Vec<(f64, u64)>, sum: f64) -> Option<Self> {
        let rises = buckets.is_sorted_by(|before, after| before.0 < after.0 && before.1 <= after.1);
        let is_whole = buckets.last().is_some_and(|(bound, _)| *bound == f64::INFINITY);
        (rises && is_whole && sum.is_finite()).then_some(Self { buckets, sum })
    }

    /// Returns the number of values.
    pub fn count(&self) -> u64 {
        self.buckets.last().map_or(0, |(_, count)| *count)
    }

    /// Returns the mean, if there are values.
    #[expect(clippy::cast_precision_loss, reason = "15 digits are plenty")]
    pub fn mean(&self) -> Option<f64> {
        (self.count() > 0).then(|| self.sum / self.count() as f64)
    }

    /// Returns the values that came after an earlier state. `None` when that is not an earlier
    /// state of this histogram: a counter fell, or buckets differ.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Option<Self> {
        if self.buckets.len() != earlier.buckets.len() {
            return None;
        }
        let pairs = self.buckets.iter().zip(&earlier.buckets);
        let buckets = pairs
            .map(|(now, before)| (now.0.total_cmp(&before.0).is_eq()).then_some((now.0, now.1.checked_sub(before.1)?)));
        Self::new(buckets.collect::<Option<_>>()?, self.sum - earlier.sum)
    }

    /// Estimates a quantile, for `q` from 0 to 1: values are taken to be spread evenly over their
    /// bucket. A quantile above the largest bound is that bound. `None` without values.
    #[expect(clippy::cast_precision_loss, reason = "15 digits are plenty")]
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let total = self.count();
        let rank = q.clamp(0.0, 1.0) * total as f64;
        let place = self.buckets.iter().position(|(_, count)| *count > 0 && *count as f64 >= rank)?;
        let (lower, below) = place.checked_sub(1).map_or((0.0, 0), |before| self.buckets[before]);
        let (upper, count) = self.buckets[place];
        if upper == f64::INFINITY {
            return Some(lower);
        }
        Some(lower + (upper - lower) * ((rank - below as f64) / (count - below) as f64).clamp(0.0, 1.0))
    }
}
