//! X-Wing: the keys of suite 0xf003, and its combiner (draft-connolly-cfrg-xwing-kem).

use core::fmt;
use core::str::FromStr;

use rand_core::TryCryptoRng;
use sha3::{Digest, Sha3_256};
use shake::{ExtendableOutput, Shake256, Update};
use subtle::{Choice, ConstantTimeEq};
use x25519_batch::Product;
use zeroize::{ZeroizeOnDrop, Zeroizing};

use crate::agreement::{KeyAgreement, key_hash};
use crate::kem::{DecapsulationKey, ENCAPSULATION_KEY_LEN, EncapsulationKey};
use crate::key::{KEY_LEN, decode_hex};
use crate::packet::{CIPHERTEXT_LEN, EXCHANGE_VALUE_LEN};
use crate::psk::secret_bytes;
use crate::suite::second::decoy;
use crate::{Error, PublicKey, Refusal, SecretKey, XWingKeyHash, key_text};

/// Length of an X-Wing public key in bytes: that of ML-KEM-768, then that of X25519.
pub const XWING_PUBLIC_KEY_LEN: usize = ENCAPSULATION_KEY_LEN + KEY_LEN;

/// The draft's label, which ends the combiner's input.
const LABEL: &[u8; 6] = br"\.//^\";

/// A server's secret X-Wing key: a seed of 32 bytes, from which both of its parts are expanded.
///
/// It is wiped when dropped, redacted by `Debug`, and compared in constant time. [R-32]
///
/// ```
/// use pssst::{Client, Keyring, SecretKey, Server, Suite, SysRng, XWingSecretKey};
///
/// let secret = XWingSecretKey::generate(&mut SysRng)?;
/// let client = Client::new(secret.public_key())?;
/// assert_eq!(client.suite(), Suite::XWingAes256GcmSiv);
///
/// let keyring = Keyring::new(SecretKey::generate(&mut SysRng)?).with_xwing_key(&secret)?;
/// let server = Server::new(keyring);
/// let (mut packet, _) = client.seal_request_to_vec(&mut SysRng, b"ping")?;
/// // Padded, so that all requests look alike.
/// assert_eq!(packet.len(), 1232);
/// assert_eq!(server.open_request(&mut packet)?.message(), b"ping");
/// # Ok::<(), pssst::Error>(())
/// ```
#[derive(Clone)]
pub struct XWingSecretKey(Zeroizing<[u8; KEY_LEN]>);

secret_bytes!(XWingSecretKey, "XWingSecretKey(..)");

impl XWingSecretKey {
    /// Reads `pssst-pq-secret-key-1…`, in small or capital letters. White space around it is
    /// ignored.
    ///
    /// # Errors
    /// [`Error::KeyChecksum`] when the checksum does not fit; [`Error::InvalidKey`] for anything
    /// else.
    pub fn from_bech32(text: &str) -> Result<Self, Error> {
        let mut seed = Zeroizing::new([0; KEY_LEN]);
        key_text::decode(text, key_text::XWING_SECRET_KEY, &mut *seed)?;
        Ok(Self(seed))
    }

    /// Returns the seed as text with a prefix that scanners for secrets find, and a checksum:
    /// `PSSST-PQ-SECRET-KEY-1…`, Bech32m (BIP 350).
    #[cfg(feature = "alloc")]
    pub fn expose_bech32(&self) -> Zeroizing<alloc::string::String> {
        key_text::encode_secret(key_text::XWING_SECRET_KEY, self.expose_bytes())
    }

    /// Returns the public key. It expands the seed, so keep the result.
    pub fn public_key(&self) -> XWingPublicKey {
        XWingKey::new(self).public
    }

    /// Returns X25519's part of the key, s, to compute what the server shares with its clients:
    /// `x25519(s, C)`. [R-40]
    pub fn x25519_part(&self) -> SecretKey {
        self.expand().1
    }

    /// `SHAKE256(seed, 96) = d ‖ z ‖ s` [R-45]
    fn expand(&self) -> (Zeroizing<[u8; 64]>, SecretKey) {
        let mut expanded = Zeroizing::new([0; 96]);
        let mut hash = Shake256::default();
        hash.update(self.expose_bytes());
        hash.finalize_xof_into(&mut *expanded);
        let (mut d_z, mut s) = (Zeroizing::new([0; 64]), Zeroizing::new([0; KEY_LEN]));
        let (d_z_part, s_part) = expanded.split_at(64);
        d_z.copy_from_slice(d_z_part);
        s.copy_from_slice(s_part);
        (d_z, SecretKey::from_wiped(s))
    }
}

/// A server's public X-Wing key: an encapsulation key of ML-KEM-768, then an X25519 key S of its
/// own, together 1,216 bytes.
///
/// It can have any bytes; [`XWingPublicKey::validate`] checks them. `Display` and `FromStr` use
/// 2,432 hexadecimal digits.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct XWingPublicKey([u8; XWING_PUBLIC_KEY_LEN]);

impl XWingPublicKey {
    /// Takes a key from its bytes.
    pub const fn from_bytes(bytes: [u8; XWING_PUBLIC_KEY_LEN]) -> Self {
        Self(bytes)
    }

    /// Returns the key's bytes.
    pub const fn as_bytes(&self) -> &[u8; XWING_PUBLIC_KEY_LEN] {
        &self.0
    }

