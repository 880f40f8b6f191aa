//! The operators' side: an API in JSON, and web pages.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn_with_state, map_response};

use super::headers;
use super::state::Shared;

pub(super) use authorities::Authorities;
pub use operators::Operators;

mod access;
mod actions;
mod api;
mod audit_filter;
mod authorities;
mod failure;
mod import;
mod operators;
mod overview;
mod page;
mod views;
mod words;

/// Length of a request's body at most, in bytes: more than any limit of a route, which is reported.
pub(super) const MAX_BODY_LEN: usize = 2 * import::MAX_FORM_LEN;
/// Length of the body of a request that imports nothing.
const MAX_SHORT_BODY_LEN: usize = 16 * 1024;

pub(super) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .nest("/v1", api::router())
        .merge(page::router())
        .layer(DefaultBodyLimit::max(MAX_SHORT_BODY_LEN))
        .layer(from_fn_with_state(Arc::clone(&shared), access::guard))
        .layer(map_response(headers::of_admin))
        .with_state(shared)
}
