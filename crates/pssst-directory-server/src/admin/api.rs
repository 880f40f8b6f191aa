//! The API in JSON, under `/v1/`.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::{JsonRejection, QueryRejection, StringRejection};
use axum::extract::{DefaultBodyLimit, Extension, Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use jiff::Timestamp;
use pssst::PublicKey;
use pssst_directory::{MasterId, PublishedKey, PublishedMaster};
use pssst_identity::{IdentityStore, Labels, ListQuery, TokenGrant, Update};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::json;

use super::access::Operator;
use super::actions::{ClientAction, create_token, enroll, find_client, parse_key, rotate, withdraw_token};
use super::audit_filter::AuditFilter;
use super::failure::Failure;
use super::import::{self, Import};
use super::overview::Overview;
use super::views::{AuditView, ClientView, RefusedView, TokenView};
use crate::state::{Rotation, Shared};

const DEFAULT_LIMIT: usize = 100;
const MAX_LIMIT: usize = 1000;

pub(super) fn router() -> Router<Arc<Shared>> {
    Router::new()
        .route("/clients", get(list_clients).post(add_client))
        .route("/clients/import", post(import_clients).layer(DefaultBodyLimit::max(import::MAX_LEN)))
        .route("/clients/{key}", get(show_client).patch(edit_client))
        .route("/clients/{key}/{action}", post(change_client))
        .route("/overview", get(overview))
        .route("/refused", get(list_refused))
        .route("/tokens", get(list_tokens).post(make_token))
        .route("/tokens/{id}/withdraw", post(withdraw))
        .route("/keys", get(list_keys))
        .route("/keys/rotate", post(rotate_keys))
        .route("/audit", get(audit))
        .fallback(async || ApiError(Failure::not_found("not found")))
        .method_not_allowed_fallback(async || {
            ApiError(Failure::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "method not allowed"))
        })
}

#[derive(Deserialize)]
struct Listing {
    search: Option<String>,
    state: Option<pssst_identity::State>,
    requires_psk: Option<bool>,
    label: Option<String>,
    after: Option<String>,
    limit: Option<usize>,
}

#[derive(Serialize)]
struct ClientList {
    clients: Vec<ClientView>,
    next: Option<String>,
}

