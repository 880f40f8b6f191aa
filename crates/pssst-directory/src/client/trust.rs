//! How a client authenticates its directory.

use std::path::PathBuf;

use pssst_support::tls::{self, AuthoritiesError, KeyCheck, client_config};
use rustls::{CertificateError, ClientConfig, RootCertStore};

use crate::{Error, Pin};

/// How a client authenticates its directory.
#[derive(Debug)]
pub(super) enum Trust {
    /// The system's authorities.
    System,
    /// The authorities in a PEM file.
    File(PathBuf),
    /// These authorities, PEM.
    Pem(Vec<u8>),
    /// A pin of its certificate's key.
    Pin(Pin),
}

impl Trust {
    pub(super) fn config(self) -> Result<ClientConfig, Error> {
        let trust = match self {
            Self::System => tls::Trust::System,
            Self::File(path) => tls::Trust::Authorities(authorities(&std::fs::read(path)?)?),
            Self::Pem(pem) => tls::Trust::Authorities(authorities(&pem)?),
            Self::Pin(pin) => tls::Trust::Key(key_check(pin)),
        };
        client_config(trust, &["http/1.1"]).map_err(|error| Error::Trust(error.into()))
    }
}

/// Reads authorities in PEM, at least one.
fn authorities(pem: &[u8]) -> Result<RootCertStore, Error> {
    tls::authorities(pem).map_err(|error| match error {
        AuthoritiesError::Invalid(error) => Error::Trust(error.into()),
        AuthoritiesError::NoCertificates => Error::Syntax("certificates of authorities in PEM"),
    })
}

fn key_check(expected: Pin) -> KeyCheck {
    Box::new(move |certificate| {
        let found = Pin::of(certificate).map_err(|_| CertificateError::BadEncoding)?;
        if found == expected {
            return Ok(());
        }
        Err(rustls::Error::General(format!(
            "its certificate has the pin {found}, not {expected}: it is another directory, or another machine is in between"
        )))
    })
}
