//! The state of a client.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Whether a client is welcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum State {
    /// It is.
    Enrolled,
    /// Not now: it is refused until it is enrolled again.
    Suspended,
    /// Never again.
    Revoked,
}

impl State {
    /// All states.
    pub const ALL: [Self; 3] = [Self::Enrolled, Self::Suspended, Self::Revoked];

    /// `enrolled`, `suspended` or `revoked`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Enrolled => "enrolled",
            Self::Suspended => "suspended",
            Self::Revoked => "revoked",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
