//! The first page: the state of the pool.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Extension, State};
use jiff::{SignedDuration, Timestamp};
use pssst_directory::KeyState;

use super::layout::{Layout, Page, render};
use crate::admin::access::Operator;
use crate::admin::overview::{MAX_TOKENS, Overview};
use crate::admin::words::{self, grouped};
use crate::state::Shared;

const HOME: &str = "/";
/// From then on the end of the certificate is a warning.
const CERTIFICATE_WARNING: SignedDuration = SignedDuration::from_hours(14 * 24);

#[derive(Template)]
#[template(path = "overview.html")]
struct OverviewPage {
    layout: Layout,
    overview: Overview,
    now: Timestamp,
}

pub(super) async fn show(State(shared): State<Arc<Shared>>, Extension(operator): Extension<Operator>) -> Page {
    let overview = Overview::read(&shared, &operator).await?;
    let now = overview.now;
    render(&OverviewPage { layout: Layout::new(&operator, HOME), overview, now })
}

impl OverviewPage {
    /// Returns how many clients are in which state, and where they are listed.
    fn states(&self) -> Vec<(String, Option<&'static str>)> {
        let clients = &self.overview.clients;
        let all = [
            ("enrolled", clients.enrolled, Some("/clients?state=enrolled")),
            ("expired", clients.expired, None),
            ("suspended", clients.suspended, Some("/clients?state=suspended")),
            ("revoked", clients.revoked, Some("/clients?state=revoked")),
        ];
        let shown = all.into_iter().filter(|(name, count, _)| *count > 0 || *name == "enrolled");
        shown.map(|(name, count, list)| (format!("{} {name}", grouped(count)), list)).collect()
    }

    fn tokens(&self) -> String {
        let count = self.overview.tokens.len();
        format!("{}{}", grouped(count), if count == MAX_TOKENS { " or more" } else { "" })
    }

    /// Returns when the first of the tokens expires.
    fn first_token_expires(&self) -> Option<Timestamp> {
        self.overview.tokens.iter().map(|token| token.grant.expires).min()
    }

    fn is_certificate_ending(&self) -> bool {
        self.overview.certificate_expires.duration_since(self.now) < CERTIFICATE_WARNING
    }
}
