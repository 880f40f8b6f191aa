//! One-time tokens that let a device enrol a key.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use pssst::{PublicKey, key_text};
use zeroize::Zeroizing;

use crate::{Error, Labels};

#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod stored;

/// Before the `1` and the checksummed part, in either case.
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
        match base16ct::lower::decode(text, &mut id) {
            Ok(decoded) if decoded.len() == ID_LEN => Ok(Self(id)),
            _ => Err(Error::Syntax("the name of a token: 16 hexadecimal digits")),
        }
    }
}

/// A token: its holder can enrol one key. It is text with a prefix that scanners for secrets find,
/// and a checksum: `PSSST-TOKEN-1…`, Bech32m (BIP 350) of the id and of a secret of 32 bytes.
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
        let mut bytes = Zeroizing::new([0; ID_LEN + SECRET_LEN]);
        let (id, secret) = bytes.split_at_mut(ID_LEN);
        id.copy_from_slice(&self.id.0);
        secret.copy_from_slice(&*self.secret);
        key_text::encode_secret(PREFIX, &*bytes)
    }
}

impl FromStr for Token {
    type Err = Error;

    /// Reads what [`Token::expose`] gives, in capital or small letters. White space around it is
    /// ignored.
    fn from_str(text: &str) -> Result<Self, Error> {
        let mut bytes = Zeroizing::new([0; ID_LEN + SECRET_LEN]);
        key_text::decode(text, PREFIX, &mut *bytes).map_err(|error| match error {
            pssst::Error::KeyChecksum if is_meant_as_token(text) => {
                Error::Syntax("a token whose checksum fits: a character is wrong or missing")
            }
            _ => Error::Syntax("a token: PSSST-TOKEN-1 and 70 letters and digits"),
        })?;
        let (mut id, mut secret) = ([0; ID_LEN], Zeroizing::new([0; SECRET_LEN]));
        id.copy_from_slice(&bytes[..ID_LEN]);
        secret.copy_from_slice(&bytes[ID_LEN..]);
        Ok(Self { id: TokenId(id), secret })
    }
}

fn is_meant_as_token(text: &str) -> bool {
    text.trim_start().get(..PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX))
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({}, ..)", self.id)
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
