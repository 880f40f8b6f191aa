//! The operators' side: an API in JSON, and web pages.

use std::sync::Arc;

use axum::Router;
use axum::middleware::{from_fn_with_state, map_response};

use super::headers;
use super::state::Shared;

pub(super) use authorities::Authorities;
pub use operators::Operators;

mod access;
mod actions;
mod api;
mod authorities;
mod failure;
mod operators;
mod page;
mod views;

pub(super) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .nest("/v1", api::router())
        .merge(page::router())
        .layer(from_fn_with_state(Arc::clone(&shared), access::guard))
        .layer(map_response(headers::of_admin))
        .with_state(shared)
}
