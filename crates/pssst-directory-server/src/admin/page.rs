//! The web pages: plain forms and no script.

use std::sync::Arc;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::failure::Failure;
use crate::state::Shared;
use layout::PageError;

mod audit;
mod clients;
mod keys;
mod layout;
mod refused;
mod tokens;

pub(super) fn router() -> Router<Arc<Shared>> {
    Router::new()
        .route("/", get(clients::list))
        .route("/clients/{key}", get(clients::show))
        .route("/clients/{key}/{action}", get(clients::confirm).post(clients::change))
        .route("/refused", get(refused::list))
        .route("/refused/{key}/enrol", get(refused::ask).post(refused::enroll))
        .route("/tokens", get(tokens::list).post(tokens::create))
        .route("/tokens/{id}/withdraw", get(tokens::confirm).post(tokens::withdraw))
        .route("/keys", get(keys::list))
        .route("/keys/rotate", get(keys::confirm).post(keys::rotate))
        .route("/audit", get(audit::list))
        .route("/style.css", get(style))
        .fallback(async || PageError(Failure::not_found("There is no such page.")))
}

async fn style() -> Response {
    ([(CONTENT_TYPE, "text/css; charset=utf-8")], include_str!("../../assets/style.css")).into_response()
}
