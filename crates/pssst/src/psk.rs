//! Pre-shared keys: one master of a pool gives every client its own (specification, section 6).

use core::fmt;

use hmac::{Hmac, KeyInit, Mac};
use rand_core::TryCryptoRng;
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq};
use zeroize::{ZeroizeOnDrop, Zeroizing};

use crate::key::KEY_LEN;
use crate::{Error, PublicKey, key_text};

/// The secret of a pool that every client's pre-shared key is made of: 32 bytes.
///
/// Servers derive a client's key when they need it, so pre-shared keys cost them no look-up and no
/// state. It is wiped when dropped, redacted by `Debug`, and compared in constant time. [R-32]
///
/// ```
/// use pssst::{Client, PskMaster, SecretKey, Server, SysRng};
///
/// let secret = SecretKey::generate(&mut SysRng)?;
/// let identity = SecretKey::generate(&mut SysRng)?;
/// let master = PskMaster::generate(&mut SysRng)?;
///
/// // The client got its key when it was enrolled, over TLS.
/// let psk = master.psk(&identity.public_key());
/// let client = Client::new(secret.public_key())?.with_identity(&identity)?.with_psk(psk)?;
///
/// let server = Server::new(secret).with_psk_masters([master])?;
/// let (mut packet, _) = client.seal_request_to_vec(&mut SysRng, b"ping")?;
/// assert!(server.open_request(&mut packet)?.has_psk());
/// # Ok::<(), pssst::Error>(())
/// ```
#[derive(Clone)]
pub struct PskMaster(Zeroizing<[u8; KEY_LEN]>);

/// The pre-shared key Q of one client: 32 bytes, to be kept like a secret key.
///
/// It is wiped when dropped, redacted by `Debug`, and compared in constant time. [R-32]
#[derive(Clone)]
pub struct PreSharedKey(Zeroizing<[u8; KEY_LEN]>);

impl PskMaster {
    /// Reads `pssst-psk-master-1…`, in small or capital letters. White space around it is ignored.
    ///
    /// # Errors
    /// [`Error::KeyChecksum`] when the checksum does not fit; [`Error::InvalidKey`] for anything
    /// else.
    pub fn from_bech32(text: &str) -> Result<Self, Error> {
        let mut master = Zeroizing::new([0; KEY_LEN]);
        key_text::decode(text, key_text::PSK_MASTER, &mut *master)?;
        Ok(Self(master))
    }

    /// Returns the secret as text with a prefix that scanners for secrets find, and a checksum:
    /// `PSSST-PSK-MASTER-1…`, Bech32m (BIP 350).
    #[cfg(feature = "alloc")]
    pub fn expose_bech32(&self) -> Zeroizing<alloc::string::String> {
        key_text::encode_secret(key_text::PSK_MASTER, self.expose_bytes())
    }

    /// Returns the name of the master, 8 bytes, which tells it from others and nothing else: for
    /// lists, and for documents that announce it.
    pub fn id(&self) -> [u8; 8] {
        *self.mac(&[b"PSSSTv2 psk id"]).first_chunk().unwrap_or(&[0; 8])
    }

    /// Returns the pre-shared key of a client, `HMAC-SHA256(master, "PSSSTv2 psk" ‖ C)`. [R-44]
    pub fn psk(&self, client_key: &PublicKey) -> PreSharedKey {
        #[cfg(test)]
        crate::work::add(|work| work.psks += 1);
        PreSharedKey(self.mac(&[b"PSSSTv2 psk", client_key.as_bytes()]))
    }

    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
    fn mac(&self, parts: &[&[u8]]) -> Zeroizing<[u8; KEY_LEN]> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&*self.0).expect("HMAC takes a key of any length");
        for part in parts {
            mac.update(part);
        }
        let mut code = Zeroizing::new([0; KEY_LEN]);
        code.copy_from_slice(&mac.finalize().into_bytes());
        code
    }
}

/// What both kinds of secrets have in common.
macro_rules! secret_bytes {
    ($name:ident, $text:literal) => {
        impl $name {
            /// Generates a secret.
            ///
            /// # Errors
            /// [`Error::RandomnessUnavailable`] when the generator fails.
            pub fn generate<R: TryCryptoRng + ?Sized>(rng: &mut R) -> Result<Self, Error> {
                let mut bytes = Zeroizing::new([0; KEY_LEN]);
                $crate::key::fill(rng, &mut bytes)?;
                Ok(Self(bytes))
            }

            /// Takes a secret from its bytes. Wipe your own copy of them.
            pub fn from_bytes(bytes: [u8; KEY_LEN]) -> Self {
                Self(Zeroizing::new(bytes))
            }

            /// Reads 64 hexadecimal digits of either case, in constant time. White space around
            /// them is ignored.
            ///
            /// # Errors
            /// [`Error::InvalidKey`] for anything else.
            pub fn from_hex(hex: &str) -> Result<Self, Error> {
                let mut bytes = Zeroizing::new([0; KEY_LEN]);
                $crate::key::decode_hex(hex, &mut *bytes)?;
                Ok(Self(bytes))
            }

            /// Returns the secret bytes, for storage.
            pub fn expose_bytes(&self) -> &[u8; KEY_LEN] {
                &self.0
            }

            /// Returns the secret as 64 hexadecimal digits, for storage.
            #[cfg(feature = "alloc")]
            pub fn expose_hex(&self) -> Zeroizing<alloc::string::String> {
                Zeroizing::new(base16ct::lower::encode_string(self.expose_bytes()))
            }
        }

        impl ZeroizeOnDrop for $name {}

        impl ConstantTimeEq for $name {
            fn ct_eq(&self, other: &Self) -> Choice {
                self.expose_bytes().ct_eq(other.expose_bytes())
            }
        }

        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                self.ct_eq(other).into()
            }
        }

        impl Eq for $name {}

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str($text)
            }
        }
    };
}

#[cfg(feature = "pq")]
pub(crate) use secret_bytes;

secret_bytes!(PskMaster, "PskMaster(..)");
secret_bytes!(PreSharedKey, "PreSharedKey(..)");
