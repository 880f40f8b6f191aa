//! Failures of operators' requests.

use axum::extract::multipart::{MultipartError, MultipartRejection};
use axum::extract::rejection::{FormRejection, JsonRejection, QueryRejection, StringRejection};
use axum::http::StatusCode;

use crate::Error;

/// Why something is not done.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) status: StatusCode,
    /// For programs.
    pub(super) error: &'static str,
    /// For people.
    pub(super) message: String,
}

impl Failure {
    pub(super) fn new(status: StatusCode, error: &'static str, message: impl Into<String>) -> Self {
        Self { status, error, message: message.into() }
    }

    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", message)
    }
}

impl From<pssst_identity::Error> for Failure {
    fn from(error: pssst_identity::Error) -> Self {
        use pssst_identity::Error as E;

        let (status, name) = match &error {
            E::Key(_) => (StatusCode::UNPROCESSABLE_ENTITY, "invalid_key"),
            E::InvalidName(_) => (StatusCode::UNPROCESSABLE_ENTITY, "invalid_name"),
            E::InvalidLabel(_) => (StatusCode::UNPROCESSABLE_ENTITY, "invalid_label"),
            E::KeyTaken(_) => (StatusCode::CONFLICT, "key_taken"),
            E::NameTaken(_) => (StatusCode::CONFLICT, "name_taken"),
            E::NotFound(_) => (StatusCode::NOT_FOUND, "not_found"),
            E::Outdated(_) => (StatusCode::CONFLICT, "outdated"),
            E::Revoked(_) => (StatusCode::CONFLICT, "revoked"),
            E::Json(_) | E::Syntax(_) => (StatusCode::UNPROCESSABLE_ENTITY, "invalid"),
            _ => {
                tracing::error!(%error, "an operator's request failed");
                return Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "unavailable",
                    "the store of clients is unavailable: see the directory's log",
                );
            }
        };
        Self::new(status, name, error.to_string())
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let (status, name) = match &error {
            Error::RotationUnderWay => (StatusCode::CONFLICT, "rotation_under_way"),
            Error::InvalidSchedule(_) => (StatusCode::UNPROCESSABLE_ENTITY, "invalid_schedule"),
            _ => {
                tracing::error!(%error, "an operator's request failed");
                (StatusCode::SERVICE_UNAVAILABLE, "unavailable")
            }
        };
        Self::new(status, name, error.to_string())
    }
}

impl From<tokio::task::JoinError> for Failure {
    fn from(error: tokio::task::JoinError) -> Self {
        tracing::error!(%error, "an operator's request failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "failed", "it failed: see the directory's log")
    }
}

macro_rules! from_rejections {
    ($($rejection:ty),*) => {$(
        impl From<$rejection> for Failure {
            fn from(rejection: $rejection) -> Self {
                Self::new(rejection.status(), "invalid", rejection.body_text())
            }
        }
    )*};
}

from_rejections!(FormRejection, JsonRejection, MultipartError, MultipartRejection, QueryRejection, StringRejection);
