//! Pages of tokens: the list, and the form for new ones.

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::Form;
use axum::extract::rejection::{FormRejection, QueryRejection};
use axum::extract::{Extension, Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use jiff::Timestamp;
use pssst_identity::{TokenGrant, TokenId};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::edit;
use super::layout::{Confirmation, Done, Layout, Page, PageError, go_to, render, render_as};
use super::qr::QrCode;
use crate::admin::access::Operator;
use crate::admin::actions::{create_token, withdraw_token};
use crate::admin::failure::Failure;
use crate::admin::views::{TokenState, TokenView};
use crate::admin::words;
use crate::state::Shared;
use pssst_directory::Pin;

const HOME: &str = "/tokens";
const SHOWN: usize = 200;

#[derive(Default, Deserialize)]
pub(super) struct Listing {
    #[serde(default)]
    all: bool,
    done: Option<Done>,
}

#[derive(Template)]
#[template(path = "tokens.html")]
struct TokensPage {
    layout: Layout,
    done: Option<&'static str>,
    problem: Option<String>,
    form: TokenForm,
    open_only: bool,
    tokens: Vec<TokenView>,
    now: Timestamp,
}

impl TokensPage {
    async fn new(operator: &Operator, Listing { all, done }: Listing) -> Result<Self, Failure> {
        let (tokens, now) = (operator.store.tokens(!all, SHOWN).await?, Timestamp::now());
        Ok(Self {
            layout: Layout::new(operator, HOME),
            done: done.map(Done::text),
            problem: None,
            form: TokenForm::default(),
            open_only: !all,
            tokens: tokens.into_iter().map(|token| TokenView::new(token, now)).collect(),
            now,
        })
    }
}

pub(super) async fn list(
    Extension(operator): Extension<Operator>,
    query: Result<Query<Listing>, QueryRejection>,
) -> Page {
    let Query(listing) = query?;
    render(&TokensPage::new(&operator, listing).await?)
}

#[derive(Debug, Deserialize)]
pub(super) struct TokenForm {
    name: String,
    labels: String,
    /// Seconds.
    valid_for: u64,
    client_expires: String,
}

impl TokenForm {
    const VALIDITIES: [(u64, &'static str); 5] =
        [(3600, "1 hour"), (86_400, "1 day"), (604_800, "7 days"), (2_592_000, "30 days"), (31_536_000, "365 days")];

    /// Returns what the token allows, except its own time.
    fn grant(&self) -> Result<impl FnOnce(Timestamp) -> TokenGrant + use<>, Failure> {
        let name = Some(self.name.trim().to_owned()).filter(|name| !name.is_empty());
        let (labels, client_expires) = (edit::labels(&self.labels)?, edit::expiry(&self.client_expires)?);
        Ok(move |expires| TokenGrant { name, labels, expires, client_expires })
    }
}

impl Default for TokenForm {
    fn default() -> Self {
        Self { name: String::new(), labels: String::new(), valid_for: 86_400, client_expires: String::new() }
    }
}

#[derive(Template)]
#[template(path = "token.html")]
struct TokenPage {
    layout: Layout,
    token: Zeroizing<String>,
    grant: TokenGrant,
    now: Timestamp,
    link: Option<Zeroizing<String>>,
    code: Option<QrCode>,
    /// For the device's command line.
    command: Zeroizing<String>,
}

/// Answers with the token itself, and not with another place: nothing else could know it.
pub(super) async fn create(
    State(shared): State<Arc<Shared>>,
    Extension(operator): Extension<Operator>,
    form: Result<Form<TokenForm>, FormRejection>,
) -> Page {
    let Form(form) = form?;
    let created = match form.grant() {
        Ok(grant) => create_token(&operator, Duration::from_secs(form.valid_for), grant).await,
        Err(failure) => Err(failure),
    };
    match created {
        Ok((token, grant)) => {
            let (layout, now) = (Layout::new(&operator, HOME), Timestamp::now());
            let link = shared.link_with(&token);
            let code = link.as_ref().and_then(|link| QrCode::new(link));
            let (token, pin) = (token.expose(), shared.certificate.pin());
            let command =
                command(link.as_ref().unwrap_or(&token), grant.name.as_deref(), link.is_none().then_some(pin));
            render(&TokenPage { layout, token, grant, now, link, code, command })
        }
        Err(failure) if failure.status == StatusCode::SERVICE_UNAVAILABLE => Err(PageError(failure)),
        Err(failure) => {
            let page = TokensPage::new(&operator, Listing::default()).await?;
            render_as(failure.status, &TokensPage { problem: Some(failure.message), form, ..page })
        }
    }
}

/// Returns the command that enrols a device. The secret reaches the program by a pipe: other users
/// of the machine see command lines. Without a link, the operator fills in the directory's address.
fn command(secret: &str, name: Option<&str>, pin: Option<Pin>) -> Zeroizing<String> {
    let is_plain = |name: &&str| {
        !name.starts_with('.') && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    let key_file = name.filter(is_plain).unwrap_or("device");
    let proposal = if name.is_none() { " --name NAME" } else { "" };
    let directory = pin.map(|pin| format!(" --directory https://DIRECTORY:8443 --pin {pin}")).unwrap_or_default();
    // At once: a string that grows leaves pieces behind.
    let mut text = Zeroizing::new(String::with_capacity(secret.len() + key_file.len() + directory.len() + 100));
    text.extend(["printf %s '", secret, "' | pssst enroll", &directory, " --identity ", key_file, ".key", proposal]);
    text
}

pub(super) async fn confirm(Extension(operator): Extension<Operator>, Path(id): Path<String>) -> Page {
    let id: TokenId = id.parse().map_err(|_| Failure::not_found("This is not the name of a token."))?;
    render(&Confirmation {
        layout: Layout::new(&operator, HOME),
        question: format!("Withdraw token {id}?"),
        consequence: "It can no longer enrol a device. A device that it enrolled stays enrolled.",
        verb: "Withdraw",
        is_grave: true,
        action: format!("/tokens/{id}/withdraw"),
        back: HOME.to_owned(),
    })
}

pub(super) async fn withdraw(
    Extension(operator): Extension<Operator>,
    Path(id): Path<String>,
) -> Result<Response, PageError> {
    withdraw_token(&operator, &id).await?;
    Ok(go_to("/tokens?done=withdraw"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(labels: &str, client_expires: &str) -> TokenForm {
        TokenForm { labels: labels.to_owned(), client_expires: client_expires.to_owned(), ..TokenForm::default() }
    }

    #[test]
    fn forms_say_what_a_token_allows() {
        let form =
            TokenForm { name: " boiler-7 ".to_owned(), ..form("site=berlin\r\n\r\n floor = 2=3 ", "2030-12-31") };
        let grant = form.grant().unwrap()(Timestamp::UNIX_EPOCH);
        assert_eq!(grant.name.as_deref(), Some("boiler-7"));
        assert_eq!(grant.labels["site"], "berlin");
        assert_eq!(grant.labels["floor"], "2=3");
        assert_eq!(grant.client_expires.unwrap().to_string(), "2030-12-31T00:00:00Z");
        let grant = TokenForm::default().grant().unwrap()(Timestamp::UNIX_EPOCH);
        assert_eq!((grant.name, grant.labels.len(), grant.client_expires), (None, 0, None));
    }

    #[test]
    fn a_command_line_enrols_a_device() {
        for (name, expected) in [
            (Some("pump-9"), "printf %s 'secret' | pssst enroll --identity pump-9.key"),
            (Some("';x"), "printf %s 'secret' | pssst enroll --identity device.key"),
            (Some("../x"), "printf %s 'secret' | pssst enroll --identity device.key"),
            (None, "printf %s 'secret' | pssst enroll --identity device.key --name NAME"),
        ] {
            assert_eq!(*command("secret", name, None), expected);
        }
        let pin = Pin::from_bytes([1; 32]);
        assert!(
            command("secret", None, Some(pin)).contains(&format!(" --directory https://DIRECTORY:8443 --pin {pin} "))
        );
    }

    #[test]
    fn forms_that_say_nothing_of_the_kind_are_refused() {
        for bad in [form("berlin", ""), form("", "31.12.2030"), form("", "2030-02-30")] {
            assert!(bad.grant().is_err(), "{bad:?}");
        }
    }
}
