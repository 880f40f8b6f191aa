//! Parts of answers to devices.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use pssst::PskMaster;
use pssst_directory::{IssuedPsk, Problem, Refusal};
use pssst_identity::Identity;

/// Returns a client's pre-shared key, if it must use one.
pub(crate) fn issue_psk(master: Option<&PskMaster>, client: &Identity) -> Option<IssuedPsk> {
    let master = master.filter(|_| client.requires_psk)?;
    Some(IssuedPsk { psk: master.psk(&client.key), master: master.id().into() })
}

pub(crate) fn problem(refusal: Refusal, message: impl Into<String>) -> Response {
    let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::BAD_REQUEST);
    (status, axum::Json(Problem::new(refusal, message))).into_response()
}
