//! Pages of the fleet and of one client.

use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Extension, Path, Query};
use axum::http::StatusCode;
use axum::response::Response;
use jiff::Timestamp;
use pssst::PublicKey;
use pssst_identity::{AuditQuery, IdentityStore, ListQuery, State};
use serde::Deserialize;

use super::layout::{Confirmation, Done, Layout, Page, PageError, go_to, in_list, query_string, render};
use crate::admin::access::Operator;
use crate::admin::actions::{ClientAction, find_client, parse_key};
use crate::admin::failure::Failure;
use crate::admin::views::{AuditView, ClientView};
use crate::admin::words;

const PAGE_LEN: usize = 50;
const HOME: &str = "/clients";
/// Entries of the audit log on the page of a client.
const HISTORY_LEN: usize = 10;

/// Clients that are wanted. An empty text is none.
#[derive(Deserialize)]
pub(super) struct Filter {
    #[serde(default)]
    search: String,
    #[serde(default)]
    state: String,
    #[serde(default)]
    psk: PskFilter,
    /// `name=value`.
    #[serde(default)]
    label: String,
}

impl Filter {
    /// Returns the query for them.
    ///
    /// # Errors
    /// For a state that does not exist.
    pub(super) fn query(&self) -> Result<ListQuery, Failure> {
        let [search, state, label] =
            [&self.search, &self.state, &self.label].map(|text| Some(text.trim()).filter(|text| !text.is_empty()));
        // A key may be written in digits too.
        let search =
            search.map(|text| text.parse::<PublicKey>().map_or_else(|_| text.to_owned(), |key| key.to_string()));
        Ok(ListQuery {
            search,
            state: state.map(str::parse).transpose()?,
            requires_psk: self.psk.requires_psk(),
            label: label.map(str::to_owned),
            ..ListQuery::default()
        })
    }

    /// Returns the filters that are set, for links.
    fn text(&self) -> String {
        let psk = if self.psk == PskFilter::Any { "" } else { self.psk.name() };
        query_string(&[("search", &self.search), ("state", &self.state), ("psk", psk), ("label", &self.label)])
    }

    /// Returns the filters that are set beside the search, as people read them.
    fn in_words(&self) -> Option<String> {
        let psk = if self.psk == PskFilter::Any { "" } else { self.psk.text() };
        in_list(&[("state", &self.state), ("pre-shared key", psk), ("label", &self.label)])
    }
}

#[derive(Deserialize)]
pub(super) struct Place {
    after: Option<String>,
    done: Option<Done>,
}

/// Which clients are listed, by whether they must use their pre-shared key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum PskFilter {
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
    filter: Filter,
    /// The filters that are set, for links.
    filters: String,
    clients: Vec<ClientView>,
    /// How many there are, without a filter.
    all: Option<u64>,
    now: Timestamp,
    is_later: bool,
    next: Option<String>,
}

pub(super) async fn list(
    Extension(operator): Extension<Operator>,
    place: Result<Query<Place>, QueryRejection>,
    filter: Result<Query<Filter>, QueryRejection>,
) -> Page {
    let (Query(Place { after, done }), Query(filter)) = (place?, filter?);
    let (is_later, filters) = (after.is_some(), filter.text());
    let query = ListQuery { after, limit: PAGE_LEN, ..filter.query()? };
    let page = operator.store.list(&query).await?;
    let all = if filters.is_empty() { Some(operator.store.totals().await?.all()) } else { None };
    render(&ClientsPage {
        layout: Layout::new(&operator, HOME),
        done: done.map(Done::text),
        filter,
        filters,
        clients: page.identities.into_iter().map(Into::into).collect(),
        all,
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
    history: Vec<AuditView>,
    has_more_history: bool,
}

pub(super) async fn show(
    Extension(operator): Extension<Operator>,
    Path(key): Path<String>,
    query: Result<Query<Showing>, QueryRejection>,
) -> Page {
    let Query(Showing { done }) = query?;
    let client = find_client(&operator, &key).await?;
    let actions = ClientAction::ALL.into_iter().filter(|action| action.fits(client.state)).collect();
    let query = AuditQuery { client_key: Some(client.key), limit: HISTORY_LEN, ..AuditQuery::default() };
    let history = operator.store.find_audit_entries(&query).await?;
    render(&ClientPage {
        layout: Layout::new(&operator, HOME),
        done: done.map(Done::text),
        client: client.into(),
        now: Timestamp::now(),
        actions,
        has_more_history: history.len() == HISTORY_LEN,
        history: history.into_iter().map(Into::into).collect(),
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
        None => go_to(&format!("/clients?done={done}")),
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
