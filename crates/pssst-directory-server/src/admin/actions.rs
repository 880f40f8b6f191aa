//! The actions of operators, shared by pages and API.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use jiff::Timestamp;
use pssst::PublicKey;
use pssst_identity::{
    Action, Identity, IdentityStore, Labels, NewAuditEntry, NewIdentity, State, Token, TokenGrant, TokenId, Update,
};
use pssst_support::named_enum;

use super::access::Operator;
use super::failure::Failure;
use crate::state::{Rotation, Shared};
use crate::stats::DirectoryEvent;
use crate::{Generated, Rotated};

/// Longest validity of a token.
const MAX_TOKEN_AGE: Duration = Duration::from_hours(366 * 24);

named_enum! {
    /// What can be done to a client.
    pub(super) enum ClientAction {
        /// Refuses it until it is resumed.
        Suspend => "suspend",
        /// Serves it again.
        Resume => "resume",
        /// Refuses it permanently.
        Revoke => "revoke",
        /// Deletes it.
        Remove => "remove",
    }
}

impl ClientAction {
    pub(super) fn parse(name: &str) -> Result<Self, Failure> {
        let action = Self::ALL.into_iter().find(|action| action.name() == name);
        action.ok_or_else(|| Failure::not_found("this cannot be done to a client"))
    }

    /// Returns whether it would change something.
    pub(super) fn fits(self, state: State) -> bool {
        match self {
            Self::Suspend => state == State::Enrolled,
            Self::Resume => state == State::Suspended,
            Self::Revoke => state != State::Revoked,
            Self::Remove => true,
        }
    }

    /// Does it. `None` if the client was removed.
    pub(super) async fn carry_out(self, operator: &Operator, key: &PublicKey) -> Result<Option<Identity>, Failure> {
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

/// A path without a valid key names no client.
pub(super) fn parse_key(text: &str) -> Result<PublicKey, Failure> {
    text.parse().map_err(|_| Failure::not_found("this is not the key of a client"))
}

pub(super) async fn find_client(operator: &Operator, key: &str) -> Result<Identity, Failure> {
    let key = parse_key(key)?;
    Ok(operator.store.get(&key).await?.ok_or(pssst_identity::Error::NotFound(key))?)
}

/// Enrols a key that an operator trusts.
pub(super) async fn enroll(
    operator: &Operator,
    key: PublicKey,
    name: &str,
    labels: Labels,
    expires: Option<Timestamp>,
) -> Result<Identity, Failure> {
    let new = NewIdentity::new(key, name)?.with_labels(labels)?.with_expiry(expires);
    Ok(operator.store.add(new).await?)
}

/// Creates a token that is valid for this long from now.
pub(super) async fn create_token(
    operator: &Operator,
    age: Duration,
    grant: impl FnOnce(Timestamp) -> TokenGrant,
) -> Result<(Token, TokenGrant), Failure> {
    if age.is_zero() || age > MAX_TOKEN_AGE {
        return Err(Failure::invalid("a token is valid for a second to 366 days"));
    }
    let expires = Timestamp::now().checked_add(age).map_err(|_| Failure::invalid("the token expires too late"))?;
    let grant = grant(Timestamp::from_millisecond(expires.as_millisecond()).unwrap_or(expires));
    Ok((operator.store.create_token(grant.clone()).await?, grant))
}

pub(super) async fn withdraw_token(operator: &Operator, id: &str) -> Result<(), Failure> {
    let id: TokenId = id.parse().map_err(|_| Failure::not_found("this is not the name of a token"))?;
    if operator.store.withdraw_token(id).await? {
        Ok(())
    } else {
        Err(Failure::not_found("there is no such token, or it can no longer be used"))
    }
}

/// Runs to its end, audit log included, even if the caller does not wait.
pub(super) async fn rotate(
    shared: &Arc<Shared>,
    operator: &Operator,
    rotation: Rotation,
) -> Result<Generated, Failure> {
    if let Some(time) = shared.schedule.load().next_rotation(shared.schedule.now()) {
        let message = format!("the key of the last rotation is not in force yet: the next one can start at {time}");
        return Err(Failure::new(StatusCode::CONFLICT, "rotation_under_way", message));
    }
    let (shared, store) = (Arc::clone(shared), operator.store.clone());
    let rotate = async move {
        let Rotation { activation_delay, grace_period } = rotation;
        let schedule = Arc::clone(&shared.schedule);
        let rotate = move || schedule.rotate(Rotated::All, activation_delay, grace_period);
        let generated = tokio::task::spawn_blocking(rotate).await??;
        shared.counters.add(DirectoryEvent::RotationStarted);
        let detail = format!(
            "{generated}, activation delay {} s, grace period {} s",
            activation_delay.as_secs(),
            grace_period.as_secs()
        );
        shared.record(&store, NewAuditEntry { action: Action::RotationStarted, client_key: None, detail }).await;
        Ok(generated)
    };
    tokio::spawn(rotate).await?
}
