//! One-time tokens that let a device enrol a key.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use pssst::PublicKey;
use zeroize::Zeroizing;

use crate::{Error, Labels};

#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod stored;

const PREFIX: &str = "pssst-token-";
const ID_LEN: usize = 8;
const SECRET_LEN: usize = 32;

/// The name of a token, 8 bytes: shown and logged, because it is not enough to enrol.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenId(pub(crate) [u8; ID_LEN]);

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&base16ct::lower::encode_string(&self.0))
    }
}

impl fmt::Debug for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenId({self})")
    }
}

impl FromStr for TokenId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let mut id = [0; ID_LEN];
        decode(text, &mut id)?;
        Ok(Self(id))
    }
}

/// A token: its holder can enrol one key. `pssst-token-`, the id and a secret of 32 bytes, in
/// hexadecimal digits.
///
/// Wiped when dropped; `Debug` shows its id only.
#[derive(Clone)]
pub struct Token {
    id: TokenId,
    secret: Zeroizing<[u8; SECRET_LEN]>,
}

impl Token {
    /// Its name.
    pub fn id(&self) -> TokenId {
        self.id
    }

    /// Returns the token itself, for handing it to a device.
    pub fn expose(&self) -> Zeroizing<String> {
        let digits = Zeroizing::new(base16ct::lower::encode_string(&*self.secret));
        Zeroizing::new(format!("{PREFIX}{}-{}", self.id, *digits))
    }
}

impl FromStr for Token {
    type Err = Error;

    /// Reads what [`Token::expose`] gives. White space around it is ignored.
    fn from_str(text: &str) -> Result<Self, Error> {
        let text = text.trim().strip_prefix(PREFIX).ok_or(NO_TOKEN)?;
        let (id, secret_digits) = text.split_once('-').ok_or(NO_TOKEN)?;
        let mut secret = Zeroizing::new([0; SECRET_LEN]);
        decode(secret_digits, &mut *secret)?;
        Ok(Self { id: id.parse()?, secret })
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({}, ..)", self.id)
    }
}

const NO_TOKEN: Error =
    Error::Syntax("a token: pssst-token-, 16 hexadecimal digits, a hyphen and 64 hexadecimal digits");

fn decode(digits: &str, bytes: &mut [u8]) -> Result<(), Error> {
    let len = bytes.len();
    match base16ct::lower::decode(digits, bytes) {
        Ok(decoded) if decoded.len() == len => Ok(()),
        _ => Err(NO_TOKEN),
    }
}

/// Permissions of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "callers make it")]
pub struct TokenGrant {
    /// The client's name. With `None` the device proposes one.
    pub name: Option<String>,
    /// The client's labels.
    pub labels: Labels,
    /// Expiry of the token.
    pub expires: Timestamp,
    /// Expiry of the enrolled client, if there is one.
    pub client_expires: Option<Timestamp>,
}

/// A token as its store knows it: all but its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TokenInfo {
    /// Its name.
    pub id: TokenId,
    /// What it allows.
    pub grant: TokenGrant,
    /// When it was made.
    pub created: Timestamp,
    /// The actor that made it.
    pub created_by: String,
    /// Time of its use, and the key that it enrolled.
    pub used: Option<(Timestamp, PublicKey)>,
    /// Time at which an operator withdrew it.
    pub withdrawn: Option<Timestamp>,
}

/// Error of an enrolment.
#[derive(Debug)]
#[non_exhaustive]
pub enum EnrollError {
    /// No such token, or a wrong secret for its id.
    UnknownToken,
    /// The token has expired.
    TokenExpired,
    /// An operator took the token back.
    TokenWithdrawn,
    /// The token was used before, for another key, or for this one, which is no longer enrolled.
    TokenUsed,
    /// The device proposed no name although the token requires one, or another name than the
    /// token's.
    NameMismatch,
    /// The key, the name or the store.
    Store(Error),
}

impl fmt::Display for EnrollError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownToken => f.write_str("there is no such token"),
            Self::TokenExpired => f.write_str("the token has expired"),
            Self::TokenWithdrawn => f.write_str("the token was withdrawn"),
            Self::TokenUsed => f.write_str("the token was already used"),
            Self::NameMismatch => f.write_str("the token requires another name, or any name"),
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for EnrollError {}

impl From<Error> for EnrollError {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}
