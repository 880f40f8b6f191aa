//! Histograms: their buckets, a form that one thread writes and any thread reads, and a plain copy.

use std::ops::Add;

use super::counter::Counter;

/// How often values fell into each of a fixed row of buckets.
///
/// A copy, taken while the server may have been counting on: the last few values may be in the
/// counts and not yet in the sum.
///
/// ```
/// use pssst_net::Histogram;
///
/// /// The lines of a Prometheus histogram, whose buckets are cumulative.
/// fn prometheus(name: &str, histogram: &Histogram) -> String {
///     let mut lines = String::new();
///     let mut cumulative = 0;
///     for (upper_bound, count) in histogram.buckets() {
///         cumulative += count;
///         let bound = if upper_bound == u64::MAX { "+Inf".into() } else { upper_bound.to_string() };
///         lines += &format!("{name}_bucket{{le=\"{bound}\"}} {cumulative}\n");
///     }
///     lines + &format!("{name}_sum {}\n{name}_count {}\n", histogram.sum(), histogram.count())
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    buckets: Buckets,
    counts: Vec<u64>,
    sum: u64,
}

impl Histogram {
    /// Returns an empty histogram of durations in nanoseconds: four buckets for each octave from
    /// 1.024 microseconds to 68.7 seconds.
    pub fn nanoseconds() -> Self {
        Self::new(Buckets::NANOSECONDS)
    }

    fn new(buckets: Buckets) -> Self {
        Self { buckets, counts: vec![0; buckets.buckets()], sum: 0 }
    }

    /// Counts a value.
    pub fn record(&mut self, value: u64) {
        let count = &mut self.counts[self.buckets.bucket(value)];
        *count = count.wrapping_add(1);
        self.sum = self.sum.wrapping_add(value);
    }

    /// For each bucket, in rising order, the largest value that falls into it, and how many did.
    /// The last one takes all that is left, and its bound is [`u64::MAX`].
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64)> {
        self.counts.iter().enumerate().map(|(bucket, &count)| (self.buckets.upper_bound(bucket), count))
    }

    /// Returns the number of values.
    pub fn count(&self) -> u64 {
        self.counts.iter().fold(0, |sum, &count| sum.wrapping_add(count))
    }

    /// Returns the sum of the values, modulo 2^64.
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// Returns the sum divided by the count, or `None` when there are no values.
    #[expect(clippy::cast_precision_loss, reason = "15 digits are plenty")]
    pub fn mean(&self) -> Option<f64> {
        let count = self.count();
        (count > 0).then(|| self.sum as f64 / count as f64)
    }

    /// The upper bound of the bucket that holds the value below or at which this part of all values
    /// lies, from 0 to 1: for 0.99 the 99th percentile, rounded up to the next bound. `None` when
    /// there are no values.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "15 digits are plenty, and the cast saturates"
    )]
    pub fn quantile(&self, part: f64) -> Option<u64> {
        let count = self.count();
        let rank = ((part * count as f64).ceil() as u64).clamp(1, count.max(1));
        let mut cumulative = 0_u64;
        self.buckets().find_map(|(upper_bound, count)| {
            cumulative = cumulative.wrapping_add(count);
            (cumulative >= rank).then_some(upper_bound)
        })
    }

    /// Adds the values of another histogram, for instance of another worker. Where that one has
    /// other buckets, each of its values counts as its upper bound there.
    pub fn merge(&mut self, other: &Self) {
        for (upper_bound, count) in other.buckets() {
            let bucket = &mut self.counts[self.buckets.bucket(upper_bound)];
            *bucket = bucket.wrapping_add(count);
        }
        self.sum = self.sum.wrapping_add(other.sum);
    }
}

impl Add<&Self> for Histogram {
    type Output = Self;

    fn add(mut self, other: &Self) -> Self {
        self.merge(other);
        self
    }
}

/// The bounds of a histogram: 0 to 2^`first`, then each octave up to 2^`last` in 2^`split` equal
/// buckets, then the rest. Bounds are inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Buckets {
    first: u32,
    last: u32,
    split: u32,
}

impl Buckets {
    /// Powers of two from 1 to 64, for the sizes of batches.
    pub(crate) const BATCH_SIZES: Self = Self { first: 0, last: 6, split: 0 };
    /// Four buckets for each octave from 1.024 microseconds to 68.7 seconds, in nanoseconds: at
    /// most a quarter too high.
    pub(crate) const NANOSECONDS: Self = Self { first: 10, last: 36, split: 2 };

    fn buckets(self) -> usize {
        (((self.last - self.first) << self.split) + 2) as usize
    }

