//! Keys and other secrets as text with a prefix and a checksum: Bech32m (BIP 350).
//!
//! The prefix tells kinds apart, for people and for scanners that look for leaked secrets; the
//! checksum tells a mistyped key from another key. Public keys are in small letters and secrets in
//! capital ones.

use core::fmt::{self, Write as _};
use core::str::FromStr;

use bech32::primitives::decode::CheckedHrpstring;
use bech32::{Bech32m, ByteIterExt, Hrp};
use sha2::{Digest, Sha256};

use crate::Error;

/// Masters of pre-shared keys.
pub(crate) const PSK_MASTER: &str = "pssst-psk-master-";
/// Public X25519 keys, of servers and clients.
pub(crate) const PUBLIC_KEY: &str = "pssst";
/// P, the hash of a public X-Wing key, which is itself too long for this form.
pub(crate) const XWING_KEY_HASH: &str = "pssst-pq";
/// Secret X25519 keys.
pub(crate) const SECRET_KEY: &str = "pssst-secret-key-";
/// Secret X-Wing keys.
#[cfg(feature = "pq")]
pub(crate) const XWING_SECRET_KEY: &str = "pssst-pq-secret-key-";

/// P of an X-Wing key, its SHA-256: what people compare and links carry, since the key is too long.
///
/// `Display` and `FromStr` use `pssst-pq1…`, Bech32m (BIP 350).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct XWingKeyHash([u8; 32]);

impl XWingKeyHash {
    /// Takes a hash from its bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Returns the hash's bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Returns the fingerprint of the key.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of_hash(&self.0)
    }
}

impl FromStr for XWingKeyHash {
    type Err = Error;

    /// Reads what `Display` writes, all of it in small or in capital letters. White space around it
    /// is ignored.
    fn from_str(text: &str) -> Result<Self, Error> {
        let mut hash = Self([0; 32]);
        decode(text, XWING_KEY_HASH, &mut hash.0)?;
        Ok(hash)
    }
}

impl fmt::Display for XWingKeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        encode(XWING_KEY_HASH, &self.0, f)
    }
}

/// The fingerprint of a public key, for people who compare keys: the first 80 bits of the SHA-256
/// of the key's bytes.
///
/// `Display` writes 16 letters and digits in four groups, of Bech32's alphabet, which leaves out
/// those that look alike. Programs compare whole keys.
///
/// ```
/// use pssst::PublicKey;
///
/// let key: PublicKey = "pssst1qurswpc8qurswpc8qurswpc8qurswpc8qurswpc8qurswpc8qursuv82ak".parse()?;
/// assert_eq!(key.fingerprint().to_string(), "fwcx-lrjw-8fm3-t5sp");
/// # Ok::<(), pssst::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; Self::LEN]);

impl Fingerprint {
    const LEN: usize = 10;

    pub(crate) fn of_key(bytes: &[u8]) -> Self {
        Self::of_hash(&Sha256::digest(bytes).into())
    }

