//! Numbers and times as people read and write them.

use std::borrow::Borrow;
use std::time::Duration;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Span, SpanRelativeTo, Timestamp};
pub(super) use pssst_support::grouped;

const MINUTE: u64 = 60;
const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;
const YEAR: u64 = 365 * DAY;

/// Returns a time beside the present one: `in 42 min`, `3 days ago`.
pub(super) fn relative(time: impl Borrow<Timestamp>, now: impl Borrow<Timestamp>) -> String {
    let seconds = time.borrow().duration_since(*now.borrow()).as_secs();
    let span = match seconds.unsigned_abs() {
        0..MINUTE if seconds > 0 => return "in less than a minute".to_owned(),
        0..MINUTE => return "just now".to_owned(),
        short if short < 2 * HOUR => format!("{} min", short / MINUTE),
        middle if middle < 2 * DAY => format!("{} h", middle / HOUR),
        long if long < 2 * YEAR => format!("{} days", long / DAY),
        years => format!("{} years", grouped(years / YEAR)),
    };
    if seconds > 0 { format!("in {span}") } else { format!("{span} ago") }
}

/// Returns a span in the largest unit that it is a whole number of.
pub(super) fn span(time: Duration) -> String {
    match time.as_secs() {
        DAY => "1 day".to_owned(),
        seconds if seconds > 0 && seconds.is_multiple_of(DAY) => format!("{} days", seconds / DAY),
        seconds if seconds > 0 && seconds.is_multiple_of(HOUR) => format!("{} h", seconds / HOUR),
        seconds if seconds > 0 && seconds.is_multiple_of(MINUTE) => format!("{} min", seconds / MINUTE),
        seconds => format!("{seconds} s"),
    }
}

/// Reads a span: `90 s`, `15min`, `1 h 30 min`, `7 days`. A bare number is seconds, and a day has
/// 24 hours.
pub(super) fn parse_span(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let span: Span = text.trim().parse().ok()?;
    // Months and years have no fixed length.
    let has_fixed_length = span.get_years() == 0 && span.get_months() == 0;
    let duration = span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?;
    Duration::try_from(duration).ok().filter(|_| has_fixed_length)
}

/// Reads a day, its beginning, or a day with a time: `2030-12-31`, `2030-12-31T18:00`. All are UTC.
pub(super) fn parse_time(text: &str) -> Option<Timestamp> {
    let time: DateTime = text.trim().parse().ok()?;
    TimeZone::UTC.to_timestamp(time).ok()
}

/// Writes a time as fields of forms have it.
pub(super) fn field_time(time: Timestamp) -> String {
    TimeZone::UTC.to_datetime(time).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_said_beside_the_present() {
        let now = Timestamp::from_second(2_000_000_000).unwrap();
        for (seconds, text) in [
            (0, "just now"),
            (-59, "just now"),
            (59, "in less than a minute"),
            (60, "in 1 min"),
            (2579, "in 42 min"),
            (-7199, "119 min ago"),
            (7200, "in 2 h"),
            (-172_799, "47 h ago"),
            (172_800, "in 2 days"),
            (-86_400 * 700, "700 days ago"),
            (86_400 * 366 * 2000, "in 2,005 years"),
        ] {
            assert_eq!(relative(now + jiff::SignedDuration::from_secs(seconds), now), text);
        }
    }

    #[test]
    fn spans_are_written_in_their_largest_unit_and_read_again() {
        for (seconds, words) in [
            (0, "0 s"),
            (1, "1 s"),
            (90, "90 s"),
            (120, "2 min"),
            (3600, "1 h"),
            (86_400, "1 day"),
            (604_800, "7 days"),
        ] {
            assert_eq!(span(Duration::from_secs(seconds)), words);
            assert_eq!(parse_span(words), Some(Duration::from_secs(seconds)), "{words}");
        }
        for (text, seconds) in [("90", 90), (" 15min ", 900), ("1h30m", 5400), ("1w", 604_800)] {
            assert_eq!(parse_span(text), Some(Duration::from_secs(seconds)), "{text}");
        }
        for bad in ["", "soon", "-5", "-5 min", "5 min ago", "1 month", "1 year", "999999999999999999999"] {
            assert_eq!(parse_span(bad), None, "{bad}");
        }
    }

    #[test]
    fn times_of_forms_are_utc() {
        for (text, expected) in [
            ("2030-12-31", "2030-12-31T00:00:00Z"),
            ("2030-12-31T18:30", "2030-12-31T18:30:00Z"),
            ("2030-12-31T18:30:01.002", "2030-12-31T18:30:01.002Z"),
        ] {
            let time = parse_time(text).unwrap();
            assert_eq!(time.to_string(), expected);
            assert_eq!(parse_time(&field_time(time)), Some(time));
        }
        for bad in ["", "31.12.2030", "2030-02-30", "soon"] {
            assert_eq!(parse_time(bad), None, "{bad}");
        }
    }
}
