//! The audit log.

use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Extension, Query};
use serde::Deserialize;

use super::layout::{Layout, Page, render};
use crate::admin::access::Operator;
use crate::admin::views::AuditView;

const PAGE_LEN: usize = 50;

#[derive(Deserialize)]
pub(super) struct Listing {
    before: Option<u64>,
}

#[derive(Template)]
#[template(path = "audit.html")]
struct AuditPage {
    layout: Layout,
    entries: Vec<AuditView>,
    is_later: bool,
    next: Option<u64>,
}

pub(super) async fn list(
    Extension(operator): Extension<Operator>,
    query: Result<Query<Listing>, QueryRejection>,
) -> Page {
    let Query(Listing { before }) = query?;
    let entries = operator.store.audit_log(before, PAGE_LEN).await?;
    render(&AuditPage {
        layout: Layout::new(&operator, "/audit"),
        is_later: before.is_some(),
        next: entries.last().filter(|_| entries.len() == PAGE_LEN).map(|entry| entry.number),
        entries: entries.into_iter().map(Into::into).collect(),
    })
}

impl AuditView {
    fn words(&self) -> String {
        self.action.replace('_', " ")
    }

    fn short_key(&self) -> Option<&str> {
        self.client_key.as_deref().map(|key| key.get(..16).unwrap_or(key))
    }
}
