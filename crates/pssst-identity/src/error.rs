//! One error type, a variant for every cause.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use pssst::PublicKey;
use pssst_support::FileError;

use crate::state::State;

/// Error of a store of identities.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The key must not be enrolled: see [`PublicKey::validate`].
    Key(pssst::Refusal),
    /// The name is empty, longer than 128 bytes, or has white space or control characters in it.
    InvalidName(String),
    /// The label's name is invalid, its value is longer than 256 bytes or has control characters in
    /// it, or there are more than 32 labels.
    InvalidLabel(String),
    /// The key is enrolled already.
    KeyTaken(PublicKey),
    /// Another identity has this name.
    NameTaken(String),
    /// No identity has this key.
    NotFound(PublicKey),
    /// The identity was changed after the update was made, at this time.
    Outdated(Timestamp),
    /// A revoked identity stays revoked. Remove it, and enrol another key.
    Revoked(State),
    /// A line of the file of identities cannot be used. The first line is 1.
    Line {
        /// Number of the line.
        line: usize,
        /// The cause.
        cause: Box<Self>,
    },
    /// The text is not a client in JSON; the field says why.
    Json(String),
    /// The text is invalid; the field says what is expected.
    Syntax(&'static str),
    /// The store is opened without being created, and its file does not exist.
    Missing(PathBuf),
    /// PostgreSQL on another machine, without a word about TLS: anyone in between could decide who
    /// is enrolled. The field is the host.
    UnprotectedDatabase(String),
    /// The file of identities could not be read or written.
    File(io::Error),
    /// The database is unavailable or refuses the operation.
    Database(DatabaseError),
    /// The database has a value that this program does not write; the field says where.
    Corrupt(&'static str),
    /// The audit log does not begin with the entries of the archive: they were deleted already.
    ArchiveMismatch,
    /// The random number generator failed.
    RandomnessUnavailable,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(error) => write!(f, "this key cannot be enrolled: {error}"),
            Self::InvalidName(name) => {
                write!(
                    f,
                    "{name:?} is not a name: a name has 1 to 128 bytes without white space or control characters, does not begin with '-', and is not a key"
                )
            }
            Self::InvalidLabel(label) => write!(
                f,
                "{label:?} is not a label: its name is like a client's name without '=', its value has up to 256 bytes \
                 without control characters, and a client has up to 32"
            ),
            Self::KeyTaken(key) => write!(f, "the key {key} is enrolled already"),
            Self::NameTaken(name) => write!(f, "another client has the name {name:?}"),
            Self::NotFound(key) => write!(f, "no client has the key {key}"),
            Self::Outdated(time) => write!(f, "the client was changed in the meantime, at {time}"),
            Self::Revoked(state) => write!(f, "the client is revoked permanently and cannot become {state}"),
            Self::Line { line, cause } => write!(f, "line {line}: {cause}"),
            Self::Json(cause) => write!(f, "not a client in JSON: {cause}"),
            Self::Syntax(expected) => write!(f, "expected {expected}"),
            Self::Missing(path) => write!(f, "{} does not exist", path.display()),
            Self::UnprotectedDatabase(host) => {
                write!(f, "the connection to PostgreSQL at {host} would not verify its server")
            }
            Self::File(error) => error.fmt(f),
            Self::Database(error) => write!(f, "database: {error}"),
            Self::Corrupt(place) => write!(f, "the database has an unexpected value in {place}"),
            Self::ArchiveMismatch => f.write_str("the audit log does not begin with these entries"),
            Self::RandomnessUnavailable => f.write_str("random number generator failed"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Key(error) => Some(error),
            Self::Line { cause, .. } => Some(cause.as_ref()),
            Self::File(error) => Some(error),
            Self::Database(error) => Some(error),
            _ => None,
        }
    }
}

/// The error of a database. It is opaque: only its text can be used.
#[derive(Debug)]
pub struct DatabaseError(Box<dyn std::error::Error + Send + Sync>);

impl fmt::Display for DatabaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for DatabaseError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

#[cfg(any(feature = "sqlite", feature = "postgres"))]
impl Error {
    /// Not a `From`, which would make sqlx part of the public interface.
    pub(crate) fn database(error: sqlx::Error) -> Self {
        Self::Database(DatabaseError(error.into()))
    }
}

impl Error {
    /// Adds the name of the file.
    pub(crate) fn of_file(path: &Path, error: &io::Error) -> Self {
        Self::File(io::Error::new(error.kind(), format!("{}: {error}", path.display())))
    }
}

impl From<FileError> for Error {
    fn from(error: FileError) -> Self {
        Self::of_file(&error.path, &error.cause.into())
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::File(error)
    }
}
