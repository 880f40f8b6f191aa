//! Parsers of durations, for options.
//!
//! All read the same forms: a number with a unit (`500ms`, `90s`, `24h`, `30d`, `"1d 12h"`), or a
//! bare number of seconds.

use std::time::Duration;

use jiff::{Span, SpanRelativeTo};

/// The longest timeout.
const DAY: Duration = Duration::from_hours(24);

/// Parses a time span above zero.
///
/// # Errors
/// What to give instead.
pub fn span(text: &str) -> Result<Duration, String> {
    parse(text)
        .filter(|span| !span.is_zero())
        .ok_or_else(|| "give a time span such as 90s, 24h, 30d or \"1d 12h\"; a bare number is seconds".into())
}

/// Parses a time span above zero and up to a day.
///
/// # Errors
/// What to give instead.
pub fn timeout(text: &str) -> Result<Duration, String> {
    parse(text)
        .filter(|span| !span.is_zero() && *span <= DAY)
        .ok_or_else(|| "give a time span up to a day, such as 500ms or 5s; a bare number is seconds".into())
}

/// Parses a time span up to a day, or 0.
///
/// # Errors
/// What to give instead.
pub fn timeout_or_none(text: &str) -> Result<Duration, String> {
    if parse(text) == Some(Duration::ZERO) { Ok(Duration::ZERO) } else { timeout(text) }
}

fn parse(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.parse() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    // Days of 24 hours; months and years have no length of their own.
    let span = text.parse::<Span>().ok()?.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?;
    Duration::try_from(span).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_positive_and_have_a_length() {
        assert_eq!(span("1d 12h"), Ok(Duration::from_hours(36)));
        assert_eq!(span("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(span("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(span("5"), Ok(Duration::from_secs(5)));
        for text in ["", "0", "0s", "-1s", "-1", "1y", "1e300", "NaN", "inf", "soon"] {
            span(text).unwrap_err();
        }
    }

    #[test]
    fn timeouts_are_bounded() {
        for text in ["0.25", "250ms", "0.25s"] {
            assert_eq!(timeout(text), Ok(Duration::from_millis(250)), "{text}");
        }
        assert_eq!(timeout_or_none("0"), Ok(Duration::ZERO));
        assert_eq!(timeout_or_none("0s"), Ok(Duration::ZERO));
        for text in ["", "-1", "25h", "1e9", "NaN", "inf", "soon"] {
            timeout(text).unwrap_err();
            timeout_or_none(text).unwrap_err();
        }
        timeout("0").unwrap_err();
    }
}
