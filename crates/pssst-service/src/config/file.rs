//! Configuration files: TOML, with a table for each service, whose keys are the names of the
//! service's options.

use std::error::Error as _;
use std::ffi::OsString;
use std::fs::File;
use std::io::{ErrorKind as ErrorOfFile, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, Command};
use pssst_support::byte_order_mark;
use toml::de::{DeTable, DeValue};

use crate::failure::Failure;
use crate::program::Program;

/// Far more than any configuration needs.
const MAX_LEN: u64 = 1 << 20;

/// A file that is TOML, and has tables for services only.
#[derive(Clone, Debug)]
pub struct ConfigFile {
    path: PathBuf,
    text: String,
    services: Vec<&'static str>,
    entries: Vec<Entry>,
}

/// A service, and what the file says for it.
type Table = (&'static str, Vec<Entry>);

/// A key and its value.
#[derive(Clone, Debug)]
struct Entry {
    service: &'static str,
    key: String,
    at: Range<usize>,
    value: Value,
}

#[derive(Clone, Debug)]
enum Value {
    Switch(bool),
    /// As it would be given on the command line.
    Texts(Vec<String>),
    Unfit(&'static str),
}

/// An entry, as the command line would have it.
#[derive(Debug)]
pub(crate) struct FileOption {
    pub(crate) id: String,
    pub(crate) args: Vec<OsString>,
    /// Its line, from 1 on.
    pub(crate) line: usize,
}

impl ConfigFile {
    /// Reads it.
    ///
    /// # Errors
    /// When it cannot be read, is not TOML, or has tables other than for these services.
    pub fn read(path: &Path, services: &[&'static str]) -> Result<Self, Failure> {
        let (file, tables) = Self::read_each(path, services)?;
        tables.map(|()| file)
    }

    /// Reads it, and returns what is wrong with its tables beside those that are right.
    ///
    /// # Errors
    /// When it cannot be read, or is not TOML.
    pub fn read_each(path: &Path, services: &[&'static str]) -> Result<(Self, Result<(), Failure>), Failure> {
        // Opening a pipe would block until another process writes.
        if path.metadata().is_ok_and(|it| !it.is_file()) {
            return Err(Failure::usage(
                format!("{} is not a regular file", path.display()),
                "every reload reads it again",
            ));
        }
        let mut text = String::new();
        File::open(path).and_then(|file| file.take(MAX_LEN + 1).read_to_string(&mut text)).map_err(|error| {
            let remedy = match error.kind() {
                ErrorOfFile::InvalidData => "a configuration is TOML, in UTF-8",
                _ => "check the path and its permissions",
            };
            Failure::usage(format!("cannot read {}: {error}", path.display()), remedy)
        })?;
        if text.len() as u64 > MAX_LEN {
            return Err(Failure::usage(
                format!("{} is longer than {MAX_LEN} bytes", path.display()),
                "check that this is a configuration file",
            ));
        }
        byte_order_mark::remove(&mut text);
        Self::parse(path, text, services)
    }

    /// Returns its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the services that it has tables for.
    pub fn services(&self) -> &[&'static str] {
        &self.services
    }

    /// Returns what it says for an option of a service, unchecked, if that is one value.
    pub fn value(&self, service: &str, option: &str) -> Option<&str> {
        match &self.entries.iter().find(|entry| entry.service == service && entry.key == option)?.value {
            Value::Texts(texts) => texts.first().map(String::as_str),
            Value::Switch(_) | Value::Unfit(_) => None,
        }
    }

    /// Checks each entry of a service by itself.
    ///
    /// # Errors
    /// All values that their options do not take, and options that there are not.
    pub fn check_values(&self, program: &Program, service: &str) -> Result<(), Failure> {
        self.options(service, &program.service(service)).map(drop)
    }

    /// Returns all that it says, unchecked: the service, the key, and the values as texts.
    pub fn values(&self) -> impl Iterator<Item = (&'static str, &str, Vec<String>)> {
        self.entries.iter().map(|entry| {
            let values = match &entry.value {
                Value::Texts(texts) => texts.clone(),
                Value::Switch(is_on) => vec![is_on.to_string()],
                Value::Unfit(what) => vec![format!("({what})")],
            };
            (entry.service, entry.key.as_str(), values)
        })
    }

    /// What it says for a service, each entry checked by itself.
    pub(crate) fn options(&self, service: &str, command: &Command) -> Result<Vec<FileOption>, Failure> {
        Failure::collect(self.each_option(service, command).map(|(_, option)| option))
    }

    /// Returns the keys of a service, and what each says.
    pub(crate) fn each_option(
        &self,
        service: &str,
        command: &Command,
    ) -> impl Iterator<Item = (&str, Result<FileOption, Failure>)> {
        let entries = self.entries.iter().filter(move |entry| entry.service == service);
        entries.map(move |entry| {
            let option = entry.option(command, self.line(&entry.at));
            (entry.key.as_str(), option.map_err(|failure| self.at(&entry.at, failure)))
        })
    }

    /// Returns the failure with the line that has its option.
    pub(crate) fn locate(&self, service: &str, failure: Failure) -> Failure {
        let its = |entry: &&Entry| entry.service == service && Some(entry.key.as_str()) == failure.option();
        match self.entries.iter().find(its) {
            Some(entry) => self.at(&entry.at, failure),
            None => failure,
        }
    }

    /// Returns whether the file has other contents now, or none that can be read.
    pub(crate) fn has_changed(&self) -> bool {
        let Ok(mut text) = std::fs::read_to_string(&self.path) else { return true };
        byte_order_mark::remove(&mut text);
        text != self.text
    }

    fn parse(path: &Path, text: String, known: &[&'static str]) -> Result<(Self, Result<(), Failure>), Failure> {
        let mut file = Self { path: path.into(), text, services: Vec::new(), entries: Vec::new() };
        let (good, bad): (Vec<_>, Vec<_>) = file.tables(known)?.into_iter().partition(Result::is_ok);
        for (service, entries) in good.into_iter().flatten() {
            file.services.push(service);
            file.entries.extend(entries);
        }
        Ok((file, Failure::collect(bad.into_iter()).map(drop)))
    }

    fn tables(&self, known: &[&'static str]) -> Result<Vec<Result<Table, Failure>>, Failure> {
        let tables = DeTable::parse(&self.text).map_err(|error| {
            let what = error.message().lines().collect::<Vec<_>>().join(", ");
            let remedy =
                "put texts in quotes, lists in square brackets, and the name of a table on its own line, such as [gateway]";
            self.at(&error.span().unwrap_or_default(), Failure::usage(what, remedy))
        })?;
        let mut tables: Vec<_> = tables.into_inner().into_iter().collect();
        tables.sort_by_key(|(name, _)| name.span().start);
        let tables = tables.into_iter().map(|(name, value)| {
            table_of(name.get_ref(), value.into_inner(), known).map_err(|failure| self.at(&name.span(), failure))
        });
        Ok(tables.collect())
    }

    fn at(&self, place: &Range<usize>, failure: Failure) -> Failure {
        failure.with_context(format_args!("{}:{}", self.path.display(), self.line(place)))
    }

    fn line(&self, place: &Range<usize>) -> usize {
        1 + self.text.bytes().take(place.start).filter(|&byte| byte == b'\n').count()
    }
}

/// Returns a table of the file.
fn table_of(name: &str, value: DeValue<'_>, known: &[&'static str]) -> Result<Table, Failure> {
    let DeValue::Table(table) = value else {
        return Err(Failure::usage(
            format!("{name:?} is not in a table"),
            format!("put options below a line with their command, one of {}", table_names(known)),
        ));
    };
    let Some(service) = known.iter().copied().find(|service| *service == name) else {
        return Err(Failure::usage(
            format!("there is no table [{name}]"),
            format!("did you mean [{}]? The tables are {}", nearest(name, known.iter().copied()), table_names(known)),
        ));
    };
    let mut entries: Vec<_> = table
        .into_iter()
        .map(|(key, value)| Entry {
            service,
            at: key.span(),
            key: key.into_inner().into_owned(),
            value: value.into_inner().into(),
        })
        .collect();
    entries.sort_by_key(|entry| entry.at.start);
    Ok((service, entries))
}

impl From<DeValue<'_>> for Value {
    fn from(value: DeValue<'_>) -> Self {
        match value {
            DeValue::Boolean(is_on) => Self::Switch(is_on),
            DeValue::Array(items) => items
                .into_iter()
                .map(|item| text_of(item.into_inner()))
                .collect::<Option<_>>()
                .map_or(Self::Unfit("a list with elements that are not texts"), Self::Texts),
            DeValue::Table(_) => Self::Unfit("a table"),
            DeValue::Datetime(_) => Self::Unfit("a date"),
            value => text_of(value).map_or(Self::Unfit("as large a number"), |text| Self::Texts(vec![text])),
        }
    }
}

fn text_of(value: DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.into_owned()),
        DeValue::Integer(number) => {
            i64::from_str_radix(number.as_str(), number.radix()).ok().map(|number| number.to_string())
        }
        DeValue::Float(number) => Some(number.as_str().to_owned()),
        _ => None,
    }
}

impl Entry {
    fn option(&self, command: &Command, line: usize) -> Result<FileOption, Failure> {
        let known = || command.get_arguments().filter(|arg| is_option(arg));
        let Some(arg) = known().find(|arg| arg.get_long() == Some(&self.key)) else {
            return Err(Failure::usage(
                format!("{} has no option {:?}", self.service, self.key),
                format!(
                    "did you mean {:?}? `pssst {} --help` shows all of them",
                    nearest(&self.key, known().filter_map(Arg::get_long)),
                    self.service
                ),
            ));
        };
        let args = self.args(arg).map_err(|unfit| Failure::usage(format!("{} {unfit}", self.key), remedy(arg)))?;
        for each in &args {
            let trial = command.clone().try_get_matches_from([OsString::from("pssst"), each.clone()]);
            match trial {
                Err(error) if is_about_value(error.kind()) => {
                    return Err(Failure::usage(format!("{}: {}", self.key, reason(&error)), remedy(arg)));
                }
                // Whether all of them fit together is seen when all of them are there.
                _ => {}
            }
        }
        Ok(FileOption { id: arg.get_id().to_string(), args, line })
    }

    fn args(&self, arg: &Arg) -> Result<Vec<OsString>, String> {
        let flag = |value: &str| OsString::from(format!("--{}={value}", self.key));
        let is_switch = is_switch(arg);
        match &self.value {
            Value::Switch(is_on) if is_switch => {
                Ok(if *is_on { vec![format!("--{}", self.key).into()] } else { Vec::new() })
            }
            Value::Texts(texts) if texts.len() == 1 && !is_switch => Ok(vec![flag(&texts[0])]),
            Value::Texts(texts) if matches!(arg.get_action(), ArgAction::Append) => {
                Ok(texts.iter().map(|text| flag(text)).collect())
            }
            Value::Texts(_) if is_switch => Err("must be true or false".into()),
            Value::Texts(_) => Err("takes a single value".into()),
            Value::Switch(_) => Err("takes a value, not true or false".into()),
            Value::Unfit(what) => Err(format!("cannot be {what}")),
        }
    }
}

/// Returns whether it may stand in a file.
pub(super) fn is_option(arg: &Arg) -> bool {
    arg.get_long().is_some_and(|long| !["config", "help", "version"].contains(&long))
}

pub(super) fn is_switch(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::SetTrue)
}

const fn is_about_value(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::InvalidValue
            | ErrorKind::ValueValidation
            | ErrorKind::InvalidUtf8
            | ErrorKind::NoEquals
            | ErrorKind::TooManyValues
            | ErrorKind::TooFewValues
            | ErrorKind::WrongNumberOfValues
    )
}

