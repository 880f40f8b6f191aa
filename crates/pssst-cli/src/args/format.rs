//! Words that several subcommands share.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use pssst::{PublicKey, ServerKey};
use pssst_service::Failure;
use pssst_service::stderr::notice;

/// Prints what a command did as JSON.
#[derive(clap::Args, Clone, Copy, Debug)]
pub(crate) struct JsonOption {
    /// Print a JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Writes a line to standard output.
pub(crate) fn print(line: impl std::fmt::Display) -> Result<(), Failure> {
    let mut stdout = io::stdout();
    writeln!(stdout, "{line}").and_then(|()| stdout.flush()).map_err(|error| Failure::output(&error))
}

/// Returns a public key for standard output: as a whole, but on a terminal one of 2,432 digits by
/// its hash.
pub(crate) fn shown(key: &ServerKey) -> String {
    if matches!(key, ServerKey::X25519(_)) || !io::stdout().is_terminal() {
        return key.to_string();
    }
    notice("the key is long, and this is its hash; `pssst pubkey FILE > KEY.pub` writes the key itself");
    key.label().to_string()
}

/// Returns a time as people read it.
pub(crate) fn seconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Returns a time span as people read it, such as `1h 30m`.
pub(crate) fn span(span: Duration) -> String {
    SignedDuration::try_from(span).map_or_else(|_| format!("{} s", span.as_secs()), |span| format!("{span:#}"))
}

/// Returns the name of a request's sender.
pub(crate) fn sender(client_key: Option<&PublicKey>) -> String {
    match client_key {
        Some(key) => format!("from client {key}"),
        None => "from an anonymous client".into(),
    }
}

/// Writes the fingerprint of a key to standard error.
pub(crate) fn show_fingerprint(key: &ServerKey) {
    notice(format_args!("fingerprint: {}", key.fingerprint()));
}

/// Those of the counts that are not zero, each with its name, as `, name 7`.
pub(crate) fn nonzero_counts<'a>(counts: impl IntoIterator<Item = (&'a str, u64)>) -> String {
    let counts = counts.into_iter().filter(|(_, count)| *count > 0);
    counts.fold(String::new(), |text, (name, count)| text + ", " + name + " " + &count.to_string())
}
