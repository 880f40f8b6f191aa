//! The state of a client.

use pssst_support::named_enum;
use serde::{Deserialize, Serialize};

named_enum! {
    /// State of a client.
    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "lowercase")]
    #[non_exhaustive]
    pub enum State {
        /// It is.
        Enrolled => "enrolled",
        /// Refused until it is resumed.
        Suspended => "suspended",
        /// Refused permanently.
        Revoked => "revoked",
    }
}
