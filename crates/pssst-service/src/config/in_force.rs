//! The values of a service's options as it would use them, and where each is from.

use clap::ArgMatches;
use clap::parser::ValueSource;

use super::setting::{Kind, Setting};
use super::{Configured, Invocation};
use crate::failure::Failure;

/// An option, its value, and where that is from.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct InForce {
    /// The option.
    pub setting: Setting,
    /// Its values; none if it is not set. A switch has `true` or `false`.
    pub values: Vec<String>,
    /// Where they are from.
    pub source: Source,
}

/// Where a value is from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there are no other places")]
pub enum Source {
    /// Nobody set it.
    Default,
    /// A line of the configuration file.
    File {
        /// The file's path.
        path: String,
        /// The line, from 1 on.
        line: usize,
    },
    /// A variable of the environment.
    Variable(String),
    /// The command line.
    Flag,
}

impl Invocation {
    /// Returns all options of a service with their values, as the service would use them with this
    /// call.
    ///
    /// # Errors
    /// Faults of the file, or of all sources together.
    pub fn in_force(&self, service: &str) -> Result<Vec<InForce>, Failure> {
        let configured = self.read()?;
        let values = configured.values();
        let settings = Setting::all(&self.program, service).into_iter();
        Ok(settings.filter_map(|setting| configured.in_force(values?, setting)).collect())
    }
}

impl Configured {
    fn in_force(&self, values: &ArgMatches, setting: Setting) -> Option<InForce> {
        let id = setting.id.as_str();
        let given: Vec<_> = values.try_get_raw(id).ok()?.into_iter().flatten().collect();
        let mut values_of = given.iter().map(|value| hide_secrets(&value.to_string_lossy())).collect::<Vec<_>>();
        if setting.kind == Kind::Switch && values_of.is_empty() {
            values_of.push("false".into());
        }
        let source = match (self.file_lines.iter().find(|(of, _)| of == id), values.value_source(id)) {
            (Some((_, line)), _) => {
                let path = self.file().map(|file| file.path().display().to_string()).unwrap_or_default();
                Source::File { path, line: *line }
            }
            (None, Some(ValueSource::CommandLine)) => Source::Flag,
            (None, Some(ValueSource::EnvVariable)) => Source::Variable(setting.variable.clone()),
            (None, _) => Source::Default,
        };
        Some(InForce { setting, values: values_of, source })
    }
}

/// Returns a value without the passwords and tokens that addresses may have.
fn hide_secrets(value: &str) -> String {
    let Some((scheme, rest)) = value.split_once("://") else { return value.to_owned() };
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let authority = match authority.rsplit_once('@') {
        Some((user, host)) => match user.split_once(':') {
            Some((user, _)) => format!("{user}:***@{host}"),
            None => authority.to_owned(),
        },
        None => authority.to_owned(),
    };
    let path: String = path.split_inclusive(['?', '&', '#']).map(hide_parameter).collect();
    format!("{scheme}://{authority}{path}")
}

/// Hides `NAME=VALUE` if the name says that the value is secret.
fn hide_parameter(parameter: &str) -> String {
    match parameter.split_once('=') {
        Some((name, value)) if ["password", "sslpassword", "token"].contains(&name.to_lowercase().as_str()) => {
            let end = if value.ends_with(['?', '&', '#']) { &value[value.len() - 1..] } else { "" };
            format!("{name}=***{end}")
        }
        _ => parameter.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_and_tokens_are_hidden_and_nothing_else() {
        for (value, shown) in [
            ("postgres://u:secret@host/db", "postgres://u:***@host/db"),
            ("postgres://u:p@ss@host/db?a=1&password=secret&b=2", "postgres://u:***@host/db?a=1&password=***&b=2"),
            ("pssst://pool:1/?key=k&token=SECRET", "pssst://pool:1/?key=k&token=***"),
            ("http://127.0.0.1:8080/a?b=c", "http://127.0.0.1:8080/a?b=c"),
            ("postgres://u@host:5432/db", "postgres://u@host:5432/db"),
            ("sqlite:clients.db", "sqlite:clients.db"),
            ("127.0.0.1:45678", "127.0.0.1:45678"),
        ] {
            assert_eq!(hide_secrets(value), shown);
        }
    }
}
