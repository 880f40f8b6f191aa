//! The cipher suites: their numbers, lengths, and AEAD (specification, sections 2, 4 and 5).
//!
//! Every suite's AEAD is one `impl CipherSuite`. A packet's suite is matched once for each
//! operation on it; behind the match everything is monomorphic. How a key is agreed on is in
//! `agreement.rs`.

use core::fmt;

use aes_gcm::aead::AeadInOut;
use aes_gcm::aead::consts::{U12, U16};
use zeroize::Zeroizing;

use crate::packet::{
    CIPHERTEXT_LEN, CLAIM_LEN, EXCHANGE_VALUE_LEN, FRESH_VALUE_LEN, HEADER_LEN, Header, PROOF_LEN, TAG_LEN,
    TRANSACTION_ID_LEN,
};
use crate::{Error, Refusal};

pub(crate) mod first;
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

    /// Encrypts in place and returns the tag.
    pub(crate) fn seal(
        self,
        secret: &TransactionSecret,
        direction: Direction<'_>,
        header: Header,
        body: &mut [u8],
    ) -> Result<[u8; TAG_LEN], Error> {
        match self {
            Self::X25519AesGcm128 => seal::<first::Aes128Gcm>(secret, direction, header, body),
            _ => seal::<second::Aes256GcmSiv>(secret, direction, header, body),
        }
    }

    /// Decrypts in place. A body that is refused is left as it was, so that another key can be
    /// tried. [R-27]
    pub(crate) fn open(
        self,
        secret: &TransactionSecret,
        direction: Direction<'_>,
        header: Header,
        body: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> Result<(), Refusal> {
        #[cfg(test)]
        crate::work::add(|work| work.openings += 1);
        match self {
            Self::X25519AesGcm128 => open::<first::Aes128Gcm>(secret, direction, header, body, tag),
            _ => open::<second::Aes256GcmSiv>(secret, direction, header, body, tag),
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

/// Which of a transaction's two messages, and what binds a reply to its request: each has its own
/// nonce [R-13] [R-16] and additional data [R-14] [R-43].
#[derive(Clone, Copy)]
pub(crate) enum Direction<'a> {
    Request,
    Reply {
        exchange_value: &'a [u8; EXCHANGE_VALUE_LEN],
        fresh_value: Option<&'a [u8; 32]>,
        request_tag: &'a [u8; TAG_LEN],
    },
}

/// D: what a transaction's keys are made of. Anyone who has it reads both messages, but for a fresh
/// reply, and can make others. [R-32]
pub(crate) struct TransactionSecret(pub(crate) Zeroizing<[u8; 32]>);

trait CipherSuite {
    type Aead: AeadInOut<NonceSize = U12, TagSize = U16>;

    fn aead(secret: &[u8; 32]) -> Self::Aead;

    fn nonce(secret: &[u8; 32], direction: Direction<'_>) -> [u8; 12];

    fn additional_data(header: Header, direction: Direction<'_>) -> AdditionalData;
}

/// The bytes that a packet's tag covers beside its body.
struct AdditionalData {
    bytes: [u8; Self::MAX_LEN],
    len: usize,
}

impl AdditionalData {
    const MAX_LEN: usize = HEADER_LEN + TRANSACTION_ID_LEN + FRESH_VALUE_LEN + TAG_LEN;

    /// Every packet's tag covers its header as it was received.
    const fn new(header: Header) -> Self {
        let [a, b, c, d] = header.to_bytes();
        let mut bytes = [0; Self::MAX_LEN];
        (bytes[0], bytes[1], bytes[2], bytes[3]) = (a, b, c, d);
        Self { bytes, len: HEADER_LEN }
    }

    /// There is room for everything that a suite covers.
    fn push(&mut self, part: &[u8]) {
        let end = self.len + part.len();
        if let Some(place) = self.bytes.get_mut(self.len..end) {
            place.copy_from_slice(part);
            self.len = end;
        }
    }

    fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

fn seal<C: CipherSuite>(
    secret: &TransactionSecret,
    direction: Direction<'_>,
    header: Header,
    body: &mut [u8],
) -> Result<[u8; TAG_LEN], Error> {
    let needed = body.len();
    let nonce = C::nonce(&secret.0, direction).into();
    let additional_data = C::additional_data(header, direction);
    let tag = C::aead(&secret.0).encrypt_inout_detached(&nonce, additional_data.as_bytes(), body.into());
    // Only a message beyond 64 GiB fails, which no datagram holds.
    tag.map(Into::into).map_err(|_| Error::BufferTooSmall { needed })
}

fn open<C: CipherSuite>(
    secret: &TransactionSecret,
    direction: Direction<'_>,
    header: Header,
    body: &mut [u8],
    tag: &[u8; TAG_LEN],
) -> Result<(), Refusal> {
    let nonce = C::nonce(&secret.0, direction).into();
    let additional_data = C::additional_data(header, direction);
    C::aead(&secret.0)
        .decrypt_inout_detached(&nonce, additional_data.as_bytes(), body.into(), tag.into())
        .map_err(|_| Refusal::DecryptFailed)
}