    fn of_hash(hash: &[u8; 32]) -> Self {
        let mut fingerprint = Self([0; Self::LEN]);
        fingerprint.0.copy_from_slice(&hash[..Self::LEN]);
        fingerprint
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, letter) in self.0.iter().copied().bytes_to_fes().enumerate() {
            if place > 0 && place % 4 == 0 {
                f.write_char('-')?;
            }
            f.write_char(letter.to_char())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

/// Whether the text has this prefix: it is meant as such a key, whatever follows.
pub(crate) fn has_prefix(text: &str, prefix: &str) -> bool {
    text.trim_start()
        .split_at_checked(prefix.len())
        .is_some_and(|(front, rest)| front.eq_ignore_ascii_case(prefix) && rest.starts_with('1'))
}

/// Reads as many bytes as there is room for, under this prefix and in one case throughout. White
/// space around them is ignored.
///
/// Not in constant time: letters are looked up in a table.
///
/// # Errors
/// [`Error::KeyChecksum`] when the checksum does not fit, and [`Error::InvalidKey`] when it does
/// and the prefix or the length is another.
pub fn decode(text: &str, prefix: &str, bytes: &mut [u8]) -> Result<(), Error> {
    let text = text.trim();
    let parsed = CheckedHrpstring::new::<Bech32m>(text).map_err(|_| Error::KeyChecksum)?;
    // Both leave one text a key, of each case.
    let is_canonical = parsed.byte_iter().len() == bytes.len() && parsed.validate_segwit_padding().is_ok();
    if !has_prefix(text, prefix) || !is_canonical {
        return Err(Error::InvalidKey);
    }
    bytes.iter_mut().zip(parsed.byte_iter()).for_each(|(byte, decoded)| *byte = decoded);
    Ok(())
}

/// Writes bytes under this prefix, in small letters.
pub(crate) fn encode(prefix: &str, bytes: &[u8], writer: &mut impl fmt::Write) -> fmt::Result {
    let prefix = Hrp::parse(prefix).map_err(|_| fmt::Error)?;
    bech32::encode_lower_to_fmt::<Bech32m, _>(writer, prefix, bytes).map_err(|_| fmt::Error)
}

/// Writes a secret under this prefix, in capital letters.
///
/// ```
/// use pssst::key_text;
///
/// let text = key_text::encode_secret("pssst-token-", &[7; 40]);
/// assert!(text.starts_with("PSSST-TOKEN-1"));
/// let mut bytes = [0; 40];
/// key_text::decode(&text, "pssst-token-", &mut bytes)?;
/// assert_eq!(bytes, [7; 40]);
/// assert_eq!(key_text::decode(&text[1..], "pssst-token-", &mut bytes), Err(pssst::Error::KeyChecksum));
/// # Ok::<(), pssst::Error>(())
/// ```
///
/// # Panics
/// If prefix, bytes and checksum do not fit in 1,023 characters, or the prefix is not 1 to 83
/// characters of ASCII in one case.
#[cfg(feature = "alloc")]
#[expect(clippy::expect_used, reason = "callers have constant prefixes and secrets of fixed lengths")]
pub fn encode_secret(prefix: &str, bytes: &[u8]) -> zeroize::Zeroizing<alloc::string::String> {
    let prefix = Hrp::parse(prefix).expect("a valid prefix");
    let len = bech32::encoded_length::<Bech32m>(prefix, bytes).expect("short enough");
    // Of its full length at once: a string that grows leaves pieces behind.
    let mut text = zeroize::Zeroizing::new(alloc::string::String::with_capacity(len));
    bech32::encode_upper_to_fmt::<Bech32m, _>(&mut *text, prefix, bytes).expect("a string takes any text");
    text
}

#[cfg(test)]
mod tests {
    use std::string::{String, ToString};

    use super::*;

    fn text(prefix: &str, bytes: &[u8]) -> String {
        let mut text = String::new();
        encode(prefix, bytes, &mut text).unwrap();
        text
    }

    #[test]
    fn any_changed_character_is_noticed() {
        let text = text(PUBLIC_KEY, &[0x5a; 32]);
        assert_eq!(text.len(), 64);
        let mut bytes = [0; 32];
        decode(&text, PUBLIC_KEY, &mut bytes).unwrap();
        assert_eq!(bytes, [0x5a; 32]);
        decode(&text.to_ascii_uppercase(), PUBLIC_KEY, &mut bytes).unwrap();
        for at in PUBLIC_KEY.len() + 1..text.len() {
            for other in "qpzry9x8gf2tvdw0s3jn54khce6mua7lb1io -Q".chars() {
                let mut changed = String::from(&text[..at]);
                changed.push(other);
                changed.push_str(&text[at + 1..]);
                if changed != text {
                    assert_eq!(decode(&changed, PUBLIC_KEY, &mut bytes), Err(Error::KeyChecksum), "{changed}");
                }
            }
            let lost: String = [&text[..at], &text[at + 1..]].concat();
            assert_eq!(decode(&lost, PUBLIC_KEY, &mut bytes), Err(Error::KeyChecksum), "{lost}");
        }
    }

    #[test]
    fn fingerprints_are_of_the_hash_of_the_key() {
        let key = crate::PublicKey::from_bytes([0x5a; 32]);
        assert_eq!(key.fingerprint().to_string(), "vzls-03yg-4tgc-lk3n");
        assert_eq!(crate::ServerKey::from(key).fingerprint(), key.fingerprint());
        let hash = XWingKeyHash::from_bytes(crate::ServerKey::from(key).hash());
        assert_eq!(hash.fingerprint(), key.fingerprint());
    }

    #[test]
    fn kinds_and_lengths_are_told_apart() {
        let mut bytes = [0; 32];
        for text in [text("pssst-other", &[1; 32]), text(PUBLIC_KEY, &[1; 31]), text(PUBLIC_KEY, &[1; 33])] {
            assert_eq!(decode(&text, PUBLIC_KEY, &mut bytes), Err(Error::InvalidKey), "{text}");
        }
        assert!(has_prefix("PSSST1q", PUBLIC_KEY) && !has_prefix("pssst", PUBLIC_KEY));
        assert!(!has_prefix("pssst-secret-key-1q", PUBLIC_KEY) && has_prefix("pssst-secret-key-1q", SECRET_KEY));
    }
}
