//! Command-line options that several subcommands share.

use std::path::Path;
use std::time::Duration;

use clap::ValueEnum;
use pssst::{PublicKey, Suite};
use pssst_identity::State;
use pssst_identity::jiff::civil::Date;
use pssst_identity::jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp};

use crate::failure::Failure;
use crate::key_file;

/// A cipher suite by its number, as the packets have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SuiteOption {
    #[value(name = "1", alias = "0001", help = "X25519_AESGCM128: what every implementation speaks")]
    AesGcm128,
    #[value(name = "f001", help = "X25519_AES128GCMSIV: safe even if a handler answers one request in two ways")]
    Aes128GcmSiv,
}

impl From<SuiteOption> for Suite {
    fn from(option: SuiteOption) -> Self {
        match option {
            SuiteOption::AesGcm128 => Self::X25519AesGcm128,
            SuiteOption::Aes128GcmSiv => Self::X25519Aes128GcmSiv,
        }
    }
}

/// A public key: 64 hexadecimal digits, or a file that holds a key.
pub(crate) fn public_key(text: &str) -> Result<PublicKey, Failure> {
    text.parse().or_else(|_| key_file::read_public(Path::new(text)))
}

/// A time in seconds, which need not be whole.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds <= 86_400.0 => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("give a number of seconds above 0 and up to 86400".into()),
    }
}

/// The same, or none at all.
pub(crate) fn seconds_or_none(text: &str) -> Result<Duration, String> {
    if text == "0" {
        Ok(Duration::ZERO)
    } else {
        seconds(text).map_err(|_| "give a number of seconds up to 86400".into())
    }
}

/// `NAME=VALUE`.
pub(crate) fn label(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("give a name, =, and a value")?;
    Ok((name.into(), value.into()))
}

/// The state of a client.
pub(crate) fn state(text: &str) -> Result<State, String> {
    text.parse().map_err(|error: pssst_identity::Error| error.to_string())
}

/// How long, in whole seconds: `90s`, `24h`, `30d`, `1d 12h`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<Span>().ok().and_then(|span| {
        // Days of 24 hours; months and years have no length of their own.
        span.to_duration(SpanRelativeTo::days_are_24_hours()).ok().filter(SignedDuration::is_positive)
    });
    seconds
        .and_then(|duration| Duration::try_from(duration).ok())
        .ok_or_else(|| "give a time span such as 90s, 24h, 30d or \"1d 12h\"".into())
}

/// A time: with date and time of day (RFC 3339), with a date only (its first moment in UTC), or so long from now.
pub(crate) fn time(text: &str) -> Result<Timestamp, String> {
    let date = |text: &str| format!("{}T00:00:00Z", text.parse::<Date>().ok()?).parse().ok();
    let later = |text: &str| Timestamp::now().checked_add(duration(text).ok()?).ok();
    text.parse()
        .ok()
        .or_else(|| date(text))
        .or_else(|| later(text))
        .ok_or_else(|| "give a date (2027-01-31), a time (2027-01-31T08:00:00Z), or a time span from now (365d)".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_dates_moments_or_spans() {
        let at = |text: &str| time(text).map(|time| time.to_string());
        assert_eq!(at("2027-01-31"), Ok("2027-01-31T00:00:00Z".into()));
        assert_eq!(at("2027-01-31T10:00:00+02:00"), Ok("2027-01-31T08:00:00Z".into()));
        let in_a_day = time("1d").unwrap().duration_since(Timestamp::now()).as_secs();
        assert!((86_390..=86_400).contains(&in_a_day), "{in_a_day}");
        for text in ["", "tomorrow", "2027", "-1d", "1mo", "0s"] {
            assert!(time(text).is_err(), "{text}");
        }
    }

    #[test]
    fn spans_are_positive_and_have_a_length() {
        assert_eq!(duration("1d 12h"), Ok(Duration::from_hours(36)));
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        for text in ["", "0s", "-1s", "1y", "5", "soon"] {
            assert!(duration(text).is_err(), "{text}");
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
