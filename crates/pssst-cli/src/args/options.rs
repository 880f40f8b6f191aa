//! Command-line options that several subcommands share.

use std::path::Path;

use clap::ValueEnum;
use pssst::{PublicKey, Suite};
use pssst_identity::State;
use pssst_identity::jiff::Timestamp;
use pssst_identity::jiff::civil::Date;

use crate::args::key_file;
use pssst_service::{Failure, durations};

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

/// Returns a public key: 64 hexadecimal digits, or a file that holds a key.
pub(crate) fn public_key(text: &str) -> Result<PublicKey, Failure> {
    text.parse().or_else(|_| key_file::read_public(Path::new(text)))
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

/// Returns a time: with date and time of day (RFC 3339), with a date only (its first moment in
/// UTC), or so long from now.
pub(crate) fn time(text: &str) -> Result<Timestamp, String> {
    let date = |text: &str| format!("{}T00:00:00Z", text.parse::<Date>().ok()?).parse().ok();
    // A bare number may be a year.
    let has_unit = |text: &&str| text.contains(|byte: char| byte.is_ascii_alphabetic());
    let later = |text| Timestamp::now().checked_add(durations::span(text).ok()?).ok();
    text.parse()
        .ok()
        .or_else(|| date(text))
        .or_else(|| Some(text).filter(has_unit).and_then(later))
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
}
