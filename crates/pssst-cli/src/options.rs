//! Command-line options that several subcommands share.

use std::path::Path;
use std::time::Duration;

use clap::ValueEnum;
use pssst::{PublicKey, Suite};

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_bounded() {
        assert_eq!(seconds("0.25"), Ok(Duration::from_millis(250)));
        for text in ["", "0", "-1", "1e9", "NaN", "inf", "soon"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
