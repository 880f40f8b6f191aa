//! The cipher suites: key derivation and AEAD (specification, sections 4 and 5).
//!
//! Every suite is one `impl CipherSuite`. A packet's suite is matched once for each operation on
//! it; behind the match everything is monomorphic.

use core::fmt;

use aes::Aes128Enc;
use aes_gcm::aead::consts::{U12, U16};
use aes_gcm::{AesGcm, KeyInit, KeySizeUser, aead::AeadInOut};
use aes_gcm_siv::AesGcmSiv;
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, Zeroizing};

use crate::packet::{EXCHANGE_VALUE_LEN, Header, TAG_LEN};
use crate::{Error, Refusal};

/// A cipher suite: group, key derivation and AEAD.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Suite {
    /// 0x0001, `X25519_AESGCM128`: what every PSSST implementation speaks, and the default.
    ///
    /// Two *different* answers to one request, sealed under this suite, let anyone who sees both
    /// forge a third. The [crate's documentation](crate#one-request-one-answer) explains it; a
    /// handler must avoid it.
    #[default]
    X25519AesGcm128,
    /// 0xf001, `X25519_AES128GCMSIV`: this implementation's own, with the same sizes and without
    /// that flaw. To be preferred wherever the server is one of ours.
    X25519Aes128GcmSiv,
}

impl Suite {
    /// Every suite, in the order of their numbers.
    pub const ALL: [Self; 2] = [Self::X25519AesGcm128, Self::X25519Aes128GcmSiv];

    /// Returns the number in the packet's header. [R-04]
    pub const fn number(self) -> u16 {
        match self {
            Self::X25519AesGcm128 => 0x0001,
            Self::X25519Aes128GcmSiv => 0xf001,
        }
    }

    /// Returns the suite with this number.
    ///
    /// # Errors
    /// [`Refusal::UnsupportedSuite`] for any other number, 0 among them. [R-04]
    pub const fn from_number(number: u16) -> Result<Self, Refusal> {
        match number {
            0x0001 => Ok(Self::X25519AesGcm128),
            0xf001 => Ok(Self::X25519Aes128GcmSiv),
            suite => Err(Refusal::UnsupportedSuite { suite }),
        }
    }

