//! Public keys in documents of any format that `serde` reads. Programs in other languages read the
//! server's keys there, so these are in hexadecimal digits of either kind.

use core::fmt;
use core::marker::PhantomData;
use core::str::FromStr;

use serde_core::de::{Deserialize, Deserializer, Error, Visitor};
use serde_core::ser::{Serialize, Serializer};

use crate::{PublicKey, ServerKey};

/// Writes `pssst1…`.
impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Reads what [`PublicKey::from_str`](core::str::FromStr::from_str) reads. The key is not
/// validated.
impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text(PhantomData))
    }
}

/// Writes lower-case hexadecimal digits: 64 for X25519, 2,432 for X-Wing.
impl Serialize for ServerKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{self:x}"))
    }
}

/// Reads what [`ServerKey::from_str`](core::str::FromStr::from_str) reads. The key is not
/// validated.
impl<'de> Deserialize<'de> for ServerKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text(PhantomData))
    }
}

struct Text<K>(PhantomData<K>);

impl<K: FromStr<Err: fmt::Display>> Visitor<'_> for Text<K> {
    type Value = K;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a public key as text")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<K, E> {
        text.parse().map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn keys_are_text_in_json() {
        let key = PublicKey::from_bytes([0xab; 32]);
        let json = serde_json::to_string(&key).unwrap();
        assert_eq!(json, std::format!("\"{key}\""));
        for json in [json, std::format!("\"{key:x}\"")] {
            assert_eq!(serde_json::from_str::<PublicKey>(&json).unwrap(), key);
        }
        let server_key = ServerKey::from(key);
        let json = serde_json::to_string(&server_key).unwrap();
        assert_eq!(json, std::format!("\"{}\"", "ab".repeat(32)));
        assert_eq!(serde_json::from_str::<ServerKey>(&json).unwrap(), server_key);
        let refused = serde_json::from_str::<PublicKey>("\"ab\"").unwrap_err().to_string();
        assert!(refused.starts_with("not a key of the expected kind"), "{refused}");
    }
}
