//! The errors of the directory's service and of schedules.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::net::SocketAddr;

use pssst_support::{FileError, FileErrorCause, WatchError};

/// Error of a schedule or a directory's service.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read or written.
    File(io::Error),
    /// Other users can read a file of secrets; the field is its mode.
    Exposed(u32),
    /// The text is invalid; the field says what is expected.
    Syntax(&'static str),
    /// The input is too long.
    TooLong {
        /// The limit in bytes.
        limit: usize,
    },
    /// No key is in force now.
    NoCurrentKey,
    /// A rotation has been started already, and its key is not in force yet.
    RotationUnderWay,
    /// The keys are inconsistent: more than a server can hold, or times with a gap.
    InvalidSchedule(&'static str),
    /// The protocol refuses a key or a request, or the system's random number generator failed.
    Protocol(pssst::Error),
    /// A certificate and its secret key, or the certificates of authorities, cannot be used.
    Certificate(Box<dyn StdError + Send + Sync>),
    /// The directory cannot listen at this address.
    Listen(SocketAddr, io::Error),
    /// An admin listener was asked for, and neither operators nor an authority that signs their
    /// certificates.
    NoOperators,
}

impl Error {
    pub(crate) fn certificate(error: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Certificate(error.into())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(error) => error.fmt(f),
            Self::Exposed(mode) => {
                write!(f, "other users can read or change it (mode {mode:04o}), and it should hold secret keys")
            }
            Self::Syntax(expected) => write!(f, "expected {expected}"),
            Self::TooLong { limit } => write!(f, "it is longer than {limit} bytes"),
            Self::NoCurrentKey => f.write_str("no key is in force now"),
            Self::RotationUnderWay => f.write_str("the key of the last rotation is not in force yet"),
            Self::InvalidSchedule(why) => f.write_str(why),
            Self::Protocol(error) => error.fmt(f),
            Self::Certificate(error) => write!(f, "the certificate and its secret key cannot be used: {error}"),
            Self::Listen(address, error) => write!(f, "cannot listen on {address}: {error}"),
            Self::NoOperators => {
                f.write_str("the admin listener needs operators, or the authority that signs their certificates")
            }
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::File(error) | Self::Listen(_, error) => Some(error),
            Self::Protocol(error) => Some(error),
            Self::Certificate(error) => Some(error.as_ref()),
            Self::Exposed(_)
            | Self::Syntax(_)
            | Self::TooLong { .. }
            | Self::NoCurrentKey
            | Self::RotationUnderWay
            | Self::InvalidSchedule(_)
            | Self::NoOperators => None,
        }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::File(error)
    }
}

impl From<FileError> for Error {
    fn from(error: FileError) -> Self {
        match error.cause {
            FileErrorCause::Exposed(mode) => Self::Exposed(mode),
            FileErrorCause::TooLong(limit) => Self::TooLong { limit: usize::try_from(limit).unwrap_or(usize::MAX) },
            cause @ (FileErrorCause::Io(_)
            | FileErrorCause::NotRegular
            | FileErrorCause::Changeable { .. }
            | FileErrorCause::OtherOwner(_)
            | FileErrorCause::Emptied) => Self::File(cause.into()),
        }
    }
}

impl From<WatchError<Self>> for Error {
    fn from(error: WatchError<Self>) -> Self {
        match error {
            WatchError::File(error) => error.into(),
            WatchError::Contents(_, error) => error,
        }
    }
}

impl From<pssst::Error> for Error {
    fn from(error: pssst::Error) -> Self {
        Self::Protocol(error)
    }
}

impl From<pssst::Refusal> for Error {
    fn from(cause: pssst::Refusal) -> Self {
        Self::Protocol(cause.into())
    }
}