    /// Returns the bucket of a value, always below their number.
    fn bucket(self, value: u64) -> usize {
        // Bounds are inclusive, so a power of two belongs to the octave that it ends.
        let below = value.saturating_sub(1);
        let Some(octave) = below.checked_ilog2().and_then(|log| log.checked_sub(self.first)) else { return 0 };
        if octave >= self.last - self.first {
            return self.buckets() - 1;
        }
        let part = (below >> (octave + self.first - self.split)) & ((1 << self.split) - 1);
        1 + ((octave as usize) << self.split) + usize::try_from(part).unwrap_or(0)
    }

    fn upper_bound(self, bucket: usize) -> u64 {
        if bucket + 1 >= self.buckets() {
            return u64::MAX;
        }
        let Some(bucket) = bucket.checked_sub(1) else { return 1 << self.first };
        let (octave, part) = (bucket >> self.split, bucket & ((1 << self.split) - 1));
        ((1 << self.split) + part as u64 + 1) << (octave + (self.first - self.split) as usize)
    }
}

/// A histogram that one thread writes while others read.
#[derive(Debug)]
pub(crate) struct AtomicHistogram {
    buckets: Buckets,
    counts: Box<[Counter]>,
    sum: Counter,
}

impl AtomicHistogram {
    pub(crate) fn new(buckets: Buckets) -> Self {
        Self { buckets, counts: (0..buckets.buckets()).map(|_| Counter::default()).collect(), sum: Counter::default() }
    }

    /// Counts a value. For one thread only, as [`Counter::add`].
    pub(crate) fn record(&self, value: u64) {
        self.counts[self.buckets.bucket(value)].add(1);
        self.sum.add(value);
    }

