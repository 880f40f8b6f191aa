//! Numbers for people.

/// Returns a time in its unit, with three digits.
pub fn time(microseconds: f64) -> String {
    let (value, unit) = match microseconds {
        short if short < 999.5 => (short, "µs"),
        middle if middle < 999_500.0 => (middle / 1e3, "ms"),
        long => (long / 1e6, "s"),
    };
    let digits = match value {
        small if small < 9.995 => 2,
        middle if middle < 99.95 => 1,
        _ => 0,
    };
    format!("{value:.digits$} {unit}")
}

pub(crate) fn microseconds(nanoseconds: u64) -> f64 {
    float(nanoseconds) / 1e3
}

#[expect(clippy::cast_precision_loss, reason = "shown with far fewer digits")]
pub(crate) fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        for (microseconds, text) in [
            (0.0, "0.00 µs"),
            (9.994, "9.99 µs"),
            (9.996, "10.0 µs"),
            (99.96, "100 µs"),
            (999.4, "999 µs"),
            (999.6, "1.00 ms"),
            (123_456.0, "123 ms"),
            (999_600.0, "1.00 s"),
            (86_400e6, "86400 s"),
        ] {
            assert_eq!(time(microseconds), text);
        }
    }
}
