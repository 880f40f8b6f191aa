//! What serving and asking have in common.

use std::io;

/// Bytes of a buffer that any datagram fits into.
pub(crate) const BUFFER_LEN: usize = 65_535;

/// Whether receiving ended without a packet and without a fault.
pub(crate) fn is_silence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}
