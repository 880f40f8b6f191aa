//! Words that several subcommands share.

use pssst::{PublicKey, ServerKey};
use pssst_service::stderr::notice;

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
