//! Reads the metrics of a running service: the text that `/metrics` shows.
//!
//! The text is from another process and may be anything: its size, its lines and its labels are
//! bounded, and what is not understood is an error.

use std::fmt;

pub use histogram::Histogram;

mod histogram;
#[cfg(test)]
mod tests;

/// The longest text.
pub const MAX_PAGE_LEN: usize = 1 << 20;
const MAX_LINE_LEN: usize = 16 << 10;
const MAX_SAMPLES: usize = 10_000;
const MAX_LABELS: usize = 16;

/// 2^53: counters above have lost digits.
const MAX_COUNT: f64 = 9_007_199_254_740_992.0;

/// The metrics of a service at one time.
#[derive(Clone, Debug)]
pub struct MetricsPage(Vec<Sample>);

#[derive(Clone, Debug)]
struct Sample {
    name: String,
    labels: Labels,
    value: f64,
}

/// Names and values.
type Labels = Vec<(String, String)>;

/// A text is not the metrics of a service.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct MetricsPageError {
    line: usize,
    why: &'static str,
}

impl fmt::Display for MetricsPageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.why)
    }
}

impl std::error::Error for MetricsPageError {}

impl MetricsPage {
    /// Reads a text of `OpenMetrics` 1.0. Types, units, help, timestamps and exemplars are passed
    /// over.
    ///
    /// # Errors
    /// For any other text, one that is cut off, and one that is too long.
    pub fn parse(text: &str) -> Result<Self, MetricsPageError> {
        if text.len() > MAX_PAGE_LEN {
            return Err(MetricsPageError { line: 1, why: "the text is longer than 1 MiB" });
        }
        let mut samples = Vec::new();
        let mut lines = text.lines().enumerate();
        for (place, text) in lines.by_ref() {
            let at_line = |why| MetricsPageError { line: place + 1, why };
            if text.len() > MAX_LINE_LEN {
                return Err(at_line("it is longer than 16 KiB"));
            }
            if text == "# EOF" {
                return match lines.next() {
                    Some(_) => Err(MetricsPageError { line: place + 2, why: "it follows the end of the metrics" }),
                    None => Ok(Self(samples)),
                };
            }
            if text.starts_with('#') {
                continue;
            }
            if samples.len() == MAX_SAMPLES {
                return Err(at_line("more than 10,000 samples"));
            }
            samples.push(sample(text).map_err(at_line)?);
        }
        Err(MetricsPageError { line: text.lines().count().max(1), why: "the metrics end without `# EOF`" })
    }

    /// Returns a value without labels.
    pub fn value(&self, name: &str) -> Option<f64> {
        self.samples(name).find(|sample| sample.labels.is_empty()).map(|sample| sample.value)
    }

    /// Returns a counter without labels.
    pub fn count(&self, name: &str) -> Option<u64> {
        self.value(name).and_then(count)
    }

    /// Returns the values of a family that has this label, by the label's value.
    pub fn values<'a>(&'a self, name: &'a str, label: &'a str) -> impl Iterator<Item = (&'a str, f64)> {
        self.samples(name).filter_map(move |sample| Some((sample.label(label)?, sample.value)))
    }

    /// Returns the counters of a family that has this label, by the label's value.
    pub fn counts<'a>(&'a self, name: &'a str, label: &'a str) -> impl Iterator<Item = (&'a str, u64)> {
        self.values(name, label).filter_map(|(label, value)| Some((label, count(value)?)))
    }

    /// Returns a label of the first sample of a family.
    pub fn label(&self, name: &str, label: &str) -> Option<&str> {
        self.samples(name).next()?.label(label)
    }

    /// Returns a histogram without other labels. `None` also for one whose buckets contradict each
    /// other.
    pub fn histogram(&self, name: &str) -> Option<Histogram> {
        let bucket = format!("{name}_bucket");
        let buckets = self.samples(&bucket).map(|sample| {
            let bound = sample.label("le").filter(|_| sample.labels.len() == 1)?;
            Some((bound.parse().ok()?, count(sample.value)?))
        });
        Histogram::new(buckets.collect::<Option<_>>()?, self.value(&format!("{name}_sum"))?)
    }

    fn samples<'a, 'n>(&'a self, name: &'n str) -> impl Iterator<Item = &'a Sample> + use<'a, 'n> {
        self.0.iter().filter(move |sample| sample.name == name)
    }
}

impl Sample {
    fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(label, _)| label == name).map(|(_, value)| value.as_str())
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is checked")]
fn count(value: f64) -> Option<u64> {
    (0.0..=MAX_COUNT).contains(&value).then_some(value as u64)
}

/// `name{label="value",…} value`.
fn sample(line: &str) -> Result<Sample, &'static str> {
    let (name, rest) = name(line, |c| c == ':').ok_or("it does not begin with a metric's name")?;
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (Vec::new(), rest),
    };
    let rest = rest.strip_prefix(' ').ok_or("no space before the value")?;
    let value = rest.split(' ').next().unwrap_or_default();
    let value = value.parse().map_err(|_| "the value is not a number")?;
    Ok(Sample { name: name.into(), labels, value })
}

fn labels(mut rest: &str) -> Result<(Labels, &str), &'static str> {
    let mut labels = Labels::new();
    loop {
        if let Some(rest) = rest.strip_prefix('}') {
            return Ok((labels, rest));
        }
        if labels.len() == MAX_LABELS {
            return Err("more than 16 labels");
        }
        let (name, after) = name(rest, |_| false).ok_or("a label has no name")?;
        let quoted = after.strip_prefix("=\"").ok_or("a label has no value in quotes")?;
        let (value, after) = label_value(quoted)?;
        labels.push((name.into(), value));
        rest = match after.strip_prefix(',') {
            Some(after) => after,
            None if after.starts_with('}') => after,
            None => return Err("neither a comma nor a brace follows a label"),
        };
    }
}

/// Returns a value without its escapes, and what follows its closing quote.
fn label_value(quoted: &str) -> Result<(String, &str), &'static str> {
    let mut value = String::new();
    let mut chars = quoted.chars();
    loop {
        match chars.next() {
            Some('"') => return Ok((value, chars.as_str())),
            Some('\\') => value.push(match chars.next() {
                Some('n') => '\n',
                Some(c @ ('\\' | '"')) => c,
                _ => return Err("a label has an unknown escape"),
            }),
            Some(c) => value.push(c),
            None => return Err("a label's value has no closing quote"),
        }
    }
}

/// Splits a name from what follows it.
fn name(text: &str, is_also_allowed: impl Fn(char) -> bool) -> Option<(&str, &str)> {
    let is_of_a_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || is_also_allowed(c);
    let end = text.find(|c| !is_of_a_name(c)).unwrap_or(text.len());
    (end > 0 && !text.starts_with(|c: char| c.is_ascii_digit())).then(|| text.split_at(end))
}
