//! The public endpoints for devices: server keys and enrolment; renewal is in `renewal.rs`.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Extension, FromRequest, Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use jiff::Timestamp;
use pssst::PublicKey;
use pssst_identity::{Action, EnrollError, NewAuditEntry, Token};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::answers::{is_current, issue_psk, problem};
use super::headers;
use super::peer::Peer;
use super::state::{DEVICE, Shared};
use super::stats::DirectoryEvent;
use crate::{Error, renewal};
use pssst_directory::{EnrollmentRequest, EnrollmentResponse, KeySet, Refusal};

pub(super) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/.well-known/pssst/keys", get(keys))
        .route("/v1/keys", get(keys))
        .route("/v1/enroll", post(enroll))
        .route("/v1/renew", post(renewal::renew))
        .layer(axum::middleware::map_response(headers::of_public))
        .with_state(shared)
}

async fn keys(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    let now = shared.schedule.now();
    let document = match document(&shared, now) {
        Ok(document) => document,
        Err(error) => {
            tracing::error!(%error, "there is no document of keys");
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
    };
    let body = document.to_json();
    let etag = format!("\"{}\"", base16ct::lower::encode_string(&Sha256::digest(&body)[..16]));
    let seconds = document.refresh_at.duration_since(now).as_secs().max(0);
    let is_held = headers.get_all(IF_NONE_MATCH).iter().any(|held| is_among(&etag, held));
    let caching = [(ETAG, etag), (CACHE_CONTROL, format!("public, max-age={seconds}"))];
    if is_held {
        shared.counters.add(DirectoryEvent::KeysUnchanged);
        (StatusCode::NOT_MODIFIED, caching).into_response()
    } else {
        shared.counters.add(DirectoryEvent::KeysSent);
        (caching, [(CONTENT_TYPE, "application/json")], body).into_response()
    }
}

/// It is issued again sixteen times within each refresh interval, at times that all directories of
/// the pool agree on; so they issue the same one.
fn document(shared: &Shared, now: Timestamp) -> Result<KeySet, Error> {
    let interval = shared.refresh_interval();
    let slot = i64::try_from(interval.as_millis() / 16).unwrap_or(i64::MAX).max(1);
    let milliseconds = now.as_millisecond();
    let issued = Timestamp::from_millisecond(milliseconds - milliseconds.rem_euclid(slot)).unwrap_or(now);
    shared.schedule.load().document(issued, interval, &shared.suites)
}

/// RFC 9110, section 13.1.2.
fn is_among(etag: &str, held: &HeaderValue) -> bool {
    let mut etags = held.to_str().unwrap_or_default().split(',').map(str::trim);
    etags.any(|held| held == "*" || held.strip_prefix("W/").unwrap_or(held) == etag)
}

async fn enroll(State(shared): State<Arc<Shared>>, Extension(peer): Extension<Peer>, request: Request) -> Response {
    if !shared.enrollments.admit(peer.address) {
        shared.counters.add_refusal(Refusal::RateLimited);
        let problem = problem(Refusal::RateLimited, "too many requests: try again later");
        return ([(RETRY_AFTER, "10")], problem).into_response();
    }
    match try_enroll(&shared, request).await {
        Ok(reply) => {
            shared.counters.add(DirectoryEvent::Enrolled);
            ([(CONTENT_TYPE, "application/octet-stream")], reply).into_response()
        }
        Err(refused) => refused.answer(&shared, &peer).await,
    }
}

/// Returns the sealed reply.
async fn try_enroll(shared: &Shared, request: Request) -> Result<Vec<u8>, Refused> {
    let body = match Bytes::from_request(request, &()).await {
        Ok(body) => body,
        Err(rejection) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            let status = Some(StatusCode::PAYLOAD_TOO_LARGE);
            return Err(Refused { status, ..Refused::stray(Refusal::InvalidRequest) });
        }
        Err(_) => return Err(Refused::stray(Refusal::InvalidRequest)),
    };
    // Once it is open, the token is in it.
    let mut packet = Zeroizing::new(Vec::from(body));
    let server = shared.opener.load_full();
    let opened = server.open_request(&mut packet);
    let opened = opened.map_err(|_| Refused::stray(Refusal::InvalidRequest))?;
    let Some(key) = opened.client_key().copied() else { return Err(Refused::stray(Refusal::InvalidRequest)) };
    let request = EnrollmentRequest::parse(opened.message()).map_err(|_| Refused::stray(Refusal::InvalidRequest))?;
    let name = request.name.as_deref();
    let (schedule, now) = (shared.schedule.load(), shared.schedule.now());
    if !is_current(&server, opened.server_key_index(), &schedule, now) {
        return Err(Refused::stray(Refusal::InvalidRequest));
    }
    let master = schedule.current_psk_master(now);
    let store = shared.store.with_actor(DEVICE);
    let enrolled = match master {
        Some(_) => store.enroll_requiring_psk(&request.token, &key, name).await,
        None => store.enroll(&request.token, &key, name).await,
    };
    let identity = match enrolled {
        Ok(identity) => identity,
        Err(EnrollError::UnknownToken) => return Err(Refused::stray(Refusal::UnknownToken)),
        Err(error) => return Err(Refused::by_store(&error, key, &request.token)),
    };
    let psk = issue_psk(master, &identity);
    let response = EnrollmentResponse::new(identity).with_psk(psk).to_json();
    let reply = opened.into_reply_sealer().seal_to_vec(&mut pssst::SysRng, &response);
    reply.map_err(|error| {
        tracing::error!(%error, "the reply to an enrolment cannot be sealed");
        Refused::unavailable()
    })
}

