//! The cipher suites: their numbers and lengths (specification, section 2). How a key is agreed on
//! is in `agreement.rs`, what is made of it in `first.rs` and `second.rs`.

use core::fmt;

use crate::Refusal;
use crate::packet::lengths::{
    CIPHERTEXT_LEN, CLAIM_LEN, EXCHANGE_VALUE_LEN, FRESH_VALUE_LEN, HEADER_LEN, PROOF_LEN, TAG_LEN, TRANSACTION_ID_LEN,
};

pub(crate) mod aead;
pub(crate) mod first;
mod sealing;
pub(crate) mod second;

/// A cipher suite: key agreement, key derivation and AEAD.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Suite {
    /// 0x0001, `X25519_AESGCM128`: what other implementations of PSSST speak, and only they need.
    ///
    /// Two *different* answers to one request, sealed under this suite, let anyone who sees both
    /// forge a third. The [crate's documentation](crate#one-request-one-answer) explains it; a
    /// handler must avoid it.
    X25519AesGcm128,
    /// 0xf002, `X25519_AES256GCMSIV`: this implementation's own, and the default: lighter, without
    /// that flaw, and with every option.
    #[default]
    X25519Aes256GcmSiv,
    /// 0xf003, `XWING_AES256GCMSIV`: as 0xf002, with X-Wing in place of X25519, so that what is
    /// recorded stays closed to a quantum computer. It takes 1,088 bytes more a request, the
    /// feature `pq`, and a server key of its own.
    XWingAes256GcmSiv,
    /// 0xf0e1, `X25519_AES256GCMSIV_ENROLMENT`: 0xf002 under another number, for what travels
    /// inside HTTPS. Servers accept it only where it is switched on, so no packet of one channel
    /// means anything on the other. [R-50]
    X25519Aes256GcmSivEnrollment,
}

impl Suite {
    /// Every suite, in the order of their numbers.
    pub const ALL: [Self; 4] =
        [Self::X25519AesGcm128, Self::X25519Aes256GcmSiv, Self::XWingAes256GcmSiv, Self::X25519Aes256GcmSivEnrollment];

    /// Returns the number in the packet's header. [R-04]
    pub const fn number(self) -> u16 {
        match self {
            Self::X25519AesGcm128 => 0x0001,
            Self::X25519Aes256GcmSiv => 0xf002,
            Self::XWingAes256GcmSiv => 0xf003,
            Self::X25519Aes256GcmSivEnrollment => 0xf0e1,
        }
    }

    /// Returns the suite with this number.
    ///
    /// # Errors
    /// [`Refusal::UnsupportedSuite`] for any other number, 0 among them. [R-04]
    pub const fn from_number(number: u16) -> Result<Self, Refusal> {
        match number {
            0x0001 => Ok(Self::X25519AesGcm128),
            0xf002 => Ok(Self::X25519Aes256GcmSiv),
            0xf003 => Ok(Self::XWingAes256GcmSiv),
            0xf0e1 => Ok(Self::X25519Aes256GcmSivEnrollment),
            suite => Err(Refusal::UnsupportedSuite { suite }),
        }
    }

