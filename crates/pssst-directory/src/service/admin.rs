//! What operators can do, as an API in JSON and as web pages.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::extract::rejection::{FormRejection, JsonRejection, QueryRejection};
use axum::http::StatusCode;
use axum::middleware::{from_fn_with_state, map_response};
use jiff::Timestamp;
use pssst::PublicKey;
use pssst_identity::{Action, Identity, IdentityStore, NewAuditEntry, State, Token, TokenGrant, TokenId, Update};

use super::stats::DirectoryEvent;
use super::{MAX_BODY_LEN, Rotation, Shared, headers};
use crate::Error;
use access::Operator;

pub(super) use access::client_verifier;
pub use operators::Operators;

mod access;
mod api;
mod operators;
mod page;
mod views;

/// A token is good for this long at most.
const MAX_TOKEN_AGE: Duration = Duration::from_hours(366 * 24);

pub(super) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .nest("/v1", api::router())
        .merge(page::router())
        .layer(DefaultBodyLimit::max(MAX_BODY_LEN))
        .layer(from_fn_with_state(Arc::clone(&shared), access::guard))
        .layer(map_response(headers::of_admin))
        .with_state(shared)
}

/// What can be done to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ClientAction {
    Suspend,
    Resume,
    Revoke,
    Remove,
}

impl ClientAction {
    const ALL: [Self; 4] = [Self::Suspend, Self::Resume, Self::Revoke, Self::Remove];

    const fn name(self) -> &'static str {
        match self {
            Self::Suspend => "suspend",
            Self::Resume => "resume",
            Self::Revoke => "revoke",
            Self::Remove => "remove",
        }
    }

    fn parse(name: &str) -> Result<Self, Failure> {
        let action = Self::ALL.into_iter().find(|action| action.name() == name);
        action.ok_or_else(|| Failure::not_found("this cannot be done to a client"))
    }

    /// Whether it would change something.
    fn fits(self, state: State) -> bool {
        match self {
            Self::Suspend => state == State::Enrolled,
            Self::Resume => state == State::Suspended,
            Self::Revoke => state != State::Revoked,
            Self::Remove => true,
        }
    }

    /// Does it. `None` when the client is gone afterwards.
    async fn carry_out(self, operator: &Operator, key: &PublicKey) -> Result<Option<Identity>, Failure> {
        let state = match self {
            Self::Suspend => State::Suspended,
            Self::Resume => State::Enrolled,
            Self::Revoke => State::Revoked,
            Self::Remove => {
                operator.store.remove(key).await?;
                return Ok(None);
            }
        };
        Ok(Some(operator.store.update(key, Update::state(state)).await?))
    }
}

/// Why something is not done.
#[derive(Debug)]
struct Failure {
    status: StatusCode,
    /// For programs.
    error: &'static str,
    /// For people.
    message: String,
}

impl Failure {
    fn new(status: StatusCode, error: &'static str, message: impl Into<String>) -> Self {
        Self { status, error, message: message.into() }
    }

    fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    fn invalid(message: impl Into<String>) -> Self {
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
            E::Revoked(_) => (StatusCode::CONFLICT, "revoked"),
            E::Syntax(_) => (StatusCode::UNPROCESSABLE_ENTITY, "invalid"),
            _ => {
                tracing::error!(%error, "an operator's request failed");
                return Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "unavailable",
                    "the store of clients cannot do it now: its log says why",
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
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "failed", "it failed: the log says why")
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

from_rejections!(FormRejection, JsonRejection, QueryRejection);

/// A path that names no key names no client.
fn parse_key(text: &str) -> Result<PublicKey, Failure> {
    text.parse().map_err(|_| Failure::not_found("this is not the key of a client: 64 hexadecimal digits"))
}

async fn find_client(operator: &Operator, key: &str) -> Result<Identity, Failure> {
    let key = parse_key(key)?;
    Ok(operator.store.get(&key).await?.ok_or(pssst_identity::Error::NotFound(key))?)
}

/// What is asked of a token, good for so long from now on.
async fn create_token(
    operator: &Operator,
    age: Duration,
    grant: impl FnOnce(Timestamp) -> TokenGrant,
) -> Result<(Token, TokenGrant), Failure> {
    if age.is_zero() || age > MAX_TOKEN_AGE {
        return Err(Failure::invalid("a token is good for a second to 366 days"));
    }
    let expires = Timestamp::now().checked_add(age).map_err(|_| Failure::invalid("the token expires too late"))?;
    let grant = grant(Timestamp::from_millisecond(expires.as_millisecond()).unwrap_or(expires));
    Ok((operator.store.create_token(grant.clone()).await?, grant))
}

async fn withdraw_token(operator: &Operator, id: &str) -> Result<(), Failure> {
    let id: TokenId = id.parse().map_err(|_| Failure::not_found("this is not the name of a token"))?;
    if operator.store.withdraw_token(id).await? {
        Ok(())
    } else {
        Err(Failure::not_found("there is no such token, or it cannot be used any more"))
    }
}

/// Goes on to its end, audit log included, even if whoever asked for it does not wait.
async fn rotate(shared: &Arc<Shared>, operator: &Operator, rotation: Rotation) -> Result<PublicKey, Failure> {
    let (shared, store) = (Arc::clone(shared), operator.store.clone());
    let rotate = async move {
        let Rotation { lead, overlap } = rotation;
        let schedule = Arc::clone(&shared.schedule);
        let key = tokio::task::spawn_blocking(move || schedule.rotate(lead, overlap)).await??;
        shared.counters.add(DirectoryEvent::RotationStarted);
        let detail = format!("key {key}, lead {} s, overlap {} s", lead.as_secs(), overlap.as_secs());
        shared.record(&store, NewAuditEntry { action: Action::RotationStarted, client_key: None, detail }).await;
        Ok(key)
    };
    tokio::spawn(rotate).await?
}