/// An enrolment that did not take place.
struct Refused {
    refusal: Refusal,
    message: String,
    /// Instead of the refusal's own.
    status: Option<StatusCode>,
    /// The key that was proved and the name of the token, never its secret. Without a known token
    /// anyone could have sent the request, and nobody learns more of it than that.
    known: Option<(PublicKey, String)>,
}

impl Refused {
    /// One answer to all that names no known token: an answer for each cause would tell strangers
    /// what is in packets that they have captured.
    fn stray(counted: Refusal) -> Self {
        let message = "the request is not an enrolment with a valid token, sealed for this pool".into();
        Self { refusal: counted, message, status: None, known: None }
    }

    fn unavailable() -> Self {
        let message = "the directory is unavailable: try again later".into();
        Self { refusal: Refusal::Unavailable, message, status: None, known: None }
    }

    fn by_store(error: &EnrollError, key: PublicKey, token: &Token) -> Self {
        match refusal_of(error) {
            Refusal::Unavailable => {
                tracing::error!(%error, "an enrolment failed");
                Self::unavailable()
            }
            refusal => {
                let known = Some((key, token.id().to_string()));
                Self { refusal, message: error.to_string(), status: None, known }
            }
        }
    }

    /// Counts the refusal, records it in the audit log, and answers the device.
    async fn answer(self, shared: &Shared, peer: &Peer) -> Response {
        shared.counters.add_refusal(self.refusal);
        let mut shown = self.refusal;
        match self.known {
            Some((key, token)) => {
                let detail = format!("{}: {}; from {}, token {token}", self.refusal, self.message, peer.address);
                let entry = NewAuditEntry { action: Action::EnrollmentRefused, client_key: Some(key), detail };
                shared.record(&shared.store.with_actor(DEVICE), entry).await;
            }
            // A failure of the directory is not a refusal of the device.
            None if self.refusal == Refusal::Unavailable => {}
            None => {
                shared.stray_enrollments.add(peer.address, None);
                shown = Refusal::InvalidRequest;
            }
        }
        let mut response = problem(shown, self.message);
        if let Some(status) = self.status {
            *response.status_mut() = status;
        }
        response
    }
}

/// Returns the cause that a device is given.
fn refusal_of(error: &EnrollError) -> Refusal {
    use pssst_identity::Error;

    match error {
        EnrollError::UnknownToken => Refusal::UnknownToken,
        EnrollError::TokenExpired => Refusal::TokenExpired,
        EnrollError::TokenWithdrawn => Refusal::TokenWithdrawn,
        EnrollError::TokenUsed => Refusal::TokenUsed,
        EnrollError::NameMismatch => Refusal::NameMismatch,
        EnrollError::Store(Error::NameTaken(_)) => Refusal::NameTaken,
        EnrollError::Store(Error::KeyTaken(_)) => Refusal::KeyTaken,
        EnrollError::Store(Error::InvalidName(_)) => Refusal::InvalidName,
        EnrollError::Store(Error::Key(_)) => Refusal::InvalidRequest,
        _ => Refusal::Unavailable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_of_the_store_have_their_names() {
        use pssst_identity::Error;

        for (error, refusal) in [
            (EnrollError::Store(Error::NameTaken("a".into())), Refusal::NameTaken),
            (EnrollError::TokenUsed, Refusal::TokenUsed),
            (EnrollError::Store(Error::RandomnessUnavailable), Refusal::Unavailable),
        ] {
            assert_eq!(refusal_of(&error), refusal);
        }
    }

    #[test]
    fn etags_are_found_in_lists() {
        for (held, expected) in [
            ("\"a\"", true),
            ("W/\"a\"", true),
            ("\"b\", \"a\"", true),
            ("*", true),
            ("\"b\"", false),
            ("a", false),
            ("", false),
        ] {
            assert_eq!(is_among("\"a\"", &HeaderValue::from_static(held)), expected, "{held}");
        }
    }
}
