//! Replacing the file.

use std::io;
use std::path::Path;

use pssst_support::atomic_file;

/// Bytes: some half a million clients.
pub(super) const MAX_LEN: u64 = 64 << 20;

/// Replaces the file. The lock is held.
pub(super) fn replace(path: &Path, text: &str) -> io::Result<()> {
    if u64::try_from(text.len()).is_ok_and(|len| len > MAX_LEN) {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "more than 64 MiB"));
    }
    atomic_file::replace(path, 0o600, text.as_bytes())
}
