//! The web pages: plain forms and no script.

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::get;
use serde::Deserialize;

use super::Failure;
use super::access::Operator;
use crate::service::Shared;

mod audit;
mod clients;
mod keys;
mod tokens;

pub(super) fn router() -> Router<Arc<Shared>> {
    Router::new()
        .route("/", get(clients::list))
        .route("/clients/{key}", get(clients::show))
        .route("/clients/{key}/{action}", get(clients::confirm).post(clients::change))
        .route("/tokens", get(tokens::list).post(tokens::create))
        .route("/tokens/{id}/withdraw", get(tokens::confirm).post(tokens::withdraw))
        .route("/keys", get(keys::list))
        .route("/keys/rotate", get(keys::confirm).post(keys::rotate))
        .route("/audit", get(audit::list))
        .route("/style.css", get(style))
        .fallback(async || PageError(Failure::not_found("There is no such page.")))
}

async fn style() -> Response {
    ([(CONTENT_TYPE, "text/css; charset=utf-8")], include_str!("../../../assets/style.css")).into_response()
}

/// What all pages have around them.
#[derive(Debug)]
struct Layout {
    operator: Option<String>,
    /// Path of the one among [`Layout::PAGES`] that this belongs to.
    page: &'static str,
}

impl Layout {
    const PAGES: [(&'static str, &'static str); 4] =
        [("/", "Clients"), ("/tokens", "Tokens"), ("/keys", "Server keys"), ("/audit", "Audit log")];

    fn new(operator: &Operator, page: &'static str) -> Self {
        Self { operator: Some(operator.name.clone()), page }
    }
}

/// What has just been done, to be said on the next page. In the address there is only one of these words.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Done {
    Suspend,
    Resume,
    Revoke,
    Remove,
    Withdraw,
    Rotate,
}

impl Done {
    const fn text(self) -> &'static str {
        match self {
            Self::Suspend => "The client is suspended.",
            Self::Resume => "The client is enrolled again.",
            Self::Revoke => "The client is revoked.",
            Self::Remove => "The client was removed.",
            Self::Withdraw => "The token was withdrawn.",
            Self::Rotate => "The rotation has begun: there is a next key.",
        }
    }
}

/// Asks once more.
#[derive(Template)]
#[template(path = "confirm.html")]
struct Confirmation {
    layout: Layout,
    question: String,
    consequence: &'static str,
    verb: &'static str,
    is_grave: bool,
    /// Where the form goes.
    action: String,
    /// Where else to go.
    back: String,
}

#[derive(Template)]
#[template(path = "failure.html")]
struct FailurePage {
    layout: Layout,
    title: &'static str,
    message: String,
}

type Page = Result<Response, PageError>;

fn render(template: &impl Template) -> Page {
    render_as(StatusCode::OK, template)
}

fn render_as(status: StatusCode, template: &impl Template) -> Page {
    Ok((status, Html(template.render()?)).into_response())
}

/// So that going back or reloading sends no form again.
fn go_to(path: &str) -> Response {
    Redirect::to(path).into_response()
}

/// A failure as a page.
struct PageError(Failure);

impl<E> From<E> for PageError
where
    Failure: From<E>,
{
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl From<askama::Error> for Failure {
    fn from(error: askama::Error) -> Self {
        tracing::error!(%error, "a page cannot be made");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "failed", "The page cannot be made.")
    }
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        let Failure { status, message, .. } = self.0;
        let title = match status {
            StatusCode::NOT_FOUND => "Not found",
            StatusCode::CONFLICT | StatusCode::UNPROCESSABLE_ENTITY => "This cannot be done",
            _ if status.is_client_error() => "This was not understood",
            _ => "Something is wrong here",
        };
        let page = FailurePage { layout: Layout { operator: None, page: "" }, title, message };
        match page.render() {
            Ok(page) => (status, Html(page)).into_response(),
            Err(_) => (status, title).into_response(),
        }
    }
}
