//! Command-line options that several subcommands share.

use std::path::Path;

use clap::ValueEnum;
use jiff::civil::{Date, DateTime};
use jiff::{Timestamp, ZonedDateTime};
use pssst::{PublicKey, ServerKey, Suite};
use pssst_identity::State;

use crate::args::key_file;
use pssst_service::{Failure, durations};

/// A cipher suite by its number, as the packets have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SuiteOption {
    #[value(name = "1", alias = "0001", help = "X25519_AESGCM128: what other implementations speak")]
    X25519AesGcm128,
    #[value(name = "f002", help = "X25519_AES256GCMSIV: lighter, and with every option")]
    X25519Aes256GcmSiv,
    #[value(name = "f003", help = "XWING_AES256GCMSIV: what is recorded stays closed to quantum computers")]
    XWingAes256GcmSiv,
}

impl From<SuiteOption> for Suite {
    fn from(option: SuiteOption) -> Self {
        match option {
            SuiteOption::X25519AesGcm128 => Self::X25519AesGcm128,
            SuiteOption::X25519Aes256GcmSiv => Self::X25519Aes256GcmSiv,
            SuiteOption::XWingAes256GcmSiv => Self::XWingAes256GcmSiv,
        }
    }
}

/// Returns a server's public key: `pssst1…`, 64 or 2,432 hexadecimal digits, or a file that holds a
/// key.
pub(crate) fn server_key(text: &str) -> Result<ServerKey, Failure> {
    not_empty(text)?;
    text.parse().or_else(|_| key_file::read_server_key(Path::new(text)))
}

/// Returns a client's public key: `pssst1…`, 64 hexadecimal digits, or a file that holds a key.
pub(crate) fn public_key(text: &str) -> Result<PublicKey, Failure> {
    not_empty(text)?;
    text.parse().or_else(|_| key_file::read_public(Path::new(text)))
}

/// As where a variable of the shell is not set.
fn not_empty(text: &str) -> Result<(), Failure> {
    if text.is_empty() {
        let remedy = "give the key that `pssst pubkey FILE` prints, or its file; a variable of the shell may be unset";
        return Err(Failure::usage("the public key is missing: its value is empty", remedy));
    }
    Ok(())
}

/// `NAME=VALUE`.
pub(crate) fn label(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("give a name, =, and a value")?;
    Ok((name.into(), value.into()))
}

/// Returns the state of a client.
pub(crate) fn state(text: &str) -> Result<State, String> {
    text.parse().map_err(|error: pssst_identity::Error| error.to_string())
}

/// Returns a time: with its offset (RFC 3339) or its zone (RFC 9557), the first moment in UTC of a
/// date, or a time span from now.
pub(crate) fn time(text: &str) -> Result<Timestamp, String> {
    const EXPECTED: &str = "give a date (2027-01-31), a time (2027-01-31T08:00:00Z), or a time span from now (365d)";
    if text.contains('[') {
        return text.parse::<ZonedDateTime>().map(|time| time.timestamp()).map_err(|error| error.to_string());
    }
    if let Ok(time) = text.parse() {
        return Ok(time);
    }
    if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') {
        // Midnight in UTC. A bare number may be a year, and is not a span.
        let midnight = text.parse::<Date>().ok().and_then(|date| format!("{date}T00:00:00Z").parse().ok());
        return midnight.ok_or_else(|| EXPECTED.into());
    }
    if text.parse::<DateTime>().is_ok() {
        return Err("a time of day needs its offset: add Z for UTC, or one such as +02:00".into());
    }
    let span = durations::span(text).ok().filter(|_| text.contains(|byte: char| byte.is_ascii_alphabetic()));
    span.and_then(|span| Timestamp::now().checked_add(span).ok()).ok_or_else(|| EXPECTED.into())
}

/// Returns a time that [`time`] reads, but a time span is as long ago.
pub(crate) fn past_time(text: &str) -> Result<Timestamp, String> {
    let span = durations::span(text).ok().filter(|_| text.contains(|byte: char| byte.is_ascii_alphabetic()));
    match span.and_then(|span| Timestamp::now().checked_sub(span).ok()) {
        Some(time) => Ok(time),
        None => time(text).map_err(|error| error.replace("a time span from now", "how long ago")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_may_be_as_long_ago() {
        let ago = Timestamp::now().duration_since(past_time("1d").unwrap()).as_secs();
        assert!((86_399..=86_410).contains(&ago), "{ago}");
        assert_eq!(past_time("2026-01-31").map(|time| time.to_string()), Ok("2026-01-31T00:00:00Z".into()));
        assert!(past_time("soon").unwrap_err().contains("how long ago"));
    }

    #[test]
    fn times_are_dates_moments_or_spans() {
        let at = |text: &str| time(text).map(|time| time.to_string());
        assert_eq!(at("2027-01-31"), Ok("2027-01-31T00:00:00Z".into()));
        assert_eq!(at("2027-01-31T10:00:00+02:00"), Ok("2027-01-31T08:00:00Z".into()));
        let in_a_day = time("1d").unwrap().duration_since(Timestamp::now()).as_secs();
        assert!((86_390..=86_400).contains(&in_a_day), "{in_a_day}");
        assert_eq!(at("2027-01-31 10:00:00+02:00"), Ok("2027-01-31T08:00:00Z".into()));
        assert_eq!(at("2027-01-31T10:00[Europe/Berlin]"), Ok("2027-01-31T09:00:00Z".into()));
        // Not midnight, nor any other time that was not meant.
        for local in ["2027-01-31T10:00", "2027-01-31 10:00:00", "2027-01-31T10"] {
            assert!(time(local).unwrap_err().contains("add Z"), "{local}");
        }
        for zone in ["2027-01-31T10:00[Nowhere/At_all]", "2027-01-31[", "2027-01-31T10:00+09:00[Europe/Berlin]"] {
            time(zone).unwrap_err();
        }
        for text in ["", "tomorrow", "2027", "-1d", "1mo", "0s"] {
            assert!(time(text).is_err(), "{text}");
        }
    }
}