/// Why clap refuses a value.
fn reason(error: &clap::Error) -> String {
    let value =
        error.get(ContextKind::InvalidValue).map(|value| format!("{:?}", value.to_string())).unwrap_or_default();
    let why = match (error.source(), error.get(ContextKind::ValidValue)) {
        (_, Some(ContextValue::Strings(valid))) if !valid.is_empty() => format!("it is none of {}", valid.join(", ")),
        (Some(source), _) => source.to_string(),
        _ => "it takes another value".into(),
    };
    format!("{value} is refused: {why}")
}

/// What clap has against the whole command line.
pub(crate) fn of_clap(error: &clap::Error, remedy: &str) -> Failure {
    let text = error.render().to_string();
    let mut paragraphs = text.split("\n\n");
    let what = paragraphs.next().unwrap_or_default().trim_start_matches("error: ");
    let what = what.lines().map(str::trim).collect::<Vec<_>>().join(" ");
    Failure::usage(what, if error.kind() == ErrorKind::ArgumentConflict { "give one of them" } else { remedy })
}

/// Returns the required options that clap misses, as it shows them.
pub(crate) fn missing(error: &clap::Error) -> Vec<String> {
    match (error.kind(), error.get(ContextKind::InvalidArg)) {
        (ErrorKind::MissingRequiredArgument, Some(ContextValue::Strings(missing))) => missing.clone(),
        _ => Vec::new(),
    }
}

/// Returns the help text of an option.
fn remedy(arg: &Arg) -> String {
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let name = arg.get_value_names().and_then(<[_]>::first).filter(|_| !is_switch(arg));
    format!("{}: {help}", name.map_or("true or false", |name| name.as_str()))
}

fn table_names(known: &[&str]) -> String {
    known.iter().map(|service| format!("[{service}]")).collect::<Vec<_>>().join(", ")
}

pub(super) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> &'a str {
    let name = name.to_lowercase().replace('_', "-");
    let likeness = |known: &&str| strsim::jaro_winkler(&name, known);
    known.into_iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b))).unwrap_or_default()
}
