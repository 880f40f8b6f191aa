//! Secret and public keys, and their hexadecimal form. The PEM form is in `pem.rs`.

use core::fmt;
use core::str::FromStr;

use rand_core::TryCryptoRng;
use subtle::{Choice, ConstantTimeEq};
use x25519_batch::{PointClass, Product, X25519};
use zeroize::{ZeroizeOnDrop, Zeroizing};

use crate::{Error, Fingerprint, Refusal, key_text};

/// Length of a secret key and of a public key, in bytes.
pub const KEY_LEN: usize = 32;

/// A secret X25519 key of a server or a client: 32 bytes. Any value is a key.
///
/// It is wiped when dropped, redacted by `Debug`, and compared in constant time. [R-32]
///
/// ```
/// use pssst::{SecretKey, SysRng};
///
/// let secret = SecretKey::generate(&mut SysRng)?;
/// println!("give this to the other side: {}", secret.public_key());
/// assert_eq!(format!("{secret:?}"), "SecretKey(..)");
/// # Ok::<(), pssst::Error>(())
/// ```
#[derive(Clone)]
pub struct SecretKey(Zeroizing<[u8; KEY_LEN]>);

impl SecretKey {
    /// Generates a key. With `std`, [`SysRng`](crate::SysRng) is the operating system's generator.
    ///
    /// # Errors
    /// [`Error::RandomnessUnavailable`] when the generator fails.
    pub fn generate<R: TryCryptoRng + ?Sized>(rng: &mut R) -> Result<Self, Error> {
        let mut key = Zeroizing::new([0; KEY_LEN]);
        fill(rng, &mut key)?;
        Ok(Self(key))
    }

    /// Takes a key from its bytes. They are stored unchanged, and clamped on use (RFC 7748, section
    /// 5).
    ///
    /// Wipe your own copy of the bytes.
    pub fn from_bytes(bytes: [u8; KEY_LEN]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Takes a key from bytes that are wiped already.
    pub(crate) fn from_wiped(bytes: Zeroizing<[u8; KEY_LEN]>) -> Self {
        Self(bytes)
    }

    /// Reads 64 hexadecimal digits of either case, in constant time. White space around them is
    /// ignored.
    ///
    /// # Errors
    /// [`Error::InvalidKey`] for anything else.
    pub fn from_hex(hex: &str) -> Result<Self, Error> {
        let mut key = Zeroizing::new([0; KEY_LEN]);
        decode_hex(hex, &mut *key)?;
        Ok(Self(key))
    }

    /// Reads `pssst-secret-key-1…`, in small or capital letters. White space around it is ignored.
    ///
    /// # Errors
    /// [`Error::KeyChecksum`] when the checksum does not fit; [`Error::InvalidKey`] for anything
    /// else.
    pub fn from_bech32(text: &str) -> Result<Self, Error> {
        let mut key = Zeroizing::new([0; KEY_LEN]);
        key_text::decode(text, key_text::SECRET_KEY, &mut *key)?;
        Ok(Self(key))
    }

    /// Returns the secret bytes, for storage.
    pub fn expose_bytes(&self) -> &[u8; KEY_LEN] {
        &self.0
    }

    /// Returns the secret as text with a prefix that scanners for secrets find, and a checksum:
    /// `PSSST-SECRET-KEY-1…`, Bech32m (BIP 350).
    #[cfg(feature = "alloc")]
    pub fn expose_bech32(&self) -> Zeroizing<alloc::string::String> {
        key_text::encode_secret(key_text::SECRET_KEY, self.expose_bytes())
    }

    /// Returns the secret as 64 hexadecimal digits, for storage.
    #[cfg(feature = "alloc")]
    pub fn expose_hex(&self) -> Zeroizing<alloc::string::String> {
        Zeroizing::new(base16ct::lower::encode_string(self.expose_bytes()))
    }

    /// Returns the public key that belongs to this secret key, `x25519(key, 9)`. It costs a
    /// multiplication, so keep the result.
    pub fn public_key(&self) -> PublicKey {
        PublicKey(X25519::new().multiply_base(&self.0))
    }
}

impl SecretKey {
    /// Returns `Z2 = x25519(c, S)`, which a client that holds it instead of c needs
    /// ([`Client::from_precomputed`](crate::Client::from_precomputed)); the server gets the same
    /// from its secret key and the client's public one. [R-40]
    ///
    /// # Errors
    /// [`Refusal::WeakKey`] for a public key of low order.
    pub fn shared_secret(&self, public_key: &PublicKey) -> Result<Product, Refusal> {
        let product = X25519::new().multiply(self.expose_bytes(), public_key.as_bytes());
        if product.is_zero().into() { Err(Refusal::WeakKey) } else { Ok(product) }
    }
}

impl ZeroizeOnDrop for SecretKey {}

impl ConstantTimeEq for SecretKey {
    fn ct_eq(&self, other: &Self) -> Choice {
        self.expose_bytes().ct_eq(other.expose_bytes())
    }
}

impl PartialEq for SecretKey {
    fn eq(&self, other: &Self) -> bool {
        self.ct_eq(other).into()
    }
}

impl Eq for SecretKey {}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(..)")
    }
}

