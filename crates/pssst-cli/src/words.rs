//! Words that several subcommands share.

use pssst::PublicKey;

/// Who sent a request.
pub(crate) fn sender(client_key: Option<&PublicKey>) -> String {
    match client_key {
        Some(key) => format!("from client {key}"),
        None => "from an anonymous client".into(),
    }
}
