//! What is wrong with how a gateway is to be.

use std::fmt;
use std::io;

/// Why a gateway cannot be built.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A text is no location of an upstream; it says what was expected.
    Upstream(&'static str),
    /// A location of an upstream has a user or a password in it. Do not show it.
    Credentials,
    /// An option does not fit the kind of the upstream, or cannot be.
    Option {
        /// The method of [`GatewayBuilder`](crate::GatewayBuilder) that set it.
        option: &'static str,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The file of authorities cannot be read.
    File(io::Error),
    /// Certificates of authorities, or TLS itself, are of no use.
    Trust(rustls::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Upstream(expected) => write!(f, "expected {expected}"),
            Self::Credentials => f.write_str("a location has no user and no password in it, since it is shown"),
            Self::Option { what, .. } => f.write_str(what),
            Self::File(error) => write!(f, "the authorities cannot be read: {error}"),
            Self::Trust(error) => write!(f, "no use as authorities: {error}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::File(error) => Some(error),
            Self::Trust(error) => Some(error),
            Self::Upstream(_) | Self::Credentials | Self::Option { .. } => None,
        }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::File(error)
    }
}