    /// Returns the name in the specification.
    pub const fn name(self) -> &'static str {
        match self {
            Self::X25519AesGcm128 => "X25519_AESGCM128",
            Self::X25519Aes256GcmSiv => "X25519_AES256GCMSIV",
            Self::XWingAes256GcmSiv => "XWING_AES256GCMSIV",
            Self::X25519Aes256GcmSivEnrollment => "X25519_AES256GCMSIV_ENROLMENT",
        }
    }

    /// Returns the overhead of a request in bytes: what its packet has beside message and padding.
    /// [R-01]
    ///
    /// | suite | anonymous | authenticated |
    /// |---|---|---|
    /// | 0x0001 | 52 | 116 |
    /// | 0xf002, 0xf0e1 | 52 | 92 |
    /// | 0xf003 | 1,140 | 1,180 |
    pub const fn request_overhead(self, is_authenticated: bool) -> usize {
        let ciphertext = if self.has_ciphertext() { CIPHERTEXT_LEN } else { 0 };
        let identity = match (is_authenticated, self.has_claim()) {
            (false, _) => 0,
            (true, false) => PROOF_LEN,
            (true, true) => CLAIM_LEN,
        };
        HEADER_LEN + EXCHANGE_VALUE_LEN + ciphertext + identity + TAG_LEN
    }

    /// Returns the overhead of a reply in bytes: what its packet has beside message and padding.
    /// [R-01]
    ///
    /// It is 52 under suite 1, and 28 under the others, or 60 where the reply is fresh.
    pub const fn reply_overhead(self, is_fresh: bool) -> usize {
        let fresh = if is_fresh && self.has_claim() { FRESH_VALUE_LEN } else { 0 };
        HEADER_LEN + self.repeated_exchange_value_len() + fresh + TAG_LEN
    }

    /// Returns whether two different answers to one request are harmless. [R-16] [R-31]
    pub const fn allows_different_answers(self) -> bool {
        !matches!(self, Self::X25519AesGcm128)
    }

    pub(crate) const fn has_ciphertext(self) -> bool {
        matches!(self, Self::XWingAes256GcmSiv)
    }

    /// Whether authenticated requests have M and t before the body, as all but suite 1 do.
    pub(crate) const fn has_claim(self) -> bool {
        !matches!(self, Self::X25519AesGcm128)
    }

    /// Length in bytes of the part of X that a reply repeats. [R-38]
    pub(crate) const fn repeated_exchange_value_len(self) -> usize {
        match self {
            Self::X25519AesGcm128 => EXCHANGE_VALUE_LEN,
            _ => TRANSACTION_ID_LEN,
        }
    }
}

impl TryFrom<u16> for Suite {
    type Error = Refusal;

    /// [`Suite::from_number`]
    fn try_from(number: u16) -> Result<Self, Refusal> {
        Self::from_number(number)
    }
}

/// Writes the name in the specification.
impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The suites that a server accepts.
///
/// ```
/// use pssst::{Suite, SuiteSet};
///
/// assert!(SuiteSet::DATAGRAM.contains(Suite::X25519AesGcm128));
/// let only_ours = SuiteSet::from_iter([Suite::X25519Aes256GcmSiv]);
/// assert!(!only_ours.contains(Suite::X25519AesGcm128));
/// assert!(only_ours.iter().eq([Suite::X25519Aes256GcmSiv]));
/// assert_eq!(Suite::try_from(0xf002), Ok(Suite::X25519Aes256GcmSiv));
/// assert_eq!(Suite::default().to_string(), "X25519_AES256GCMSIV");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SuiteSet(u8);

impl SuiteSet {
    /// The suites of datagrams: every suite but that of enrolment. The default of a server.
    pub const DATAGRAM: Self = Self(0b0111);

    /// Returns the suites of the set, in the order of their numbers.
    pub fn iter(self) -> impl Iterator<Item = Suite> {
        Suite::ALL.into_iter().filter(move |suite| self.contains(*suite))
    }

    /// Returns whether the suite is in the set.
    pub const fn contains(self, suite: Suite) -> bool {
        self.0 & Self::bit(suite) != 0
    }

    /// Returns the set without a suite.
    #[must_use]
    pub const fn without(self, suite: Suite) -> Self {
        Self(self.0 & !Self::bit(suite))
    }

    const fn bit(suite: Suite) -> u8 {
        1 << suite as u8
    }
}

impl fmt::Debug for SuiteSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl FromIterator<Suite> for SuiteSet {
    fn from_iter<I: IntoIterator<Item = Suite>>(suites: I) -> Self {
        Self(suites.into_iter().fold(0, |bits, suite| bits | Self::bit(suite)))
    }
}
