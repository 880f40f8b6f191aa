//! How a client authenticates its directory.

use std::fmt::Display;
use std::io;
use std::path::PathBuf;

use pssst_support::tls::{self, KeyCheck, client_config};
use rustls::{CertificateError, ClientConfig};

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
            Self::File(path) => {
                let named = |cause: &dyn Display| format!("{}: {cause}", path.display());
                let pem = std::fs::read(&path).map_err(|error| io::Error::new(error.kind(), named(&error)))?;
                let authorities = tls::authorities(&pem).map_err(|error| Error::Trust(named(&error).into()))?;
                tls::Trust::Authorities(authorities)
            }
            Self::Pem(pem) => {
                tls::Trust::Authorities(tls::authorities(&pem).map_err(|error| Error::Trust(error.into()))?)
            }
            Self::Pin(pin) => tls::Trust::Key(key_check(pin)),
        };
        client_config(trust, &["http/1.1"]).map_err(|error| Error::Trust(error.into()))
    }
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
