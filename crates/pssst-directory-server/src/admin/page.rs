//! The web pages: plain forms and no script.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};

use super::failure::Failure;
use super::import::MAX_FORM_LEN;
use crate::state::Shared;
use layout::PageError;

mod audit;
mod clients;
mod edit;
mod keys;
mod layout;
mod overview;
mod qr;
mod refused;
mod tokens;
mod transfer;

pub(super) fn router() -> Router<Arc<Shared>> {
    Router::new()
        .route("/", get(overview::show))
        .route("/clients", get(clients::list))
        .route("/clients/add", get(edit::ask_to_add).post(edit::add))
        .route("/clients/export", get(transfer::export))
        .route("/clients/import", get(transfer::ask).post(transfer::import).layer(DefaultBodyLimit::max(MAX_FORM_LEN)))
        .route("/clients/{key}", get(clients::show))
        .route("/clients/{key}/edit", get(edit::ask).post(edit::edit))
        .route("/clients/{key}/{action}", get(clients::confirm).post(clients::change))
        .route("/refused", get(refused::list))
        .route("/tokens", get(tokens::list).post(tokens::create))
        .route("/tokens/{id}/withdraw", get(tokens::confirm).post(tokens::withdraw))
        .route("/keys", get(keys::list))
        .route("/keys/rotate", get(keys::confirm).post(keys::rotate))
        .route("/audit", get(audit::list))
        .route("/sign-out", post(layout::sign_out))
        .route("/style.css", get(style))
        .fallback(async || PageError(Failure::not_found("There is no such page.")))
}

async fn style() -> Response {
    ([(CONTENT_TYPE, "text/css; charset=utf-8")], include_str!("../../assets/style.css")).into_response()
}
