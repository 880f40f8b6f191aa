//! What the subcommands that send and receive have in common.

use std::io;

use pssst::Request;

/// Bytes of a buffer that any datagram fits into.
pub(crate) const BUFFER_LEN: usize = 65_535;

/// Whether receiving ended without a packet and without a fault.
pub(crate) fn is_silence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}

/// Who sent a request, in words.
pub(crate) fn sender(request: &Request<'_>) -> String {
    match request.client_key() {
        Some(key) => format!("from client {key}"),
        None => "from an anonymous client".into(),
    }
}
