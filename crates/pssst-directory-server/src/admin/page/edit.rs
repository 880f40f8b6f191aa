//! Forms of a client: a new one, and changes of what is said of one.

use askama::Template;
use axum::Form;
use axum::extract::rejection::{FormRejection, QueryRejection};
use axum::extract::{Extension, Path, Query};
use axum::http::StatusCode;
use jiff::Timestamp;
use pssst::PublicKey;
use pssst_identity::{Identity, IdentityStore, Labels, Update};
use serde::Deserialize;

use super::layout::{Layout, Page, PageError, go_to, render, render_as};
use crate::admin::access::Operator;
use crate::admin::actions::{self, find_client, parse_key};
use crate::admin::failure::Failure;
use crate::admin::words;

const HOME: &str = "/clients";

#[derive(Debug, Default, Deserialize)]
pub(super) struct ClientForm {
    /// Of a new client.
    #[serde(default)]
    key: String,
    #[serde(default)]
    name: String,
    /// A line for each.
    #[serde(default)]
    labels: String,
    /// Empty for never.
    #[serde(default)]
    expires: String,
    /// Time of the client's last change when the form was sent out.
    #[serde(default)]
    changed: String,
}

#[derive(Template)]
#[template(path = "edit.html")]
struct EditPage {
    layout: Layout,
    problem: Option<String>,
    /// Of a client that is there.
    client: Option<PublicKey>,
    /// Where else to go.
    back: String,
    form: ClientForm,
}

impl EditPage {
    /// Of a new client.
    fn to_add(operator: &Operator, form: ClientForm) -> Self {
        let layout = Layout::new(operator, HOME);
        Self { layout, problem: None, client: None, back: HOME.to_owned(), form }
    }

    fn to_edit(operator: &Operator, client: PublicKey, form: ClientForm) -> Self {
        let layout = Layout::new(operator, HOME);
        Self { layout, problem: None, client: Some(client), back: format!("{HOME}/{client}"), form }
    }

    /// Shows the form again, with what is wrong with it.
    fn again(self, failure: Failure) -> Page {
        match failure.status {
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::NOT_FOUND => Err(PageError(failure)),
            status => render_as(status, &Self { problem: Some(failure.message), ..self }),
        }
    }
}

pub(super) async fn ask_to_add(
    Extension(operator): Extension<Operator>,
    query: Result<Query<ClientForm>, QueryRejection>,
) -> Page {
    let Query(form) = query?;
    render(&EditPage::to_add(&operator, form))
}

pub(super) async fn add(
    Extension(operator): Extension<Operator>,
    form: Result<Form<ClientForm>, FormRejection>,
) -> Page {
    let Form(form) = form?;
    match form.enroll(&operator).await {
        Ok(client) => Ok(go_to(&format!("/clients/{}?done=enrol", client.key))),
        Err(failure) => EditPage::to_add(&operator, form).again(failure),
    }
}

pub(super) async fn ask(Extension(operator): Extension<Operator>, Path(key): Path<String>) -> Page {
    let client = find_client(&operator, &key).await?;
    render(&EditPage::to_edit(&operator, client.key, ClientForm::of(&client)))
}

pub(super) async fn edit(
    Extension(operator): Extension<Operator>,
    Path(key): Path<String>,
    form: Result<Form<ClientForm>, FormRejection>,
) -> Page {
    let Form(form) = form?;
    let client = find_client(&operator, &key).await?;
    match form.update(&operator, &client).await {
        Ok(()) => Ok(go_to(&format!("/clients/{}?done=edit", client.key))),
        Err(failure) => EditPage::to_edit(&operator, client.key, form).again(failure),
    }
}

impl ClientForm {
    fn of(client: &Identity) -> Self {
        Self {
            key: String::new(),
            name: client.name.clone(),
            labels: client.labels.iter().flat_map(|(name, value)| [name, "=", value, "\n"]).collect(),
            expires: client.expires.map(words::field_time).unwrap_or_default(),
            changed: client.changed.to_string(),
        }
    }

    /// Returns the fingerprint of the key, if there is one.
    fn fingerprint(&self) -> Option<String> {
        Some(self.key.trim().parse::<PublicKey>().ok()?.fingerprint().to_string())
    }

    async fn enroll(&self, operator: &Operator) -> Result<Identity, Failure> {
        let key = parse_key(self.key.trim()).map_err(|_| {
            Failure::invalid("Write the key as the device shows it: pssst1…, or 64 hexadecimal digits.")
        })?;
        actions::enroll(operator, key, self.name.trim(), labels(&self.labels)?, expiry(&self.expires)?).await
    }

    /// Changes what the form has otherwise than the client.
    async fn update(&self, operator: &Operator, client: &Identity) -> Result<(), Failure> {
        let based_on = self.changed.parse().map_err(|_| Failure::invalid("Open the form again."))?;
        let (name, labels, expires) = (self.name.trim(), labels(&self.labels)?, expiry(&self.expires)?);
        let update = Update {
            name: Some(name.to_owned()).filter(|name| *name != client.name),
            labels: Some(labels).filter(|labels| *labels != client.labels),
            expires: Some(expires).filter(|expires| *expires != client.expires),
            ..Update::default()
        };
        if update == Update::default() {
            return Ok(());
        }
        match operator.store.update(&client.key, Update { based_on: Some(based_on), ..update }).await {
            Ok(_) => Ok(()),
            Err(pssst_identity::Error::Outdated(_)) => {
                let message = "Another operator changed this client in the meantime. Open the form again.";
                Err(Failure::new(StatusCode::CONFLICT, "outdated", message))
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Reads the labels of a form: a line for each, `name=value`.
pub(super) fn labels(text: &str) -> Result<Labels, Failure> {
    let mut labels = Labels::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (name, value) =
            line.split_once('=').ok_or_else(|| Failure::invalid(format!("Write the label {line:?} as name=value.")))?;
        if labels.insert(name.trim().to_owned(), value.trim().to_owned()).is_some() {
            return Err(Failure::invalid(format!("There are two labels {:?}.", name.trim())));
        }
    }
    Ok(labels)
}

/// Reads the expiry of a client in a form.
pub(super) fn expiry(text: &str) -> Result<Option<Timestamp>, Failure> {
    match text.trim() {
        "" => Ok(None),
        text => words::parse_time(text)
            .map(Some)
            .ok_or_else(|| Failure::invalid("Write the time as 2030-12-31 or 2030-12-31T18:00.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_say_what_a_client_has() {
        let read = labels("site=berlin\r\n\r\n floor = 2=3 ").unwrap();
        assert_eq!((read["site"].as_str(), read["floor"].as_str(), read.len()), ("berlin", "2=3", 2));
        assert_eq!(expiry("2030-12-31").unwrap().unwrap().to_string(), "2030-12-31T00:00:00Z");
        assert_eq!(expiry(" ").unwrap(), None);
        for bad in ["berlin", "a=1\na=2"] {
            assert!(labels(bad).is_err(), "{bad}");
        }
        for bad in ["31.12.2030", "2030-02-30"] {
            assert!(expiry(bad).is_err(), "{bad}");
        }
    }
}