    /// Returns the name in the specification.
    pub const fn name(self) -> &'static str {
        match self {
            Self::X25519AesGcm128 => "X25519_AESGCM128",
            Self::X25519Aes128GcmSiv => "X25519_AES128GCMSIV",
        }
    }

    /// D, from which a transaction's key and nonces are cut.
    pub(crate) fn derive(self, agreement: &Agreement<'_>) -> TransactionSecret {
        TransactionSecret(Zeroizing::new(match self {
            Self::X25519AesGcm128 => AesGcm128::derive(agreement),
            Self::X25519Aes128GcmSiv => Aes128GcmSiv::derive(agreement),
        }))
    }

    /// Encrypts in place and returns the tag.
    pub(crate) fn seal(
        self,
        secret: &TransactionSecret,
        direction: Direction,
        header: Header,
        body: &mut [u8],
    ) -> Result<[u8; TAG_LEN], Error> {
        match self {
            Self::X25519AesGcm128 => seal::<AesGcm128>(secret, direction, header, body),
            Self::X25519Aes128GcmSiv => seal::<Aes128GcmSiv>(secret, direction, header, body),
        }
    }

    /// Decrypts in place. A body that is refused is left as it was, so that another key can be
    /// tried. [R-27]
    pub(crate) fn open(
        self,
        secret: &TransactionSecret,
        direction: Direction,
        header: Header,
        body: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> Result<(), Refusal> {
        match self {
            Self::X25519AesGcm128 => open::<AesGcm128>(secret, direction, header, body, tag),
            Self::X25519Aes128GcmSiv => open::<Aes128GcmSiv>(secret, direction, header, body, tag),
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
/// assert!(SuiteSet::ALL.contains(Suite::X25519AesGcm128));
/// let only_ours = SuiteSet::from_iter([Suite::X25519Aes128GcmSiv]);
/// assert!(!only_ours.contains(Suite::X25519AesGcm128));
/// assert!(only_ours.iter().eq([Suite::X25519Aes128GcmSiv]));
/// assert_eq!(Suite::try_from(0xf001), Ok(Suite::X25519Aes128GcmSiv));
/// assert_eq!(Suite::default().to_string(), "X25519_AESGCM128");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SuiteSet(u8);

impl SuiteSet {
    /// Every suite of this implementation.
    pub const ALL: Self = Self(0b11);

    /// Returns the suites of the set, in the order of their numbers.
    pub fn iter(self) -> impl Iterator<Item = Suite> {
        Suite::ALL.into_iter().filter(move |suite| self.contains(*suite))
    }

    /// Returns whether the suite is in the set.
    pub const fn contains(self, suite: Suite) -> bool {
        self.0 & Self::bit(suite) != 0
    }

    const fn bit(suite: Suite) -> u8 {
        1 << suite as u8
    }
}

impl FromIterator<Suite> for SuiteSet {
    fn from_iter<I: IntoIterator<Item = Suite>>(suites: I) -> Self {
        Self(suites.into_iter().fold(0, |bits, suite| bits | Self::bit(suite)))
    }
}

/// Which of a transaction's two messages: each has its own nonce. [R-13]
#[derive(Clone, Copy)]
pub(crate) enum Direction {
    Request,
    Reply,
}

/// What both ends agree on, and hash.
pub(crate) struct Agreement<'a> {
    /// h
    pub(crate) request_header: Header,
    /// S
    pub(crate) server_key: &'a [u8; 32],
    /// X
    pub(crate) exchange_value: &'a [u8; EXCHANGE_VALUE_LEN],
    /// Z
    pub(crate) shared_value: &'a [u8; 32],
}

/// D: a transaction's key and nonces. Anyone who has it reads both messages and can make others.
/// [R-32]
pub(crate) struct TransactionSecret(Zeroizing<[u8; 32]>);

impl TransactionSecret {
    /// Returns the AEAD under `D[0..16]`. [R-13]
    fn aead<C: CipherSuite>(&self) -> C::Aead {
        let d: &[u8; 32] = &self.0;
        let mut key = [0; 16];
        key.copy_from_slice(&d[..16]);
        let aead = C::Aead::new((&key).into());
        key.zeroize();
        aead
    }

    /// `D[16..24] ‖ "RQST"` or `D[24..32] ‖ "RPLY"`. [R-13]
    fn nonce(&self, direction: Direction) -> [u8; 12] {
        let d: &[u8; 32] = &self.0;
        let (unique, label) = match direction {
            Direction::Request => (&d[16..24], b"RQST"),
            Direction::Reply => (&d[24..32], b"RPLY"),
        };
        let mut nonce = [0; 12];
        nonce[..8].copy_from_slice(unique);
        nonce[8..].copy_from_slice(label);
        nonce
    }
}

trait CipherSuite {
    type Aead: AeadInOut<NonceSize = U12, TagSize = U16> + KeyInit + KeySizeUser<KeySize = U16>;

    fn derive(agreement: &Agreement<'_>) -> [u8; 32];
}

/// Suite 0x0001 (specification, section 4). [R-14]
struct AesGcm128;

impl CipherSuite for AesGcm128 {
    type Aead = AesGcm<Aes128Enc, U12>;

    /// `D = SHA-256( X ‖ Z )` [R-12]
    fn derive(agreement: &Agreement<'_>) -> [u8; 32] {
        Sha256::new().chain_update(agreement.exchange_value).chain_update(agreement.shared_value).finalize().into()
    }
}

/// Suite 0xf001 (specification, section 5). [R-16]
struct Aes128GcmSiv;

impl CipherSuite for Aes128GcmSiv {
    type Aead = AesGcmSiv<Aes128Enc>;

    /// `D = SHA-256( h ‖ S ‖ X ‖ Z )` [R-15]
    fn derive(agreement: &Agreement<'_>) -> [u8; 32] {
        Sha256::new()
            .chain_update(agreement.request_header.to_bytes())
            .chain_update(agreement.server_key)
            .chain_update(agreement.exchange_value)
            .chain_update(agreement.shared_value)
            .finalize()
            .into()
    }
}

/// The additional data is the packet's own header, which for a reply differs from the request's.
/// [R-14] [R-16]
fn seal<C: CipherSuite>(
    secret: &TransactionSecret,
    direction: Direction,
    header: Header,
    body: &mut [u8],
) -> Result<[u8; TAG_LEN], Error> {
    let needed = body.len();
    let nonce = secret.nonce(direction).into();
    let tag = secret.aead::<C>().encrypt_inout_detached(&nonce, &header.to_bytes(), body.into());
    // Only a message beyond 64 GiB fails, which no datagram holds.
    tag.map(Into::into).map_err(|_| Error::BufferTooSmall { needed })
}

fn open<C: CipherSuite>(
    secret: &TransactionSecret,
    direction: Direction,
    header: Header,
    body: &mut [u8],
    tag: &[u8; TAG_LEN],
) -> Result<(), Refusal> {
    let nonce = secret.nonce(direction).into();
    secret
        .aead::<C>()
        .decrypt_inout_detached(&nonce, &header.to_bytes(), body.into(), tag.into())
        .map_err(|_| Refusal::DecryptFailed)
}
