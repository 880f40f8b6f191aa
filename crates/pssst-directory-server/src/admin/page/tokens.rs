//! Pages of tokens: the list, and the form for new ones.

use std::time::Duration;

use askama::Template;
use axum::Form;
use axum::extract::rejection::{FormRejection, QueryRejection};
use axum::extract::{Extension, Path, Query};
use axum::http::StatusCode;
use axum::response::Response;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use pssst_identity::{Labels, TokenGrant, TokenId};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::layout::{Confirmation, Done, Layout, Page, PageError, go_to, render, render_as};
use crate::admin::access::Operator;
use crate::admin::actions::{create_token, withdraw_token};
use crate::admin::failure::Failure;
use crate::admin::views::{TokenState, TokenView};

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
        let labels = self.labels.lines().map(str::trim).filter(|line| !line.is_empty()).map(|line| {
            let (name, value) = line.split_once('=').ok_or_else(|| Failure::invalid("Write a label as name=value"))?;
            Ok((name.trim().to_owned(), value.trim().to_owned()))
        });
        let labels = labels.collect::<Result<Labels, Failure>>()?;
        let client_expires = match self.client_expires.trim() {
            "" => None,
            text => Some(beginning_of(text).ok_or_else(|| Failure::invalid("Write a day as 2030-12-31"))?),
        };
        Ok(move |expires| TokenGrant { name, labels, expires, client_expires })
    }
}

impl Default for TokenForm {
    fn default() -> Self {
        Self { name: String::new(), labels: String::new(), valid_for: 86_400, client_expires: String::new() }
    }
}

fn beginning_of(day: &str) -> Option<Timestamp> {
    TimeZone::UTC.to_timestamp(day.parse::<Date>().ok()?.at(0, 0, 0, 0)).ok()
}

#[derive(Template)]
#[template(path = "token.html")]
struct TokenPage {
    layout: Layout,
    token: Zeroizing<String>,
    grant: TokenGrant,
}

/// Answers with the token itself, and not with another place: nothing else could know it.
pub(super) async fn create(
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
            let layout = Layout::new(&operator, HOME);
            render(&TokenPage { layout, token: token.expose(), grant })
        }
        Err(failure) if failure.status == StatusCode::SERVICE_UNAVAILABLE => Err(PageError(failure)),
        Err(failure) => {
            let page = TokensPage::new(&operator, Listing::default()).await?;
            render_as(failure.status, &TokensPage { problem: Some(failure.message), form, ..page })
        }
    }
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
    fn forms_that_say_nothing_of_the_kind_are_refused() {
        for bad in [form("berlin", ""), form("", "31.12.2030"), form("", "2030-02-30")] {
            assert!(bad.grant().is_err(), "{bad:?}");
        }
    }
}
