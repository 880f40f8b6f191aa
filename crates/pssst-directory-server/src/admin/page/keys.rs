//! The keys of the servers, and their rotation.

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::Form;
use axum::extract::rejection::{FormRejection, QueryRejection};
use axum::extract::{Extension, Query, State};
use axum::http::StatusCode;
use jiff::Timestamp;
use pssst::Suite;
use serde::Deserialize;

use super::layout::{Done, Layout, Page, PageError, go_to, render, render_as};
use crate::admin::access::Operator;
use crate::admin::actions;
use crate::state::{Rotation, Shared};
use pssst_directory::{Pin, PublishedKey, PublishedMaster};

const HOME: &str = "/keys";

#[derive(Deserialize)]
pub(super) struct Listing {
    done: Option<Done>,
}

#[derive(Template)]
#[template(path = "keys.html")]
struct KeysPage {
    layout: Layout,
    done: Option<&'static str>,
    /// The fault of the file.
    error: Option<String>,
    keys: Vec<PublishedKey>,
    psk_masters: Vec<PublishedMaster>,
    next_change: Option<Timestamp>,
    refresh_interval: String,
    suites: Vec<Suite>,
    pin: Pin,
}

pub(super) async fn list(
    State(shared): State<Arc<Shared>>,
    Extension(operator): Extension<Operator>,
    query: Result<Query<Listing>, QueryRejection>,
) -> Page {
    let Query(Listing { done }) = query?;
    let (schedule, now) = (shared.schedule.load(), shared.schedule.now());
    render(&KeysPage {
        layout: Layout::new(&operator, HOME),
        done: done.map(Done::text),
        error: shared.schedule.error(),
        keys: schedule.keys(now, &shared.suites).collect(),
        psk_masters: schedule.psk_masters(now).collect(),
        next_change: schedule.next_change(now),
        refresh_interval: in_words(shared.refresh_interval()),
        suites: shared.suites.clone(),
        pin: shared.certificate.pin(),
    })
}

/// Minutes both.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct RotationForm {
    activation_delay: u32,
    grace_period: u32,
}

#[derive(Template)]
#[template(path = "rotate.html")]
struct RotatePage {
    layout: Layout,
    problem: Option<String>,
    refresh_interval: String,
    form: RotationForm,
}

impl RotatePage {
    fn new(shared: &Shared, operator: &Operator, form: RotationForm, problem: Option<String>) -> Self {
        Self {
            layout: Layout::new(operator, HOME),
            problem,
            refresh_interval: in_words(shared.refresh_interval()),
            form,
        }
    }
}

pub(super) async fn confirm(State(shared): State<Arc<Shared>>, Extension(operator): Extension<Operator>) -> Page {
    let minutes = |time: Duration| u32::try_from(time.as_secs().div_ceil(60)).unwrap_or(u32::MAX);
    let Rotation { activation_delay, grace_period } = shared.rotation;
    let form = RotationForm { activation_delay: minutes(activation_delay), grace_period: minutes(grace_period) };
    render(&RotatePage::new(&shared, &operator, form, None))
}

pub(super) async fn rotate(
    State(shared): State<Arc<Shared>>,
    Extension(operator): Extension<Operator>,
    form: Result<Form<RotationForm>, FormRejection>,
) -> Page {
    let Form(form) = form?;
    let minutes = |count: u32| Duration::from_secs(60 * u64::from(count));
    let rotation =
        Rotation { activation_delay: minutes(form.activation_delay), grace_period: minutes(form.grace_period) };
    match actions::rotate(&shared, &operator, rotation).await {
        Ok(_) => Ok(go_to("/keys?done=rotate")),
        Err(failure) if failure.status == StatusCode::UNPROCESSABLE_ENTITY => {
            let page = RotatePage::new(&shared, &operator, form, Some(failure.message));
            render_as(failure.status, &page)
        }
        Err(failure) => Err(PageError(failure)),
    }
}

/// In the largest unit that it is a whole number of.
fn in_words(time: Duration) -> String {
    match time.as_secs() {
        seconds if seconds.is_multiple_of(3600) => format!("{} h", seconds / 3600),
        seconds if seconds.is_multiple_of(60) => format!("{} min", seconds / 60),
        seconds => format!("{seconds} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_said_in_their_largest_unit() {
        for (seconds, words) in [(1, "1 s"), (90, "90 s"), (120, "2 min"), (3600, "1 h"), (86_400, "24 h")] {
            assert_eq!(in_words(Duration::from_secs(seconds)), words);
        }
    }
}
