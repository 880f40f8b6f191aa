//! Options that several commands share, and what they name.

use pssst_service::Failure;

pub(crate) mod complete;
pub(crate) mod fallback;
pub(crate) mod format;
pub(crate) mod key_file;
pub(crate) mod key_kind;
pub(crate) mod mistaken_key;
pub(crate) mod no_reply;
pub(crate) mod options;
pub(crate) mod sealing;
pub(crate) mod secret_out;
pub(crate) mod server_key;
pub(crate) mod store;
pub(crate) mod udp;
pub(crate) mod waiting;

/// Returns the failure of the system's random number generator.
pub(crate) fn no_randomness(error: pssst::Error) -> Failure {
    Failure::new(error.to_string(), "try again later: the system has no random numbers yet")
}
