//! Parsers of durations, for options.

use std::time::Duration;

use jiff::{SignedDuration, Span, SpanRelativeTo};

/// Parses a time in seconds above zero and up to a day, which need not be whole.
///
/// # Errors
/// What to give instead.
pub fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds <= 86_400.0 => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("give a number of seconds above 0 and up to 86400".into()),
    }
}

/// Parses what [`seconds`] parses, or 0.
///
/// # Errors
/// What to give instead.
pub fn seconds_or_none(text: &str) -> Result<Duration, String> {
    if text == "0" {
        Ok(Duration::ZERO)
    } else {
        seconds(text).map_err(|_| "give a number of seconds up to 86400".into())
    }
}

/// Parses a time span in whole seconds: `90s`, `24h`, `30d`, `1d 12h`.
///
/// # Errors
/// What to give instead.
pub fn span(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<Span>().ok().and_then(|span| {
        // Days of 24 hours; months and years have no length of their own.
        span.to_duration(SpanRelativeTo::days_are_24_hours()).ok().filter(SignedDuration::is_positive)
    });
    seconds
        .and_then(|duration| Duration::try_from(duration).ok())
        .ok_or_else(|| "give a time span such as 90s, 24h, 30d or \"1d 12h\"".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_positive_and_have_a_length() {
        assert_eq!(span("1d 12h"), Ok(Duration::from_hours(36)));
        assert_eq!(span("90s"), Ok(Duration::from_secs(90)));
        for text in ["", "0s", "-1s", "1y", "5", "soon"] {
            assert!(span(text).is_err(), "{text}");
        }
    }

    #[test]
    fn timeouts_are_bounded() {
        assert_eq!(seconds("0.25"), Ok(Duration::from_millis(250)));
        for text in ["", "0", "-1", "1e9", "NaN", "inf", "soon"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
