//! Values that shells complete: names and ids from stores and schedules. It is bounded in time and
//! number, and says nothing about errors.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};
use pssst::SuiteSet;
use pssst_directory_server::Schedule;
use pssst_identity::jiff::Timestamp;
use pssst_identity::{ListQuery, SqlStore};
use pssst_service::{ConfigFile, runtime};

use super::store;

/// More are of no use to a person.
const MAX: usize = 100;
/// How many clients are looked at.
const MAX_SEARCHED: usize = 1000;
const TIMEOUT: Duration = Duration::from_secs(2);

/// Returns the completer of a client's name.
pub(crate) fn client() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| candidates(current, clients(current)))
}

/// Returns the completer of the id of a token that nobody has used.
pub(crate) fn token() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| candidates(current, tokens()))
}

/// Returns the completer of a public key of a schedule.
pub(crate) fn scheduled_key() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| candidates(current, scheduled_keys()))
}

/// A value, and a word about it.
type Found = Option<Vec<(String, String)>>;

fn candidates(current: &OsStr, found: Found) -> Vec<CompletionCandidate> {
    let current = current.to_string_lossy();
    let fits = found.into_iter().flatten().filter(|(value, _)| value.starts_with(&*current)).take(MAX);
    fits.map(|(value, about)| CompletionCandidate::new(value).help(Some(about.into()))).collect()
}

fn clients(current: &OsStr) -> Found {
    let search = current.to_str().filter(|current| !current.is_empty()).map(str::to_owned);
    let query = ListQuery { search, limit: MAX_SEARCHED, ..ListQuery::default() };
    let location = location()?;
    let page = within(async {
        let store = store::open(&location).await.ok()?;
        store.list(&query).await.ok()
    })?;
    Some(page.identities.into_iter().map(|client| (client.name, client.state.to_string())).collect())
}

fn tokens() -> Found {
    let location = location()?;
    let tokens = within(async { SqlStore::open_existing(&location).await.ok()?.tokens(true, MAX).await.ok() })?;
    let about = |name: Option<String>| name.unwrap_or_else(|| "any name".into());
    Some(tokens.into_iter().map(|token| (token.id.to_string(), about(token.grant.name))).collect())
}

fn scheduled_keys() -> Found {
    let words: Vec<_> = env::args().collect();
    let path =
        words.iter().rev().find(|word| Path::new(word).extension().is_some_and(|extension| extension == "json"))?;
    let schedule = Schedule::read(Path::new(path), true).ok()?;
    let suites: Vec<_> = SuiteSet::DATAGRAM.iter().collect();
    let keys = schedule.keys(Timestamp::now(), &suites);
    Some(keys.map(|published| (published.key.label().to_string(), published.state.to_string())).collect())
}

fn within<T>(work: impl Future<Output = Option<T>>) -> Option<T> {
    runtime::run(async { Ok(tokio::time::timeout(TIMEOUT, work).await.ok().flatten()) }).ok()?
}

/// Returns the store of the line that is completed, of the environment, or of the configuration.
fn location() -> Option<String> {
    let variable = |name| env::var(name).ok().filter(|value| !value.is_empty());
    if let Some(location) = option("--store").or_else(|| variable("PSSST_STORE")) {
        return Some(location);
    }
    let path = PathBuf::from(variable("PSSST_CONFIG")?);
    let services = ["directory", "gateway", "serve"];
    let (file, _) = ConfigFile::read_each(&path, &services).ok()?;
    let options = [("directory", "store"), ("gateway", "clients"), ("serve", "clients")];
    options.into_iter().find_map(|(service, option)| file.value(service, option).map(str::to_owned))
}

/// Returns the value of an option on the line that is completed.
fn option(name: &str) -> Option<String> {
    let mut words = env::args().skip_while(|word| !word.strip_prefix(name).is_some_and(is_end));
    let first = words.next()?;
    // Bash makes a word of the sign.
    let value = first.split_once('=').map(|(_, value)| value.to_owned());
    value.filter(|value| !value.is_empty()).or_else(|| words.find(|word| word != "="))
}

fn is_end(rest: &str) -> bool {
    rest.is_empty() || rest.starts_with('=')
}
