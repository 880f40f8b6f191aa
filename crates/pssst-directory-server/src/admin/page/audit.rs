//! The audit log.

use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Extension, Query};
use axum::http::StatusCode;
use pssst_identity::Action;
use serde::Deserialize;

use super::layout::{Layout, Page, PageError, in_list, query_string, render, render_as};
use crate::admin::access::Operator;
use crate::admin::audit_filter::AuditFilter;
use crate::admin::views::AuditView;

const PAGE_LEN: usize = 50;

#[derive(Deserialize)]
pub(super) struct Place {
    before: Option<u64>,
}

#[derive(Template)]
#[template(path = "audit.html")]
struct AuditPage {
    layout: Layout,
    problem: Option<String>,
    filter: AuditFilter,
    /// The filters that are set, for links.
    filters: String,
    entries: Vec<AuditView>,
    is_later: bool,
    next: Option<u64>,
}

pub(super) async fn list(
    Extension(operator): Extension<Operator>,
    place: Result<Query<Place>, QueryRejection>,
    filter: Result<Query<AuditFilter>, QueryRejection>,
) -> Page {
    let (Query(Place { before }), Query(filter)) = (place?, filter?);
    let layout = Layout::new(&operator, "/audit");
    let filters = query_string(&filter.fields());
    let query = match filter.query(&operator, before, PAGE_LEN).await {
        Ok(query) => query,
        Err(failure) if failure.status == StatusCode::UNPROCESSABLE_ENTITY => {
            let (problem, entries) = (Some(failure.message), Vec::new());
            let page = AuditPage { layout, problem, filter, filters, entries, is_later: false, next: None };
            return render_as(failure.status, &page);
        }
        Err(failure) => return Err(PageError(failure)),
    };
    let entries = operator.store.find_audit_entries(&query).await?;
    render(&AuditPage {
        layout,
        problem: None,
        filter,
        filters,
        is_later: before.is_some(),
        next: entries.last().filter(|_| entries.len() == PAGE_LEN).map(|entry| entry.number),
        entries: entries.into_iter().map(Into::into).collect(),
    })
}

impl AuditPage {
    fn is_filtered(&self) -> bool {
        !self.filters.is_empty()
    }
}

impl AuditFilter {
    /// Returns the filters that are set, as people read them.
    fn in_words(&self) -> Option<String> {
        let Self { actor, action, client, since, until } = self;
        let action = in_words(action);
        in_list(&[("who", actor), ("what", &action), ("client", client), ("from", since), ("to", until)])
    }
}

impl AuditView {
    pub(super) fn words(&self) -> String {
        in_words(self.action)
    }
}

/// Returns the name of an action as people read it.
fn in_words(action: &str) -> String {
    action.replace('_', " ")
}
