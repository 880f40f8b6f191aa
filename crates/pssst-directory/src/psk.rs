//! Pre-shared keys as the directory issues them, and as devices store them.

use std::fmt;

use pssst::PreSharedKey;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use crate::json::from_hex;
use crate::{Error, MasterId};

/// A client's pre-shared key, with the name of the master that it was made of: as enrolment and
/// renewal give it. Keep it like a secret key.
///
/// It is wiped when dropped, and redacted by `Debug`.
#[derive(Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "callers make it")]
pub struct IssuedPsk {
    /// The pre-shared key Q.
    pub psk: PreSharedKey,
    /// The name of its master. When the directory announces another current master, the client
    /// [renews](crate::DirectoryClient::renew) its key.
    pub master: MasterId,
}

/// A pre-shared key as a device stores it: in a file, with the name of its master where that is
/// known.
///
/// ```
/// use pssst_directory::StoredPsk;
///
/// let text = format!("{} 0011223344556677\n", "5c".repeat(32));
/// let stored = StoredPsk::parse(&text)?;
/// assert_eq!(stored.master, Some("0011223344556677".parse()?));
/// assert_eq!(*stored.to_text(), text);
/// # Ok::<(), pssst_directory::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "callers make it")]
pub struct StoredPsk {
    /// The pre-shared key Q.
    pub psk: PreSharedKey,
    /// The name of its master, if it is known. A client that does not know it renews its key once.
    pub master: Option<MasterId>,
}

impl StoredPsk {
    /// Reads 64 hexadecimal digits, and perhaps the name of the master after white space.
    ///
    /// # Errors
    /// [`Error::Syntax`] for anything else.
    pub fn parse(text: &str) -> Result<Self, Error> {
        const EXPECTED: Error = Error::Syntax("a pre-shared key of 64 hexadecimal digits, perhaps with its master");
        let mut words = text.split_ascii_whitespace();
        let psk = words.next().and_then(from_hex).ok_or(EXPECTED)?;
        let master = words.next().map(str::parse).transpose()?;
        if words.next().is_some() {
            return Err(EXPECTED);
        }
        Ok(Self { psk: PreSharedKey::from_bytes(*psk), master })
    }

    /// Returns the line that [`parse`](Self::parse) reads.
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(128));
        text.push_str(&self.psk.expose_hex());
        if let Some(master) = self.master {
            text.push(' ');
            text.push_str(&master.to_string());
        }
        text.push('\n');
        text
    }
}

impl From<IssuedPsk> for StoredPsk {
    fn from(IssuedPsk { psk, master }: IssuedPsk) -> Self {
        Self { psk, master: Some(master) }
    }
}

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
        assert!(!format!("{:?} {:?}", issued(), StoredPsk::from(issued())).contains("5c5c"));
        for wrong in [text.replace("5c", "5"), text.replace("17", "g"), text.replace("key", "other")] {
            assert!(serde_json::from_str::<IssuedPsk>(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn stored_keys_have_their_master_or_not() {
        let digits = "5C".repeat(32);
        let parse = |text: &str| StoredPsk::parse(text).map(|stored| stored.master).ok();
        let master = Some(MasterId::from([0x17; 8]));
        assert_eq!(parse(&format!(" {digits}\r\n")), Some(None));
        assert_eq!(parse(&format!("{digits}\t1717171717171717\n")), Some(master));
        assert_eq!(parse(&format!("{digits}\n1717171717171717")), Some(master));
        for wrong in ["", &digits[1..], &format!("{digits} 17"), &format!("{digits} 1717171717171717 x")] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
        let without = StoredPsk { master: None, ..issued().into() };
        for stored in [issued().into(), without] {
            assert_eq!(StoredPsk::parse(&stored.to_text()).unwrap(), stored);
        }
    }
}
