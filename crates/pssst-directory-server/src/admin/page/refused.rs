//! Pages of the clients that servers refused: the list, and the form that enrols a key.

use askama::Template;
use axum::Form;
use axum::extract::rejection::FormRejection;
use axum::extract::{Extension, Path};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use pssst::PublicKey;
use pssst_identity::Labels;
use serde::Deserialize;

use super::layout::{Layout, Page, PageError, go_to, render, render_as};
use crate::admin::access::Operator;
use crate::admin::actions::{self, parse_key};
use crate::admin::views::RefusedView;

const HOME: &str = "/refused";
const SHOWN: usize = 200;

#[derive(Template)]
#[template(path = "refused.html")]
struct RefusedPage {
    layout: Layout,
    clients: Vec<RefusedView>,
}

pub(super) async fn list(Extension(operator): Extension<Operator>) -> Page {
    let clients = operator.store.refused(SHOWN).await?;
    render(&RefusedPage {
        layout: Layout::new(&operator, HOME),
        clients: clients.into_iter().map(Into::into).collect(),
    })
}

impl RefusedView {
    /// Returns the first digits of the key. The form that enrols it shows all of them.
    fn short_key(&self) -> &str {
        self.key.get(..16).unwrap_or(&self.key)
    }
}

#[derive(Template)]
#[template(path = "enrol.html")]
struct EnrolPage {
    layout: Layout,
    problem: Option<String>,
    key: PublicKey,
    name: String,
}

#[derive(Deserialize)]
pub(super) struct EnrolForm {
    name: String,
}

pub(super) async fn ask(Extension(operator): Extension<Operator>, Path(key): Path<String>) -> Page {
    let key = parse_key(&key)?;
    render(&EnrolPage { layout: Layout::new(&operator, HOME), problem: None, key, name: String::new() })
}

pub(super) async fn enroll(
    Extension(operator): Extension<Operator>,
    Path(key): Path<String>,
    form: Result<Form<EnrolForm>, FormRejection>,
) -> Result<Response, PageError> {
    let key = parse_key(&key)?;
    let Form(EnrolForm { name }) = form?;
    match actions::enroll(&operator, key, name.trim(), Labels::new(), None).await {
        Ok(client) => Ok(go_to(&format!("/clients/{}?done=enrol", client.key))),
        Err(failure) if failure.status == StatusCode::SERVICE_UNAVAILABLE => Err(PageError(failure)),
        Err(failure) => {
            let layout = Layout::new(&operator, HOME);
            let page = EnrolPage { layout, problem: Some(failure.message), key, name };
            Ok(render_as(failure.status, &page)?.into_response())
        }
    }
}
