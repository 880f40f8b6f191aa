//! Pages of the fleet and of one client.

use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Extension, Path, Query};
use axum::http::StatusCode;
use axum::response::Response;
use jiff::Timestamp;
use pssst_identity::{IdentityStore, ListQuery, State};
use serde::Deserialize;

use super::layout::{Confirmation, Done, Layout, Page, PageError, go_to, render};
use crate::admin::access::Operator;
use crate::admin::actions::{ClientAction, find_client, parse_key};
use crate::admin::failure::Failure;
use crate::admin::views::ClientView;

const PAGE_LEN: usize = 50;
const HOME: &str = "/";

#[derive(Deserialize)]
pub(super) struct Listing {
    #[serde(default)]
    search: String,
    /// Empty for any.
    #[serde(default)]
    state: String,
    #[serde(default)]
    psk: PskFilter,
    after: Option<String>,
    done: Option<Done>,
}

/// Which clients are listed, by whether they must use their pre-shared key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum PskFilter {
    #[default]
    Any,
    Required,
    NotRequired,
}

#[derive(Template)]
#[template(path = "clients.html")]
struct ClientsPage {
    layout: Layout,
    done: Option<&'static str>,
    search: String,
    state: Option<State>,
    /// The filters, for the links to other pages.
    filters: String,
    psk: PskFilter,
    is_filtered: bool,
    clients: Vec<ClientView>,
    now: Timestamp,
    is_later: bool,
    next: Option<String>,
}

pub(super) async fn list(
    Extension(operator): Extension<Operator>,
    query: Result<Query<Listing>, QueryRejection>,
) -> Page {
    let Query(Listing { search, state, psk, after, done }) = query?;
    let state = if state.is_empty() { None } else { Some(state.parse::<State>()?) };
    let search = search.trim().to_owned();
    let is_later = after.is_some();
    let wanted = Some(search.clone()).filter(|search| !search.is_empty());
    let is_filtered = wanted.is_some() || state.is_some() || psk.requires_psk().is_some() || is_later;
    let requires_psk = psk.requires_psk();
    let query = ListQuery { after, limit: PAGE_LEN, state, requires_psk, search: wanted, ..ListQuery::default() };
    let page = operator.store.list(&query).await?;
    render(&ClientsPage {
        layout: Layout::new(&operator, HOME),
        done: done.map(Done::text),
        search,
        state,
        filters: format!("&state={}&psk={}", state.map_or("", State::name), psk.name()),
        psk,
        is_filtered,
        clients: page.identities.into_iter().map(Into::into).collect(),
        now: Timestamp::now(),
        is_later,
        next: page.next,
    })
}

#[derive(Deserialize)]
pub(super) struct Showing {
    done: Option<Done>,
}

#[derive(Template)]
#[template(path = "client.html")]
struct ClientPage {
    layout: Layout,
    done: Option<&'static str>,
    client: ClientView,
    now: Timestamp,
    actions: Vec<ClientAction>,
}

pub(super) async fn show(
    Extension(operator): Extension<Operator>,
    Path(key): Path<String>,
    query: Result<Query<Showing>, QueryRejection>,
) -> Page {
    let Query(Showing { done }) = query?;
    let client = find_client(&operator, &key).await?;
    let actions = ClientAction::ALL.into_iter().filter(|action| action.fits(client.state)).collect();
    render(&ClientPage {
        layout: Layout::new(&operator, HOME),
        done: done.map(Done::text),
        client: client.into(),
        now: Timestamp::now(),
        actions,
    })
}

pub(super) async fn confirm(
    Extension(operator): Extension<Operator>,
    Path((key, action)): Path<(String, String)>,
) -> Page {
    let action = ClientAction::parse(&action)?;
    let client = find_client(&operator, &key).await?;
    if !action.fits(client.state) {
        let message = format!("The client is {}.", client.state);
        return Err(PageError(Failure::new(StatusCode::CONFLICT, "does_not_fit", message)));
    }
    render(&Confirmation {
        layout: Layout::new(&operator, HOME),
        question: format!("{} {}?", action.title(), client.name),
        consequence: action.consequence(),
        verb: action.title(),
        is_grave: action.is_grave(),
        action: format!("/clients/{}/{}", client.key, action.name()),
        back: format!("/clients/{}", client.key),
    })
}

pub(super) async fn change(
    Extension(operator): Extension<Operator>,
    Path((key, action)): Path<(String, String)>,
) -> Result<Response, PageError> {
    let action = ClientAction::parse(&action)?;
    let done = action.name();
    Ok(match action.carry_out(&operator, &parse_key(&key)?).await? {
        Some(client) => go_to(&format!("/clients/{}?done={done}", client.key)),
        None => go_to(&format!("/?done={done}")),
    })
}

impl PskFilter {
    const ALL: [Self; 3] = [Self::Any, Self::Required, Self::NotRequired];

    const fn name(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::Required => "required",
            Self::NotRequired => "not_required",
        }
    }

    const fn text(self) -> &'static str {
        match self {
            Self::NotRequired => "not required",
            Self::Any | Self::Required => self.name(),
        }
    }

    const fn requires_psk(self) -> Option<bool> {
        match self {
            Self::Any => None,
            Self::Required => Some(true),
            Self::NotRequired => Some(false),
        }
    }
}

impl ClientView {
    const fn psk(&self) -> &'static str {
        if self.requires_psk { PskFilter::Required.text() } else { PskFilter::NotRequired.text() }
    }

    fn has_expired(&self, now: &Timestamp) -> bool {
        self.expires.is_some_and(|expires| expires <= *now)
    }

    /// Returns the first digits of the key, which distinguish it from others.
    fn short_key(&self) -> &str {
        self.key.get(..16).unwrap_or(&self.key)
    }
}

impl ClientAction {
    const fn title(self) -> &'static str {
        match self {
            Self::Suspend => "Suspend",
            Self::Resume => "Resume",
            Self::Revoke => "Revoke",
            Self::Remove => "Remove",
        }
    }

    const fn consequence(self) -> &'static str {
        match self {
            Self::Suspend => "All servers refuse this client until it is resumed.",
            Self::Resume => "All servers accept this client again.",
            Self::Revoke => {
                "All servers refuse this client permanently: it cannot be resumed. The device needs a new key."
            }
            Self::Remove => {
                "The directory deletes this client. Its key is unknown to servers then, and its key and name can be enrolled \
                 again. To refuse a key permanently, revoke it instead."
            }
        }
    }

    const fn is_grave(self) -> bool {
        matches!(self, Self::Revoke | Self::Remove)
    }
}
