//! A server's keys of any kind.

use core::fmt;
use core::str::FromStr;

use crate::agreement::key_hash;
use crate::{Error, Fingerprint, PublicKey, Refusal, SecretKey, Suite};
#[cfg(feature = "pq")]
use crate::{XWingPublicKey, XWingSecretKey};

/// A server's public key, of the kind that its suites need.
///
/// `Display` writes `pssst1…` for X25519, and 2,432 hexadecimal digits for X-Wing; `FromStr` reads
/// hexadecimal digits for both.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
#[cfg_attr(feature = "pq", expect(clippy::large_enum_variant, reason = "there may be no allocator"))]
pub enum ServerKey {
    /// For suites 0x0001, 0xf002 and 0xf0e1.
    X25519(PublicKey),
    /// For suite 0xf003.
    #[cfg(feature = "pq")]
    XWing(XWingPublicKey),
}

impl ServerKey {
    /// Takes a key from its bytes: 32 for X25519, 1,216 for X-Wing.
    ///
    /// # Errors
    /// [`Error::InvalidKey`] for any other length.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, Error> {
        #[cfg(feature = "pq")]
        if let Ok(key) = XWingPublicKey::try_from(bytes) {
            return Ok(Self::XWing(key));
        }
        PublicKey::try_from(bytes).map(Self::X25519)
    }

    /// Returns the key's bytes.
    pub const fn as_bytes(&self) -> &[u8] {
        match self {
            Self::X25519(key) => key.as_bytes(),
            #[cfg(feature = "pq")]
            Self::XWing(key) => key.as_bytes(),
        }
    }

    /// Returns P, the SHA-256 of the key's bytes, 32 bytes: as good as the key to tell it from
    /// others.
    pub fn hash(&self) -> [u8; 32] {
        key_hash(self.as_bytes())
    }

    /// Returns the key's fingerprint, for people who compare keys.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of_key(self.as_bytes())
    }

    /// Returns what people tell the key from others by: the whole X25519 key, or the hash of an
    /// X-Wing key, which is too long to read.
    pub fn label(&self) -> impl fmt::Display {
        struct Label(ServerKey);

        impl fmt::Display for Label {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match &self.0 {
                    ServerKey::X25519(key) => fmt::Display::fmt(key, f),
                    #[cfg(feature = "pq")]
                    ServerKey::XWing(key) => fmt::Display::fmt(&key.hash(), f),
                }
            }
        }

        Label(self.clone())
    }

    /// Returns the part of X25519, S.
    pub fn x25519_part(&self) -> PublicKey {
        match self {
            Self::X25519(key) => *key,
            #[cfg(feature = "pq")]
            Self::XWing(key) => key.x25519_part(),
        }
    }

    /// Returns the suite that a client of this key uses by default.
    pub const fn default_suite(&self) -> Suite {
        match self {
            Self::X25519(_) => Suite::X25519Aes256GcmSiv,
            #[cfg(feature = "pq")]
            Self::XWing(_) => Suite::XWingAes256GcmSiv,
        }
    }

    /// Returns whether the key is one for this suite.
    pub const fn has_suite(&self, suite: Suite) -> bool {
        match self {
            Self::X25519(_) => !suite.has_ciphertext(),
            #[cfg(feature = "pq")]
            Self::XWing(_) => suite.has_ciphertext(),
        }
    }

    /// Checks that a client may use the key, as [`Client::new`](crate::Client::new) does.
    ///
    /// # Errors
    /// [`Refusal::WeakKey`] for a key of low order, [`Error::InvalidKey`] for one that no secret
    /// key has.
    pub fn validate(&self) -> Result<(), Error> {
        match self {
            Self::X25519(key) => key.validate().map_err(|cause| match cause {
                Refusal::WeakKey => cause.into(),
                _ => Error::InvalidKey,
            }),
            #[cfg(feature = "pq")]
            Self::XWing(key) => key.validate(),
        }
    }
}

/// As the key itself.
impl fmt::Debug for ServerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::X25519(key) => fmt::Debug::fmt(key, f),
            #[cfg(feature = "pq")]
            Self::XWing(key) => fmt::Debug::fmt(key, f),
        }
    }
}

/// A server's secret key, of the kind that its suites need.
///
/// It is wiped when dropped, redacted by `Debug`, and compared in constant time.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServerSecretKey {
    /// For suites 0x0001, 0xf002 and 0xf0e1.
    X25519(SecretKey),
    /// For suite 0xf003.
    #[cfg(feature = "pq")]
    XWing(XWingSecretKey),
}

impl ServerSecretKey {
    /// Returns the public key. It costs a multiplication at least, so keep the result.
    pub fn public_key(&self) -> ServerKey {
        match self {
            Self::X25519(key) => key.public_key().into(),
            #[cfg(feature = "pq")]
            Self::XWing(key) => key.public_key().into(),
        }
    }
}

impl PartialEq<PublicKey> for ServerKey {
    fn eq(&self, other: &PublicKey) -> bool {
        *self == Self::X25519(*other)
    }
}

impl From<PublicKey> for ServerKey {
    fn from(key: PublicKey) -> Self {
        Self::X25519(key)
    }
}

#[cfg(feature = "pq")]
impl From<XWingPublicKey> for ServerKey {
    fn from(key: XWingPublicKey) -> Self {
        Self::XWing(key)
    }
}

impl FromStr for ServerKey {
    type Err = Error;

    /// Reads what `Display` writes, or hexadecimal digits of either case. White space around them
    /// is ignored.
    fn from_str(hex: &str) -> Result<Self, Error> {
        #[cfg(feature = "pq")]
        if hex.trim().len() == 2 * crate::XWING_PUBLIC_KEY_LEN {
            return hex.parse().map(Self::XWing);
        }
        hex.parse().map(Self::X25519)
    }
}

/// Writes hexadecimal digits: 64 for X25519, 2,432 for X-Wing.
impl fmt::LowerHex for ServerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::X25519(key) => fmt::LowerHex::fmt(key, f),
            #[cfg(feature = "pq")]
            Self::XWing(key) => fmt::Display::fmt(key, f),
        }
    }
}

impl fmt::Display for ServerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::X25519(key) => fmt::Display::fmt(key, f),
            #[cfg(feature = "pq")]
            Self::XWing(key) => fmt::Display::fmt(key, f),
        }
    }
}
