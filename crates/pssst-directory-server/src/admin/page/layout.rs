//! The frame of all pages, and their rendering.

use askama::Template;
use axum::extract::Extension;
use axum::http::header::WWW_AUTHENTICATE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{Html, IntoResponse, Redirect, Response};
use serde::Deserialize;

use crate::admin::access::{self, Operator};
use crate::admin::failure::Failure;

/// What all pages have around them.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) operator: Option<String>,
    /// Path of the one among [`Layout::PAGES`] that this belongs to.
    pub(super) page: &'static str,
}

impl Layout {
    pub(super) const PAGES: [(&'static str, &'static str); 6] = [
        ("/", "Overview"),
        ("/clients", "Clients"),
        ("/refused", "Refused"),
        ("/tokens", "Tokens"),
        ("/keys", "Keys"),
        ("/audit", "Audit log"),
    ];

    pub(super) fn new(operator: &Operator, page: &'static str) -> Self {
        Self { operator: Some(operator.name.clone()), page }
    }
}

/// What has just been done, to be said on the next page. In the address there is only one of these
/// words.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Done {
    Enrol,
    Edit,
    Import,
    Suspend,
    Resume,
    Revoke,
    Remove,
    Withdraw,
    Rotate,
}

impl Done {
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Enrol => "The client is enrolled.",
            Self::Edit => "The client was changed.",
            Self::Import => "The clients were imported.",
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
pub(super) struct Confirmation {
    pub(super) layout: Layout,
    pub(super) question: String,
    pub(super) consequence: &'static str,
    pub(super) verb: &'static str,
    pub(super) is_grave: bool,
    /// Where the form goes.
    pub(super) action: String,
    /// Where else to go.
    pub(super) back: String,
}

#[derive(Template)]
#[template(path = "failure.html")]
struct FailurePage {
    layout: Layout,
    title: &'static str,
    message: String,
}

pub(super) type Page = Result<Response, PageError>;

pub(super) fn render(template: &impl Template) -> Page {
    render_as(StatusCode::OK, template)
}

pub(super) fn render_as(status: StatusCode, template: &impl Template) -> Page {
    Ok((status, Html(template.render()?)).into_response())
}

/// So that going back or reloading sends no form again.
pub(super) fn go_to(path: &str) -> Response {
    Redirect::to(path).into_response()
}

/// Returns the parameters that are not empty as they stand in an address, the first one with its
/// question mark.
pub(super) fn query_string(parameters: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (name, value) in
        parameters.iter().map(|(name, value)| (name, value.trim())).filter(|(_, value)| !value.is_empty())
    {
        text.extend([if text.is_empty() { "?" } else { "&" }, name, "="]);
        for byte in value.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => text.push(char::from(byte)),
                other => text.extend(["%", &base16ct::upper::encode_string(&[other])]),
            }
        }
    }
    text
}

/// Returns the parameters that are not empty as people read them, if there are any.
pub(super) fn in_list(parameters: &[(&str, &str)]) -> Option<String> {
    let set = parameters.iter().filter(|(_, value)| !value.trim().is_empty());
    let set: Vec<_> = set.map(|(name, value)| format!("{name} {}", value.trim())).collect();
    (!set.is_empty()).then(|| set.join(", "))
}

#[derive(Template)]
#[template(path = "signed_out.html")]
struct SignedOutPage {
    layout: Layout,
    has_certificate: bool,
}

/// Refuses name and token once: a browser forgets them then, and asks for others. A certificate
/// stays chosen until the browser is closed.
pub(super) async fn sign_out(Extension(operator): Extension<Operator>) -> Page {
    let has_certificate = operator.is_by_certificate();
    let page = SignedOutPage { layout: Layout { operator: None, page: "" }, has_certificate };
    if has_certificate {
        return render(&page);
    }
    let mut response = render_as(StatusCode::UNAUTHORIZED, &page)?;
    response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(access::BASIC));
    Ok(response)
}

/// A failure as a page.
pub(super) struct PageError(pub(super) Failure);

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
            StatusCode::CONFLICT | StatusCode::UNPROCESSABLE_ENTITY => "Not possible",
            _ if status.is_client_error() => "Invalid input",
            _ => "Internal error",
        };
        let page = FailurePage { layout: Layout { operator: None, page: "" }, title, message };
        match page.render() {
            Ok(page) => (status, Html(page)).into_response(),
            Err(_) => (status, title).into_response(),
        }
    }
}
