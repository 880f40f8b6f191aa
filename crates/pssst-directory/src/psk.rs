//! Pre-shared keys as the directory issues them, and as devices store them.

use std::fmt;

use pssst::PreSharedKey;
use pssst_support::secret_pem;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use crate::json::from_hex;
use crate::{Error, MasterId};

/// A client's pre-shared key, with the name of the master that it was made of: as enrolment and
/// renewal give it. Keep it like a secret key.
///
/// It is wiped when dropped, and redacted by `Debug`.
///
/// ```
/// use pssst_directory::IssuedPsk;
/// use pssst_net::pssst::PreSharedKey;
///
/// let issued = IssuedPsk { psk: PreSharedKey::from_bytes([0x5c; 32]), master: "0011223344556677".parse()? };
/// let text = issued.expose_pem();
/// assert!(text.starts_with("-----BEGIN PSSST PSK-----\n"));
/// assert_eq!(IssuedPsk::from_pem(&text)?, issued);
/// # Ok::<(), pssst_directory::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "callers make it")]
pub struct IssuedPsk {
    /// The pre-shared key Q.
    pub psk: PreSharedKey,
    /// The name of its master. When the directory announces another current master, the client
    /// [renews](crate::DirectoryClient::renew) its key.
    pub master: MasterId,
}

impl IssuedPsk {
    /// The label of a document that holds a pre-shared key.
    pub const PEM_LABEL: &str = "PSSST PSK";

    /// Returns it as a PEM document for storage, `BEGIN PSSST PSK`: the 32 bytes of the
    /// key, then the 8 of its master's name.
    pub fn expose_pem(&self) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new([0; PSK_LEN + MASTER_LEN]);
        let (psk, master) = bytes.split_at_mut(PSK_LEN);
        psk.copy_from_slice(self.psk.expose_bytes());
        master.copy_from_slice(self.master.as_bytes());
        secret_pem::encode(Self::PEM_LABEL, &*bytes)
    }

    /// Reads what [`expose_pem`](Self::expose_pem) writes.
    ///
    /// # Errors
    /// [`Error::Syntax`] for anything else.
    pub fn from_pem(pem: &str) -> Result<Self, Error> {
        const EXPECTED: Error = Error::Syntax("a PEM document of a pre-shared key");
        let bytes = secret_pem::decode(Self::PEM_LABEL, pem).ok_or(EXPECTED)?;
        let (psk, master) = bytes.split_first_chunk::<PSK_LEN>().ok_or(EXPECTED)?;
        let master: [u8; MASTER_LEN] = master.try_into().map_err(|_| EXPECTED)?;
        Ok(Self { psk: PreSharedKey::from_bytes(*psk), master: master.into() })
    }
}

const PSK_LEN: usize = 32;
const MASTER_LEN: usize = 8;

impl fmt::Debug for IssuedPsk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssuedPsk").field("psk", &self.psk).field("master", &self.master).finish()
    }
}

/// Borrowed, so that no copy of the key is left behind.
#[derive(Serialize, Deserialize)]
struct WirePsk<'a> {
    key: &'a str,
    master: MasterId,
}

impl Serialize for IssuedPsk {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        WirePsk { key: &self.psk.expose_hex(), master: self.master }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for IssuedPsk {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let WirePsk { key, master } = WirePsk::deserialize(deserializer)?;
        let psk = from_hex(key).ok_or_else(|| serde::de::Error::custom("not a pre-shared key"))?;
        Ok(Self { psk: PreSharedKey::from_bytes(*psk), master })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issued() -> IssuedPsk {
        IssuedPsk { psk: PreSharedKey::from_bytes([0x5c; 32]), master: [0x17; 8].into() }
    }

    #[test]
    fn issued_keys_survive_their_text_and_are_not_shown() {
        let text = serde_json::to_string(&issued()).unwrap();
        assert_eq!(text, format!(r#"{{"key":"{}","master":"1717171717171717"}}"#, "5c".repeat(32)));
        assert_eq!(serde_json::from_str::<IssuedPsk>(&text).unwrap(), issued());
        assert!(!format!("{:?}", issued()).contains("5c5c"));
        for wrong in [text.replace("5c", "5"), text.replace("17", "g"), text.replace("key", "other")] {
            assert!(serde_json::from_str::<IssuedPsk>(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn stored_keys_say_what_they_are() {
        assert_eq!(IssuedPsk::from_pem(&issued().expose_pem()).unwrap(), issued());
        let with = |label, len| secret_pem::encode(label, &[0x5c; 41][..len]);
        assert!(IssuedPsk::from_pem(&with(IssuedPsk::PEM_LABEL, 40)).is_ok());
        for (label, len) in [(IssuedPsk::PEM_LABEL, 32), (IssuedPsk::PEM_LABEL, 41), ("PSSST PSK MASTER", 40)] {
            assert!(IssuedPsk::from_pem(&with(label, len)).is_err(), "{label} {len}");
        }
        assert!(IssuedPsk::from_pem(&"5c".repeat(32)).is_err());
    }
}
