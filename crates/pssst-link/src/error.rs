//! The error of links.

use std::fmt;

use crate::form::{MAX_LEN, SCHEME};

/// Error of a link that is read or written.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// It does not begin with `pssst://`.
    NotLink,
    /// It is longer than [`MAX_LEN`].
    TooLong,
    /// Its end is missing, where the checksum is.
    Cut,
    /// Its checksum does not fit: a character was changed, lost or added.
    Checksum,
    /// It has a parameter that this version does not know: one of a later version. The checksum
    /// fits.
    UnknownParameter(String),
    /// It has a parameter twice.
    Repeated(&'static str),
    /// A part is not what it has to be.
    Invalid {
        /// The part.
        part: &'static str,
        /// What it has to be.
        expected: &'static str,
    },
    /// A part is missing that the others need.
    Missing(&'static str),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotLink => write!(f, "not a link: links begin with {SCHEME}"),
            Self::TooLong => write!(f, "the link is longer than {MAX_LEN} characters"),
            Self::Cut => f.write_str("the end of the link is missing: links end with &check= and 8 digits"),
            Self::Checksum => {
                f.write_str("the link's checksum does not fit: a character is wrong, missing or one too many")
            }
            Self::UnknownParameter(name) => {
                write!(f, "the link has the parameter {name}, which this version does not know: update the program")
            }
            Self::Repeated(name) => write!(f, "the link has the parameter {name} twice"),
            Self::Invalid { part, expected } => write!(f, "the link's {part} is not {expected}"),
            Self::Missing(part) => write!(f, "the link lacks {part}"),
        }
    }
}

impl std::error::Error for Error {}
