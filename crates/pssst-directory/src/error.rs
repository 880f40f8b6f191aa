//! The errors of a directory's client.

use std::fmt;
use std::io;
use std::path::PathBuf;

use jiff::Timestamp;

use crate::refusal::Refusal;

/// Error of a directory's client.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read or written.
    File(io::Error),
    /// The cache's file is there and cannot be used, so the client does not know which keys it had.
    /// Restore the file. If it is deleted, the client takes any keys that the directory sends,
    /// older ones and those without a post-quantum one too.
    Cache {
        /// The file of the cache.
        path: PathBuf,
        /// Why it cannot be used.
        cause: Box<Self>,
    },
    /// The text is invalid; the field says what is expected.
    Syntax(&'static str),
    /// The input is too long.
    TooLong {
        /// The limit in bytes.
        limit: usize,
    },
    /// No key is in force now.
    NoCurrentKey,
    /// The directory's document offers none of the suites that this client takes.
    NoCommonSuite,
    /// The protocol refused: a key that must not be used, a reply that is not from the directory,
    /// or missing randomness.
    Protocol(pssst::Error),
    /// The authorities to trust cannot be used: no certificate in the file, or none on this system.
    Trust(Box<dyn std::error::Error + Send + Sync>),
    /// The directory is unreachable, is not the trusted one, or did not answer in time. Trying
    /// again may help.
    Connection(Box<dyn std::error::Error + Send + Sync>),
    /// The directory answered with this HTTP status instead. A redirection is not followed.
    Status(u16),
    /// The directory sent a document of an older generation than the stored one, which stays in
    /// use. Its schedule is from a backup, or it lags behind another directory: `pssst keys
    /// take-over` repairs the former.
    OldDocument {
        /// Generation of the stored document.
        held: u64,
        /// Generation of the document that was sent.
        sent: u64,
    },
    /// The directory sent other keys under the generation of the stored document, which stays in
    /// use. Two schedules were changed independently: `pssst keys take-over` ends that.
    ConflictingDocument {
        /// Their generation.
        generation: u64,
    },
    /// The directory sent a document whose times contradict the system clock, while the stored
    /// document agrees with it and stays in use. Check the directory's clock.
    ImplausibleDocument {
        /// When the document was issued.
        issued: Timestamp,
    },
    /// The directory sent a document without a post-quantum key, while the stored one has one and
    /// stays in use: anyone who controls the directory could otherwise have everything recorded for
    /// a quantum computer. If the owner of the pool gave such keys up,
    /// [`DirectoryClientBuilder::allow_downgrade`](crate::DirectoryClientBuilder::allow_downgrade).
    Downgrade,
    /// The first document does not have the key that is expected
    /// ([`DirectoryClientBuilder::expect_key`](crate::DirectoryClientBuilder::expect_key)): the link
    /// is older than the last rotation, or this is another pool's directory. Get a new link.
    UnexpectedKeys,
    /// The directory gave no pre-shared key to a client that has one, which stays in use: anyone
    /// who has the server's secret key could otherwise have the client leave it away. If the owner
    /// of the pool gave pre-shared keys up,
    /// [`DirectoryClientBuilder::allow_downgrade`](crate::DirectoryClientBuilder::allow_downgrade).
    PskDowngrade,
    /// The client does not hold its secret key, and has no shared secret for any key of the pool.
    /// The holder of its secret key has to give it a new one.
    NoSharedSecret,
    /// The directory refuses the enrolment or the renewal.
    Refused {
        /// The cause.
        refusal: Refusal,
        /// The directory's message.
        message: String,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(error) => error.fmt(f),
            Self::Cache { path, cause } => write!(f, "the stored keys in {} cannot be used: {cause}", path.display()),
            Self::Syntax(expected) => write!(f, "expected {expected}"),
            Self::TooLong { limit } => write!(f, "it is longer than {limit} bytes"),
            Self::NoCommonSuite => f.write_str("the servers accept none of this client's suites"),
            Self::NoCurrentKey => f.write_str("no key is in force now"),
            Self::Protocol(error) => error.fmt(f),
            Self::Trust(error) => write!(f, "the directory's certificates cannot be checked: {error}"),
            Self::Connection(error) => {
                write!(f, "the directory cannot be reached: {error}")?;
                // The cause is at the end: the certificate, for instance.
                let causes = std::iter::successors(error.source(), |cause| cause.source());
                causes.into_iter().try_for_each(|cause| write!(f, ": {cause}"))
            }
            Self::Status(status) => write!(f, "the directory answered with HTTP status {status}"),
            Self::OldDocument { held, sent } => {
                write!(f, "the directory sent keys of generation {sent}, older than the stored generation {held}")
            }
            Self::ConflictingDocument { generation } => {
                write!(f, "the directory sent other keys than the stored ones of the same generation {generation}")
            }
            Self::ImplausibleDocument { issued } => {
                write!(f, "the directory sent keys of {issued}, which contradicts the system clock")
            }
            Self::Downgrade => f.write_str(
                "the directory sent keys without a post-quantum one, which the stored keys have; allow the downgrade if \
                 the pool gave it up",
            ),
            Self::UnexpectedKeys => f.write_str(
                "the directory does not have the key that is expected: the link is older than the last rotation, or of \
                 another pool",
            ),
            Self::PskDowngrade => f.write_str(
                "the directory gave no pre-shared key, but the client has one; allow the downgrade if the pool gave \
                 pre-shared keys up",
            ),
            Self::NoSharedSecret => f.write_str("the client has no shared secret for any key of the pool"),
            Self::Refused { refusal, message } => write!(f, "the directory refuses ({refusal}): {message}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::File(error) => Some(error),
            Self::Cache { cause, .. } => Some(cause),
            Self::Protocol(error) => Some(error),
            Self::Trust(error) | Self::Connection(error) => Some(error.as_ref()),
            _ => None,
        }
    }
}

impl From<pssst_net::Error> for Error {
    fn from(error: pssst_net::Error) -> Self {
        match error {
            pssst_net::Error::NoSharedSecret(_) => Self::NoSharedSecret,
            pssst_net::Error::Protocol(error) => Self::Protocol(error),
            error => Self::Connection(Box::new(error)),
        }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::File(error)
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