    /// Returns P, the hash that stands for the key where it is too long.
    pub fn hash(&self) -> XWingKeyHash {
        XWingKeyHash::from_bytes(key_hash(&self.0))
    }

    /// Returns the part of X25519, S.
    pub fn x25519_part(&self) -> PublicKey {
        PublicKey::from_bytes(*self.0.last_chunk().unwrap_or(&[0; KEY_LEN]))
    }

    /// Checks that a client may use the key. [R-35]
    ///
    /// # Errors
    /// [`Refusal::WeakKey`] when S has low order; [`Error::InvalidKey`] when S is not the canonical
    /// encoding of a point of the prime-order subgroup, or a coefficient of the encapsulation key
    /// is not below 3329.
    pub fn validate(&self) -> Result<(), Error> {
        self.encapsulation_key().map(drop)
    }

    pub(crate) fn encapsulation_key(&self) -> Result<EncapsulationKey, Error> {
        let (encoded, _) = self.0.split_first_chunk().ok_or(Error::InvalidKey)?;
        let key = EncapsulationKey::from_bytes(encoded)?;
        match self.x25519_part().validate() {
            Ok(()) => Ok(key),
            Err(Refusal::WeakKey) => Err(Refusal::WeakKey.into()),
            Err(_) => Err(Error::InvalidKey),
        }
    }
}

impl TryFrom<&[u8]> for XWingPublicKey {
    type Error = Error;

    /// # Errors
    /// [`Error::InvalidKey`] for any other length than [`XWING_PUBLIC_KEY_LEN`].
    fn try_from(bytes: &[u8]) -> Result<Self, Error> {
        bytes.try_into().map(Self).map_err(|_| Error::InvalidKey)
    }
}

impl FromStr for XWingPublicKey {
    type Err = Error;

    /// Reads 2,432 hexadecimal digits of either case. White space around them is ignored.
    fn from_str(hex: &str) -> Result<Self, Error> {
        let mut key = Self([0; XWING_PUBLIC_KEY_LEN]);
        decode_hex(hex, &mut key.0)?;
        Ok(key)
    }
}

impl fmt::Display for XWingPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits = [0; 2 * XWING_PUBLIC_KEY_LEN];
        f.write_str(base16ct::lower::encode_str(&self.0, &mut digits).map_err(|_| fmt::Error)?)
    }
}

/// Shows the front of the key.
impl fmt::Debug for XWingPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits = [0; 32];
        let front = base16ct::lower::encode_str(&self.0[..16], &mut digits).map_err(|_| fmt::Error)?;
        write!(f, "XWingPublicKey({front}..)")
    }
}

/// A secret key, expanded once, with its public key.
#[derive(Clone)]
pub(crate) struct XWingKey {
    x25519: SecretKey,
    kem: DecapsulationKey,
    pub(crate) public: XWingPublicKey,
    key_hash: [u8; 32],
    decoy: Zeroizing<[u8; 32]>,
}

impl XWingKey {
    pub(crate) fn new(secret: &XWingSecretKey) -> Self {
        let (d_z, x25519) = secret.expand();
        let kem = DecapsulationKey::from_seed(&d_z);
        let mut public = [0; XWING_PUBLIC_KEY_LEN];
        public[..ENCAPSULATION_KEY_LEN].copy_from_slice(&kem.encapsulation_key());
        public[ENCAPSULATION_KEY_LEN..].copy_from_slice(x25519.public_key().as_bytes());
        let decoy = decoy(x25519.expose_bytes());
        Self { x25519, kem, key_hash: key_hash(&public), decoy, public: XWingPublicKey(public) }
    }
}

impl KeyAgreement for XWingKey {
    fn scalar(&self) -> &[u8; 32] {
        self.x25519.expose_bytes()
    }

    fn key_hash(&self) -> &[u8; 32] {
        &self.key_hash
    }

    fn decoy(&self) -> &[u8; 32] {
        &self.decoy
    }

    /// A ciphertext that was not made for this key gives a secret that nobody knows: there is one
    /// path. [R-45]
    fn agree(
        &self,
        zx: &Product,
        exchange_value: &[u8; EXCHANGE_VALUE_LEN],
        ciphertext: Option<&[u8; CIPHERTEXT_LEN]>,
    ) -> Zeroizing<[u8; 32]> {
        #[cfg(test)]
        crate::work::add(|work| work.decapsulations += 1);
        let secret = self.kem.decapsulate(ciphertext.unwrap_or(&[0; CIPHERTEXT_LEN]));
        combine(&secret, zx, exchange_value, &self.public.x25519_part())
    }
}

/// `k = SHA3-256( ss ‖ Zx ‖ X ‖ S ‖ label )` [R-45]
pub(crate) fn combine(
    kem_secret: &[u8; 32],
    zx: &Product,
    exchange_value: &[u8; EXCHANGE_VALUE_LEN],
    server_key: &PublicKey,
) -> Zeroizing<[u8; 32]> {
    let hash = Sha3_256::new()
        .chain_update(kem_secret)
        .chain_update(zx.as_bytes())
        .chain_update(exchange_value)
        .chain_update(server_key.as_bytes())
        .chain_update(LABEL);
    let mut agreed = Zeroizing::new([0; 32]);
    hash.finalize_into((&mut *agreed).into());
    agreed
}
