//! The clients that servers refused.

use askama::Template;
use axum::extract::Extension;
use jiff::Timestamp;

use super::layout::{Layout, Page, render};
use crate::admin::access::Operator;
use crate::admin::views::RefusedView;
use crate::admin::words;

const HOME: &str = "/refused";
const SHOWN: usize = 200;

#[derive(Template)]
#[template(path = "refused.html")]
struct RefusedPage {
    layout: Layout,
    clients: Vec<RefusedView>,
    now: Timestamp,
}

pub(super) async fn list(Extension(operator): Extension<Operator>) -> Page {
    let clients = operator.store.refused(SHOWN).await?;
    render(&RefusedPage {
        layout: Layout::new(&operator, HOME),
        clients: clients.into_iter().map(Into::into).collect(),
        now: Timestamp::now(),
    })
}

impl RefusedView {
    /// Returns the cause as people read it.
    pub(super) fn words(&self) -> String {
        self.cause.replace('_', " ")
    }
}
