//! Parts of answers to devices.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use pssst::{PskMaster, Server, ServerKey};
use pssst_directory::{IssuedPsk, Problem, Refusal};
use pssst_identity::Identity;

use crate::Schedule;

/// Returns whether servers accept the key that opened a request now: a schedule that answers a
/// theft may have come since, and the thief must get nothing of it.
pub(crate) fn is_current(server: &Server, key_index: usize, schedule: &Schedule, now: Timestamp) -> bool {
    match server.keyring().server_keys().nth(key_index) {
        Some(ServerKey::X25519(key)) => schedule.accepts(&key, now),
        _ => false,
    }
}

/// Returns a client's pre-shared key, if it must use one.
pub(crate) fn issue_psk(master: Option<&PskMaster>, client: &Identity) -> Option<IssuedPsk> {
    let master = master.filter(|_| client.requires_psk)?;
    Some(IssuedPsk { psk: master.psk(&client.key), master: master.id().into() })
}

pub(crate) fn problem(refusal: Refusal, message: impl Into<String>) -> Response {
    let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::BAD_REQUEST);
    (status, axum::Json(Problem::new(refusal, message))).into_response()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use pssst::{SecretKey, SuiteSet};

    use super::*;
    use crate::NewSecrets;

    #[test]
    fn a_key_that_was_replaced_gets_nothing() {
        let (now, minute) = (Timestamp::UNIX_EPOCH, Duration::from_mins(1));
        let mut schedule = Schedule::new(SecretKey::from_bytes([1; 32]), now);
        let opener = schedule.server(now, SuiteSet::DATAGRAM).unwrap();
        assert!(is_current(&opener, 0, &schedule, now) && !is_current(&opener, 1, &schedule, now));
        let new = NewSecrets::from(SecretKey::from_bytes([2; 32]));
        schedule.replace_compromised(new, now, minute).unwrap();
        assert!(!is_current(&opener, 0, &schedule, now));
    }
}