async fn list_clients(
    Extension(operator): Extension<Operator>,
    query: Result<Query<Listing>, QueryRejection>,
) -> Outcome<Json<ClientList>> {
    let Query(Listing { search, state, requires_psk, label, after, limit }) = query?;
    let query = ListQuery { after, limit: limit.unwrap_or(DEFAULT_LIMIT), state, requires_psk, search, label };
    let page = operator.store.list(&query).await?;
    Ok(Json(ClientList { clients: page.identities.into_iter().map(Into::into).collect(), next: page.next }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClientOrder {
    key: PublicKey,
    name: String,
    #[serde(default)]
    labels: Labels,
    expires: Option<Timestamp>,
}

async fn add_client(
    Extension(operator): Extension<Operator>,
    order: Result<Json<ClientOrder>, JsonRejection>,
) -> Outcome<Response> {
    let Json(ClientOrder { key, name, labels, expires }) = order?;
    let client = enroll(&operator, key, &name, labels, expires).await?;
    Ok((StatusCode::CREATED, Json(ClientView::from(client))).into_response())
}

#[derive(Deserialize)]
struct RefusedListing {
    limit: Option<usize>,
}

#[derive(Serialize)]
struct RefusedList {
    clients: Vec<RefusedView>,
}

async fn list_refused(
    Extension(operator): Extension<Operator>,
    query: Result<Query<RefusedListing>, QueryRejection>,
) -> Outcome<Json<RefusedList>> {
    let Query(RefusedListing { limit }) = query?;
    let clients = operator.store.refused(page_length(limit)).await?;
    Ok(Json(RefusedList { clients: clients.into_iter().map(Into::into).collect() }))
}

async fn show_client(Extension(operator): Extension<Operator>, Path(key): Path<String>) -> Outcome<Json<ClientView>> {
    Ok(Json(find_client(&operator, &key).await?.into()))
}

/// A field that is missing stays as it is.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::option_option, reason = "as in an update")]
struct ClientEdit {
    name: Option<String>,
    labels: Option<Labels>,
    /// `null` for never.
    #[serde(default, deserialize_with = "given")]
    expires: Option<Option<Timestamp>>,
    /// The time of the last change that the caller knows.
    changed: Option<Timestamp>,
}

/// So that `null` is not the same as nothing.
#[expect(clippy::option_option, reason = "as in an update")]
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<Timestamp>>, D::Error> {
    Deserialize::deserialize(deserializer).map(Some)
}

async fn edit_client(
    Extension(operator): Extension<Operator>,
    Path(key): Path<String>,
    edit: Result<Json<ClientEdit>, JsonRejection>,
) -> Outcome<Json<ClientView>> {
    let (key, Json(ClientEdit { name, labels, expires, changed })) = (parse_key(&key)?, edit?);
    let update = Update { name, labels, expires, based_on: changed, ..Update::default() };
    Ok(Json(operator.store.update(&key, update).await?.into()))
}

#[derive(Deserialize)]
struct ImportOptions {
    /// Whether nothing is to be changed.
    #[serde(default)]
    dry_run: bool,
}

async fn import_clients(
    Extension(operator): Extension<Operator>,
    options: Result<Query<ImportOptions>, QueryRejection>,
    text: Result<String, StringRejection>,
) -> Outcome<Response> {
    let (Query(ImportOptions { dry_run }), text) = (options?, text?);
    let import = Import::read(&operator, text).await?;
    if !import.is_possible() {
        let message = format!("{} lines cannot be imported", import.fault_count);
        let body = json!({ "error": "invalid", "message": message, "faults": import.faults });
        return Ok((StatusCode::UNPROCESSABLE_ENTITY, Json(body)).into_response());
    }
    let known = import.known;
    let added = if dry_run { import.new.len() } else { import.carry_out(&operator).await? };
    Ok(Json(json!({ "added": added, "known": known, "dry_run": dry_run })).into_response())
}

async fn overview(
    State(shared): State<Arc<Shared>>,
    Extension(operator): Extension<Operator>,
) -> Outcome<Json<serde_json::Value>> {
    let overview = Overview::read(&shared, &operator).await?;
    let clients = overview.clients;
    Ok(Json(json!({
        "clients": {
            "all": clients.all(),
            "enrolled": clients.enrolled,
            "expired": clients.expired,
            "suspended": clients.suspended,
            "revoked": clients.revoked,
        },
        "servers": overview.servers,
        "keys": overview.keys,
        "psk_masters": overview.psk_masters,
        "next_rotation": overview.next_rotation,
        "open_tokens": overview.tokens.len(),
        "certificate_expires": overview.certificate_expires,
        "refused": overview.refused,
        "audit": overview.audit,
    })))
}

async fn change_client(
    Extension(operator): Extension<Operator>,
    Path((key, action)): Path<(String, String)>,
) -> Outcome<Response> {
    let action = ClientAction::parse(&action)?;
    Ok(match action.carry_out(&operator, &parse_key(&key)?).await? {
        Some(identity) => Json(ClientView::from(identity)).into_response(),
        None => StatusCode::NO_CONTENT.into_response(),
    })
}

#[derive(Deserialize)]
struct TokenListing {
    #[serde(default)]
    open: bool,
    limit: Option<usize>,
}

#[derive(Serialize)]
struct TokenList {
    tokens: Vec<TokenView>,
}

async fn list_tokens(
    Extension(operator): Extension<Operator>,
    query: Result<Query<TokenListing>, QueryRejection>,
) -> Outcome<Json<TokenList>> {
    let Query(TokenListing { open, limit }) = query?;
    let tokens = operator.store.tokens(open, page_length(limit)).await?;
    let now = Timestamp::now();
    Ok(Json(TokenList { tokens: tokens.into_iter().map(|token| TokenView::new(token, now)).collect() }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenOrder {
    name: Option<String>,
    #[serde(default)]
    labels: Labels,
    /// Seconds from now.
    valid_for: u64,
    client_expires: Option<Timestamp>,
}

async fn make_token(
    State(shared): State<Arc<Shared>>,
    Extension(operator): Extension<Operator>,
    order: Result<Json<TokenOrder>, JsonRejection>,
) -> Outcome<Response> {
    let Json(TokenOrder { name, labels, valid_for, client_expires }) = order?;
    let grant = |expires| TokenGrant { name, labels, expires, client_expires };
    let (token, grant) = create_token(&operator, Duration::from_secs(valid_for), grant).await?;
    let link = shared.link_with(&token);
    let body = json!({
        "id": token.id().to_string(),
        "token": *token.expose(),
        "link": link.as_ref().map(|link| link.as_str()),
        "expires": grant.expires,
    });
    Ok((StatusCode::CREATED, Json(body)).into_response())
}

async fn withdraw(Extension(operator): Extension<Operator>, Path(id): Path<String>) -> Outcome<StatusCode> {
    withdraw_token(&operator, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Serialize)]
struct KeyList {
    keys: Vec<PublishedKey>,
    /// Masters of pre-shared keys.
    psk_masters: Vec<PublishedMaster>,
    /// Returns the time of the next change of a secret's state.
    next_change: Option<Timestamp>,
    /// Refresh interval of clients in seconds.
    refresh_interval: u64,
}

async fn list_keys(State(shared): State<Arc<Shared>>) -> Json<KeyList> {
    let (schedule, now) = (shared.schedule.load(), shared.schedule.now());
    Json(KeyList {
        keys: schedule.keys(now, &shared.suites).collect(),
        psk_masters: schedule.psk_masters(now).collect(),
        next_change: schedule.next_change(now),
        refresh_interval: shared.refresh_interval().as_secs(),
    })
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RotationOrder {
    /// Both in seconds.
    activation_delay: Option<u64>,
    grace_period: Option<u64>,
}

async fn rotate_keys(
    State(shared): State<Arc<Shared>>,
    Extension(operator): Extension<Operator>,
    order: Result<Option<Json<RotationOrder>>, JsonRejection>,
) -> Outcome<Response> {
    let RotationOrder { activation_delay, grace_period } = order?.map(|Json(order)| order).unwrap_or_default();
    let rotation = Rotation {
        activation_delay: activation_delay.map_or(shared.rotation.activation_delay, Duration::from_secs),
        grace_period: grace_period.map_or(shared.rotation.grace_period, Duration::from_secs),
    };
    let generated = rotate(&shared, &operator, rotation).await?;
    let master = generated.psk_master.map(|master| MasterId::from(master).to_string());
    let answer = json!({ "key": generated.keys.first(), "keys": generated.keys, "psk_master": master });
    Ok((StatusCode::CREATED, Json(answer)).into_response())
}

#[derive(Deserialize)]
struct AuditPlace {
    before: Option<u64>,
    limit: Option<usize>,
}

#[derive(Serialize)]
struct AuditPage {
    entries: Vec<AuditView>,
    /// Value of `before` for the next page; `null` if this may be the last.
    next: Option<u64>,
}

async fn audit(
    Extension(operator): Extension<Operator>,
    place: Result<Query<AuditPlace>, QueryRejection>,
    filter: Result<Query<AuditFilter>, QueryRejection>,
) -> Outcome<Json<AuditPage>> {
    let (Query(AuditPlace { before, limit }), Query(filter)) = (place?, filter?);
    let limit = page_length(limit);
    let query = filter.query(&operator, before, limit).await?;
    let entries = operator.store.find_audit_entries(&query).await?;
    let next = entries.last().filter(|_| entries.len() == limit).map(|entry| entry.number);
    Ok(Json(AuditPage { entries: entries.into_iter().map(Into::into).collect(), next }))
}

/// Returns how many entries one answer lists at most.
fn page_length(asked: Option<usize>) -> usize {
    asked.unwrap_or(DEFAULT_LIMIT).clamp(1, MAX_LIMIT)
}

type Outcome<T> = Result<T, ApiError>;

/// A failure in JSON, as devices get them too.
struct ApiError(Failure);

impl<E> From<E> for ApiError
where
    Failure: From<E>,
{
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let Failure { status, error, message } = self.0;
        (status, Json(json!({ "error": error, "message": message }))).into_response()
    }
}
