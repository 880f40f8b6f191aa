//! Writes metrics.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

/// Writes families of metrics, each with its help. Counters get `_total` after their names, and
/// facts `_info`.
pub struct MetricsWriter<'a>(DescriptorEncoder<'a>);

impl<'a> MetricsWriter<'a> {
    pub(crate) fn new(encoder: DescriptorEncoder<'a>) -> Self {
        Self(encoder)
    }

    /// Writes a counter.
    ///
    /// # Errors
    /// Those of the encoder.
    pub fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        count(&mut self.family(name, help, MetricType::Counter)?, value)
    }

    /// Returns a counter for each value of a label.
    ///
    /// # Errors
    /// Those of the encoder.
    pub fn counters<'v>(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        values: impl IntoIterator<Item = (&'v str, u64)>,
    ) -> fmt::Result {
        let mut family = self.family(name, help, MetricType::Counter)?;
        values.into_iter().try_for_each(|(value, number)| count(&mut family.encode_family(&[(label, value)])?, number))
    }

    /// Writes a gauge.
    ///
    /// # Errors
    /// Those of the encoder.
    pub fn gauge(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        self.family(name, help, MetricType::Gauge)?.encode_gauge(&value)
    }

    /// Writes a gauge for each value of a label.
    ///
    /// # Errors
    /// Those of the encoder.
    pub fn gauges<'v>(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        values: impl IntoIterator<Item = (&'v str, f64)>,
    ) -> fmt::Result {
        let mut family = self.family(name, help, MetricType::Gauge)?;
        values
            .into_iter()
            .try_for_each(|(value, number)| family.encode_family(&[(label, value)])?.encode_gauge(&number))
    }

    /// Returns a whole number, far below 2^53.
    ///
    /// # Errors
    /// Those of the encoder.
    #[expect(clippy::cast_precision_loss, reason = "15 digits are plenty")]
    pub fn number(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.gauge(name, help, value as f64)
    }

    /// Returns a counter of time.
    pub(crate) fn seconds(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        self.family(name, help, MetricType::Counter)?.encode_counter::<NoLabelSet, _, f64>(&value, None)
    }

    /// What does not change while the process runs.
    ///
    /// # Errors
    /// Those of the encoder.
    pub fn info(&mut self, name: &str, help: &str, facts: &[(&str, &str)]) -> fmt::Result {
        self.family(name, help, MetricType::Info)?.encode_info(&facts)
    }

    /// Returns how often values fell into which bucket: buckets by their largest value, in rising
    /// order, which are divided by `unit` as the sum is. Buckets are joined up to the next power of
    /// two of the first one, so that a page stays short.
    ///
    /// # Errors
    /// Those of the encoder.
    #[expect(clippy::cast_precision_loss, reason = "15 digits are plenty")]
    pub fn histogram(
        &mut self,
        name: &str,
        help: &str,
        unit: f64,
        sum: u64,
        buckets: impl IntoIterator<Item = (u64, u64)>,
    ) -> fmt::Result {
        let (mut joined, mut below, mut total, mut next) = (Vec::new(), 0, 0, 0);
        for (bound, number) in buckets {
            below += number;
            total += number;
            if bound >= next || bound == u64::MAX {
                let shown = if bound == u64::MAX { f64::INFINITY } else { bound as f64 / unit };
                joined.push((shown, below));
                below = 0;
                next = bound.saturating_mul(2);
            }
        }
        let mut family = self.family(name, help, MetricType::Histogram)?;
        family.encode_histogram::<NoLabelSet>(sum as f64 / unit, total, &joined, None)
    }

    fn family<'s>(&'s mut self, name: &'s str, help: &str, kind: MetricType) -> Result<MetricEncoder<'s>, fmt::Error> {
        self.0.encode_descriptor(name, help, None, kind)
    }
}

fn count(metric: &mut MetricEncoder<'_>, value: u64) -> fmt::Result {
    metric.encode_counter::<NoLabelSet, _, f64>(&value, None)
}
