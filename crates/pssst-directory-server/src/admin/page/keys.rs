//! The keys of the servers, and their rotation.

use std::sync::Arc;

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
use crate::admin::failure::Failure;
use crate::admin::words;
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
    next_rotation: Option<Timestamp>,
    now: Timestamp,
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
        next_rotation: schedule.next_rotation(now),
        now,
        refresh_interval: words::span(shared.refresh_interval()),
        suites: shared.suites.clone(),
        pin: shared.certificate.pin(),
    })
}

/// Spans, as people write them.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct RotationForm {
    activation_delay: String,
    grace_period: String,
}

impl RotationForm {
    fn rotation(&self) -> Result<Rotation, Failure> {
        let parse = |text| {
            words::parse_span(text).ok_or_else(|| Failure::invalid("Write a time as 90 s, 15 min, 12 h or 7 days."))
        };
        Ok(Rotation { activation_delay: parse(&self.activation_delay)?, grace_period: parse(&self.grace_period)? })
    }
}

#[derive(Template)]
#[template(path = "rotate.html")]
struct RotatePage {
    layout: Layout,
    problem: Option<String>,
    refresh_interval: String,
    /// When a rotation can start, if not now.
    next_rotation: Option<Timestamp>,
    now: Timestamp,
    form: RotationForm,
}

impl RotatePage {
    fn new(shared: &Shared, operator: &Operator, form: RotationForm, problem: Option<String>) -> Self {
        let now = shared.schedule.now();
        Self {
            layout: Layout::new(operator, HOME),
            problem,
            refresh_interval: words::span(shared.refresh_interval()),
            next_rotation: shared.schedule.load().next_rotation(now),
            now,
            form,
        }
    }
}

pub(super) async fn confirm(State(shared): State<Arc<Shared>>, Extension(operator): Extension<Operator>) -> Page {
    let Rotation { activation_delay, grace_period } = shared.rotation;
    let form =
        RotationForm { activation_delay: words::span(activation_delay), grace_period: words::span(grace_period) };
    render(&RotatePage::new(&shared, &operator, form, None))
}

pub(super) async fn rotate(
    State(shared): State<Arc<Shared>>,
    Extension(operator): Extension<Operator>,
    form: Result<Form<RotationForm>, FormRejection>,
) -> Page {
    let Form(form) = form?;
    let rotated = match form.rotation() {
        Ok(rotation) => actions::rotate(&shared, &operator, rotation).await,
        Err(failure) => Err(failure),
    };
    match rotated {
        Ok(_) => Ok(go_to("/keys?done=rotate")),
        Err(failure) if failure.status == StatusCode::UNPROCESSABLE_ENTITY => {
            let page = RotatePage::new(&shared, &operator, form, Some(failure.message));
            render_as(failure.status, &page)
        }
        Err(failure) => Err(PageError(failure)),
    }
}