    /// Returns the counts so far.
    pub(crate) fn snapshot(&self) -> Histogram {
        Histogram { buckets: self.buckets, counts: self.counts.iter().map(Counter::get).collect(), sum: self.sum.get() }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const ALL: [Buckets; 2] = [Buckets::BATCH_SIZES, Buckets::NANOSECONDS];

    fn of(buckets: Buckets, values: &[u64]) -> Histogram {
        let histogram = AtomicHistogram::new(buckets);
        for &value in values {
            histogram.record(value);
        }
        histogram.snapshot()
    }

    fn bounds(buckets: Buckets) -> Vec<u64> {
        Histogram::new(buckets).buckets().map(|(bound, _)| bound).collect()
    }

    #[test]
    fn a_histogram_of_ones_own_counts_as_a_shared_one() {
        let values = [0, 1_024, 1_025, 125_000, 1 << 36, u64::MAX];
        let mut histogram = Histogram::nanoseconds();
        for value in values {
            histogram.record(value);
        }
        assert_eq!(histogram, of(Buckets::NANOSECONDS, &values));
    }

    #[test]
    fn batch_sizes_fall_into_powers_of_two() {
        assert_eq!(bounds(Buckets::BATCH_SIZES), [1, 2, 4, 8, 16, 32, 64, u64::MAX]);
        let counts = of(Buckets::BATCH_SIZES, &(0..=66).collect::<Vec<_>>()).counts;
        assert_eq!(counts, [2, 1, 2, 4, 8, 16, 32, 2]);
    }

    #[test]
    fn nanoseconds_fall_into_quarters_of_octaves() {
        let bounds = bounds(Buckets::NANOSECONDS);
        assert_eq!(bounds.len(), 106);
        assert_eq!(bounds[..10], [1024, 1280, 1536, 1792, 2048, 2560, 3072, 3584, 4096, 5120]);
        assert_eq!(bounds[103..], [7 << 33, 1 << 36, u64::MAX]);
    }

    #[test]
    fn the_ends_of_every_bucket_are_its_own() {
        for buckets in ALL {
            let bounds = bounds(buckets);
            assert!(bounds.is_sorted_by(|one, next| one < next));
            for (bucket, &bound) in bounds.iter().enumerate() {
                assert_eq!(buckets.bucket(bound), bucket);
                assert_eq!(buckets.bucket(bound.saturating_add(1)), (bucket + 1).min(bounds.len() - 1));
            }
            assert_eq!(buckets.bucket(0), 0);
        }
    }

    #[test]
    fn quantiles_and_the_mean_of_known_values() {
        let histogram = of(Buckets::BATCH_SIZES, &[1, 1, 1, 1, 1, 1, 1, 1, 5, 64]);
        let quantiles = [0.0, 0.5, 0.8, 0.81, 0.9, 0.91, 1.0].map(|part| histogram.quantile(part).unwrap());
        assert_eq!(quantiles, [1, 1, 1, 8, 8, 64, 64]);
        assert_eq!([-1.0, 2.0, f64::NAN].map(|part| histogram.quantile(part)), [Some(1), Some(64), Some(1)]);
        assert_eq!(histogram.mean(), Some(7.7));
        assert_eq!((histogram.count(), histogram.sum()), (10, 77));
        assert_eq!(of(Buckets::BATCH_SIZES, &[65]).quantile(0.5), Some(u64::MAX));
    }

    #[test]
    fn of_nothing_there_is_no_mean() {
        let histogram = Histogram::new(Buckets::NANOSECONDS);
        assert_eq!((histogram.count(), histogram.sum()), (0, 0));
        assert_eq!((histogram.mean(), histogram.quantile(0.5)), (None, None));
    }

    #[test]
    fn other_buckets_merge_by_their_bounds() {
        let merged = of(Buckets::NANOSECONDS, &[2000]) + &of(Buckets::BATCH_SIZES, &[3, 64, 65]);
        let found: Vec<_> = merged.buckets().filter(|&(_, count)| count > 0).collect();
        assert_eq!(found, [(1024, 2), (2048, 1), (u64::MAX, 1)]);
        assert_eq!(merged.sum(), 2132);
    }

    #[test]
    fn sums_wrap() {
        assert_eq!(of(Buckets::BATCH_SIZES, &[u64::MAX, 3]).sum(), 2);
    }

    #[test]
    fn readers_see_counts_that_only_rise_and_miss_none_in_the_end() {
        const VALUES: u64 = 100_000;
        let histogram = AtomicHistogram::new(Buckets::BATCH_SIZES);
        let counter = Counter::default();
        thread::scope(|scope| {
            scope.spawn(|| {
                for value in 0..VALUES {
                    histogram.record(value % 70);
                    counter.add(2);
                }
            });
            let mut last = histogram.snapshot();
            let mut last_counter = counter.get();
            while last_counter < 2 * VALUES {
                let (next, next_counter) = (histogram.snapshot(), counter.get());
                assert!(last.counts.iter().zip(&next.counts).all(|(last, next)| last <= next));
                assert!(last.sum <= next.sum && last_counter <= next_counter);
                (last, last_counter) = (next, next_counter);
            }
        });
        assert_eq!((histogram.snapshot().count(), counter.get()), (VALUES, 2 * VALUES));
    }

    /// Values of every magnitude.
    fn values() -> impl Strategy<Value = Vec<u64>> {
        vec((any::<u64>(), 16..64_u32).prop_map(|(value, shift)| value >> shift), 1..100)
    }

    proptest! {
        /// Against a search through the bounds and a sorted list.
        #[test]
        fn it_counts_as_a_search_through_the_bounds(mut values in values(), part in 0.0..=1.0) {
            for buckets in ALL {
                let histogram = of(buckets, &values);
                let bounds = bounds(buckets);
                let bucket_of = |value| bounds.iter().position(|&bound| value <= bound).unwrap();
                let mut counts = vec![0; bounds.len()];
                for &value in &values {
                    counts[bucket_of(value)] += 1;
                }
                prop_assert_eq!(&histogram.counts, &counts);
                prop_assert_eq!(histogram.count(), values.len() as u64);
                prop_assert_eq!(histogram.sum(), values.iter().sum::<u64>());

                values.sort_unstable();
                let below = |value: u64| values.iter().filter(|&&other| other <= value).count();
                #[expect(clippy::cast_precision_loss, reason = "small numbers")]
                let enough = |value: &&u64| below(**value) as f64 >= part * values.len() as f64;
                let exact = *values.iter().find(enough).unwrap();
                prop_assert_eq!(histogram.quantile(part), Some(bounds[bucket_of(exact)]));
            }
        }

        /// Values of two workers, merged, are as those of one.
        #[test]
        fn merged_is_as_counted_together(one in values(), other in values()) {
            for buckets in ALL {
                let together = of(buckets, &[one.clone(), other.clone()].concat());
                prop_assert_eq!(of(buckets, &one) + &of(buckets, &other), together);
            }
        }

        /// A bound is at most a quarter above any value in its bucket.
        #[test]
        fn nanoseconds_are_a_quarter_off_at_most(value in 1025..=1_u64 << 36) {
            let bound = of(Buckets::NANOSECONDS, &[value]).quantile(1.0).unwrap();
            prop_assert!(bound >= value && bound - value < value / 4 + 1);
        }
    }
}
