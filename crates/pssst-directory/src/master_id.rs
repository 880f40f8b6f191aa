//! Names of masters of pre-shared keys.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Error;

/// The name of a master of pre-shared keys, 8 bytes: 16 hexadecimal digits in text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MasterId([u8; 8]);

impl MasterId {
    /// Returns the name's bytes.
    pub const fn as_bytes(&self) -> &[u8; 8] {
        &self.0
    }
}

impl From<[u8; 8]> for MasterId {
    fn from(id: [u8; 8]) -> Self {
        Self(id)
    }
}

impl fmt::Display for MasterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

impl FromStr for MasterId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        const EXPECTED: Error = Error::Syntax("a master's name of 16 hexadecimal digits");
        if text.len() != 16 || text.starts_with('+') {
            return Err(EXPECTED);
        }
        u64::from_str_radix(text, 16).map(|id| Self(id.to_be_bytes())).map_err(|_| EXPECTED)
    }
}

impl Serialize for MasterId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for MasterId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
