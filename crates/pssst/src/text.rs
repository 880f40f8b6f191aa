//! Public keys in documents of any format that `serde` reads: hexadecimal digits.

use core::fmt;
use core::marker::PhantomData;
use core::str::FromStr;

use serde_core::de::{Deserialize, Deserializer, Error, Visitor};
use serde_core::ser::{Serialize, Serializer};

use crate::{PublicKey, ServerKey};

/// Writes 64 lower-case hexadecimal digits.
impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Reads what [`PublicKey::from_str`](core::str::FromStr::from_str) reads. The key is not
/// validated.
impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Hex(PhantomData))
    }
}

/// Writes lower-case hexadecimal digits.
impl Serialize for ServerKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Reads what [`ServerKey::from_str`](core::str::FromStr::from_str) reads. The key is not
/// validated.
impl<'de> Deserialize<'de> for ServerKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Hex(PhantomData))
    }
}

struct Hex<K>(PhantomData<K>);

impl<K: FromStr<Err: fmt::Display>> Visitor<'_> for Hex<K> {
    type Value = K;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a public key in hexadecimal digits")
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
    fn keys_are_hexadecimal_digits_in_json() {
        let key = PublicKey::from_bytes([0xab; 32]);
        let json = serde_json::to_string(&key).unwrap();
        assert_eq!(json, std::format!("\"{}\"", "ab".repeat(32)));
        assert_eq!(serde_json::from_str::<PublicKey>(&json).unwrap(), key);
        let refused = serde_json::from_str::<PublicKey>("\"ab\"").unwrap_err().to_string();
        assert!(refused.starts_with("neither 64 hexadecimal digits nor a PEM key"), "{refused}");
    }
}
