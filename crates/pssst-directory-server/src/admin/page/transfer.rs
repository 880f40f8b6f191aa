//! Export and import of clients, as lines of JSON.

use askama::Template;
use axum::body::{Body, Bytes};
use axum::extract::multipart::MultipartRejection;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Extension, Multipart, Query};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use pssst_identity::{Identity, IdentityStore, ListQuery, NewIdentity};

use super::clients::Filter;
use super::layout::{Layout, Page, PageError, go_to, render, render_as};
use crate::admin::access::Operator;
use crate::admin::failure::Failure;
use crate::admin::import::Import;
use crate::admin::words;

const HOME: &str = "/clients";
/// Clients that are read at once.
const PAGE_LEN: usize = 1000;
/// Clients that the question before an import names.
const NAMED: usize = 100;

/// Answers with the clients that fit the filter, as `pssst clients export` prints them: page after
/// page, so that a fleet of any size takes no memory. A download that breaks off is shorter than it
/// says.
pub(super) async fn export(
    Extension(operator): Extension<Operator>,
    query: Result<Query<Filter>, QueryRejection>,
) -> Result<Response, PageError> {
    let Query(filter) = query?;
    let query = ListQuery { limit: PAGE_LEN, ..filter.query()? };
    let pages = stream::try_unfold(Some(query), move |query| {
        let store = operator.store.clone();
        async move {
            let Some(query) = query else { return Ok(None) };
            let page = store.list(&query).await.inspect_err(|error| tracing::error!(%error, "an export broke off"))?;
            let next = page.next.map(|next| ListQuery { after: Some(next), ..query });
            Ok::<_, pssst_identity::Error>(Some((Bytes::from(lines(&page.identities)), next)))
        }
    });
    let headers = [
        (CONTENT_TYPE, "application/jsonl; charset=utf-8"),
        (CONTENT_DISPOSITION, "attachment; filename=\"clients.jsonl\""),
    ];
    Ok((headers, Body::from_stream(pages)).into_response())
}

fn lines(identities: &[Identity]) -> Vec<u8> {
    let mut text = Vec::new();
    for identity in identities {
        // Text, numbers and times are always JSON.
        drop(serde_json::to_writer(&mut text, identity));
        text.push(b'\n');
    }
    text
}

#[derive(Template)]
#[template(path = "import.html")]
struct ImportPage {
    layout: Layout,
    problem: Option<String>,
    text: String,
}

impl ImportPage {
    fn new(operator: &Operator, problem: Option<String>, text: String) -> Self {
        Self { layout: Layout::new(operator, HOME), problem, text }
    }
}

pub(super) async fn ask(Extension(operator): Extension<Operator>) -> Page {
    render(&ImportPage::new(&operator, None, String::new()))
}

#[derive(Template)]
#[template(path = "import_preview.html")]
struct PreviewPage {
    layout: Layout,
    import: Import,
    text: String,
}

impl PreviewPage {
    fn named(&self) -> &[NewIdentity] {
        self.import.new.get(..NAMED).unwrap_or(&self.import.new)
    }
}

/// The form of an import.
#[derive(Default)]
struct ImportForm {
    /// Of the file, or else of the field.
    text: String,
    /// Whether the operator has seen what it changes.
    is_sure: bool,
}

impl ImportForm {
    async fn read(mut form: Multipart) -> Result<Self, Failure> {
        let mut read = Self::default();
        while let Some(field) = form.next_field().await? {
            match field.name() {
                Some("file" | "clients") => {
                    let text = field.bytes().await?;
                    let text = String::from_utf8(text.into())
                        .map_err(|_| Failure::invalid("The file is not a text in UTF-8."))?;
                    if read.text.trim().is_empty() {
                        read.text = text;
                    }
                }
                Some("sure") => read.is_sure = true,
                _ => {}
            }
        }
        Ok(read)
    }
}

/// Shows what an import changes; once the operator has seen that, does it.
pub(super) async fn import(
    Extension(operator): Extension<Operator>,
    form: Result<Multipart, MultipartRejection>,
) -> Page {
    let ImportForm { text, is_sure } = ImportForm::read(form?).await?;
    let import = match Import::read(&operator, text.clone()).await {
        Ok(import) => import,
        Err(failure) if failure.status == StatusCode::UNPROCESSABLE_ENTITY => {
            return render_as(failure.status, &ImportPage::new(&operator, Some(failure.message), text));
        }
        Err(failure) => return Err(PageError(failure)),
    };
    if is_sure && import.is_possible() {
        import.carry_out(&operator).await?;
        return Ok(go_to("/clients?done=import"));
    }
    let status = if import.is_possible() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    render_as(status, &PreviewPage { layout: Layout::new(&operator, HOME), import, text })
}