/// A public X25519 key of a server or a client: a 32-byte u-coordinate.
///
/// It can have any 32 bytes, as on the wire; [`PublicKey::validate`] checks whether they are the
/// canonical form of a valid key. `Display` writes `pssst1…`, with a checksum; `{:x}` writes 64
/// hexadecimal digits, as other implementations have them. `FromStr` reads both.
///
/// ```
/// use pssst::PublicKey;
///
/// let key: PublicKey = "DD2991B0A65A9962FFAAE24516308F514901B6B186B6AC6FFA48CDEA5D55C317".parse()?;
/// assert_eq!(key.to_string(), "pssst1m55erv9xt2vk9la2ufz3vvy029ysrd43s6m2cml6frx75h24cvts62d5ww");
/// assert_eq!(format!("{key:x}"), "dd2991b0a65a9962ffaae24516308f514901b6b186b6ac6ffa48cdea5d55c317");
/// key.validate()?;
/// # Ok::<(), pssst::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey([u8; KEY_LEN]);

impl PublicKey {
    /// Takes a key from its bytes.
    pub const fn from_bytes(bytes: [u8; KEY_LEN]) -> Self {
        Self(bytes)
    }

    /// Returns the key's bytes.
    pub const fn as_bytes(&self) -> &[u8; KEY_LEN] {
        &self.0
    }

    /// Returns the key's fingerprint, for people who compare keys.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of_key(&self.0)
    }

    /// Checks that these bytes are the canonical encoding of a point of the prime-order subgroup,
    /// as every key made from a secret key is. [R-20]
    ///
    /// Do not enrol a client key that fails this check: seven other points, and further encodings
    /// of each, pass the proof of the same secret key. It costs two thirds of an X25519.
    ///
    /// # Errors
    /// [`Refusal::WeakKey`] for the points of order 1, 2, 4 and 8, on the curve or its twist, in
    /// any encoding: anyone can compute their shared secret. [`Refusal::ClientKeyAlias`] for
    /// another encoding of a point, a point outside the prime-order subgroup, and coordinates on
    /// the curve's twist.
    pub fn validate(&self) -> Result<(), Refusal> {
        match X25519::new().classify(&self.0) {
            PointClass::PrimeOrder => Ok(()),
            PointClass::LowOrder => Err(Refusal::WeakKey),
            _ => Err(Refusal::ClientKeyAlias),
        }
    }
}

impl From<[u8; KEY_LEN]> for PublicKey {
    fn from(bytes: [u8; KEY_LEN]) -> Self {
        Self(bytes)
    }
}

impl TryFrom<&[u8]> for PublicKey {
    type Error = Error;

    /// # Errors
    /// [`Error::InvalidKey`] for any other length than 32 bytes.
    fn try_from(bytes: &[u8]) -> Result<Self, Error> {
        bytes.try_into().map(Self).map_err(|_| Error::InvalidKey)
    }
}

impl AsRef<[u8]> for PublicKey {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl FromStr for PublicKey {
    type Err = Error;

    /// Reads what `Display` writes, all of it in small or in capital letters, or 64 hexadecimal
    /// digits. White space around it is ignored.
    fn from_str(text: &str) -> Result<Self, Error> {
        let mut key = Self([0; KEY_LEN]);
        if key_text::has_prefix(text, key_text::PUBLIC_KEY) {
            key_text::decode(text, key_text::PUBLIC_KEY, &mut key.0)?;
        } else {
            decode_hex(text, &mut key.0)?;
        }
        Ok(key)
    }
}

/// Writes `pssst1…`, Bech32m (BIP 350).
impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        key_text::encode(key_text::PUBLIC_KEY, &self.0, f)
    }
}

/// Writes 64 hexadecimal digits, as other implementations read them.
impl fmt::LowerHex for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits = [0; 2 * KEY_LEN];
        f.write_str(base16ct::lower::encode_str(&self.0, &mut digits).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

/// Reads hexadecimal digits of either case for as many bytes as the key has, in constant time.
pub(crate) fn decode_hex(hex: &str, key: &mut [u8]) -> Result<(), Error> {
    let len = key.len();
    match base16ct::mixed::decode(hex.trim(), key) {
        Ok(decoded) if decoded.len() == len => Ok(()),
        _ => Err(Error::InvalidKey),
    }
}

/// Draws 32 bytes.
pub(crate) fn fill<R: TryCryptoRng + ?Sized>(rng: &mut R, bytes: &mut [u8; KEY_LEN]) -> Result<(), Error> {
    rng.try_fill_bytes(bytes).map_err(|_| Error::RandomnessUnavailable)
}
