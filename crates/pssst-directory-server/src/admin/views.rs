//! Views of the store and the keys, for JSON and pages.

use jiff::Timestamp;
use pssst_identity::{AuditEntry, Identity, Labels, RefusedClient, ServerReport, State, TokenInfo};
use serde::Serialize;

/// A client.
#[derive(Debug, Serialize)]
pub(super) struct ClientView {
    pub(super) key: String,
    pub(super) fingerprint: String,
    pub(super) name: String,
    pub(super) labels: Labels,
    pub(super) state: State,
    pub(super) created: Timestamp,
    pub(super) changed: Timestamp,
    pub(super) expires: Option<Timestamp>,
    pub(super) requires_psk: bool,
}

impl From<Identity> for ClientView {
    fn from(identity: Identity) -> Self {
        let Identity { key, name, labels, state, created, changed, expires, requires_psk, .. } = identity;
        let fingerprint = key.fingerprint().to_string();
        Self { key: key.to_string(), fingerprint, name, labels, state, created, changed, expires, requires_psk }
    }
}

/// A client that servers refused.
#[derive(Debug, Serialize)]
pub(super) struct RefusedView {
    pub(super) key: String,
    pub(super) fingerprint: String,
    pub(super) name: Option<String>,
    pub(super) cause: &'static str,
    pub(super) requests: u64,
    pub(super) first: Timestamp,
    pub(super) last: Timestamp,
}

impl From<RefusedClient> for RefusedView {
    fn from(client: RefusedClient) -> Self {
        let RefusedClient { key, name, cause, requests, first, last, .. } = client;
        let fingerprint = key.fingerprint().to_string();
        Self { key: key.to_string(), fingerprint, name, cause: cause.name(), requests, first, last }
    }
}

/// A server that follows the store.
#[derive(Debug, Serialize)]
pub(super) struct ServerView {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) started: Timestamp,
    pub(super) last: Timestamp,
    pub(super) is_alive: bool,
}

impl From<ServerReport> for ServerView {
    fn from(server: ServerReport) -> Self {
        let is_alive = server.is_alive(Timestamp::now());
        let ServerReport { name, version, started, last, .. } = server;
        Self { name, version, started, last, is_alive }
    }
}

/// A token without its secret.
#[derive(Debug, Serialize)]
pub(super) struct TokenView {
    pub(super) id: String,
    pub(super) name: Option<String>,
    pub(super) labels: Labels,
    pub(super) expires: Timestamp,
    pub(super) client_expires: Option<Timestamp>,
    pub(super) created: Timestamp,
    pub(super) created_by: String,
    pub(super) state: TokenState,
    pub(super) used: Option<Timestamp>,
    pub(super) used_for: Option<String>,
    pub(super) withdrawn: Option<Timestamp>,
}

/// Whether a token can still be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum TokenState {
    Open,
    Used,
    Withdrawn,
    Expired,
}

impl TokenState {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Used => "used",
            Self::Withdrawn => "withdrawn",
            Self::Expired => "expired",
        }
    }
}

impl TokenView {
    pub(super) fn new(token: TokenInfo, now: Timestamp) -> Self {
        let TokenInfo { id, grant, created, created_by, used, withdrawn, .. } = token;
        let state = match (used, withdrawn) {
            (Some(_), _) => TokenState::Used,
            (None, Some(_)) => TokenState::Withdrawn,
            (None, None) if grant.expires <= now => TokenState::Expired,
            (None, None) => TokenState::Open,
        };
        Self {
            id: id.to_string(),
            name: grant.name,
            labels: grant.labels,
            expires: grant.expires,
            client_expires: grant.client_expires,
            created,
            created_by,
            state,
            used: used.map(|(time, _)| time),
            used_for: used.map(|(_, key)| key.to_string()),
            withdrawn,
        }
    }
}

/// An entry of the audit log.
#[derive(Debug, Serialize)]
pub(super) struct AuditView {
    pub(super) number: u64,
    pub(super) at: Timestamp,
    pub(super) actor: String,
    pub(super) action: &'static str,
    pub(super) client_key: Option<String>,
    pub(super) client_fingerprint: Option<String>,
    pub(super) detail: String,
}

impl From<AuditEntry> for AuditView {
    fn from(entry: AuditEntry) -> Self {
        let AuditEntry { number, at, actor, entry, .. } = entry;
        let client_fingerprint = entry.client_key.map(|key| key.fingerprint().to_string());
        let client_key = entry.client_key.map(|key| key.to_string());
        Self { number, at, actor, action: entry.action.name(), client_key, client_fingerprint, detail: entry.detail }
    }
}
