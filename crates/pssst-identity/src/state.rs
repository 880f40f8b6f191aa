//! The state of a client.

use pssst_support::named_enum;
use serde::{Deserialize, Serialize};

named_enum! {
    /// Whether a client is welcome.
    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "lowercase")]
    #[non_exhaustive]
    pub enum State {
        /// It is.
        Enrolled => "enrolled",
        /// Not now: it is refused until it is enrolled again.
        Suspended => "suspended",
        /// Never again.
        Revoked => "revoked",
    }
}
