//! Creating, locking and replacing the file.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use pssst_support::{atomic_file, secret_file};

/// Bytes: some half a million clients.
pub(super) const MAX_LEN: u64 = 64 << 20;
/// How long to wait for the lock. Its holder writes one file.
const LOCK_LIMIT: Duration = Duration::from_secs(10);

/// Waits for the lock of writers. The lock is released when its file is dropped.
pub(super) fn lock(path: &Path) -> io::Result<File> {
    let mut name = fs::canonicalize(path)?.into_os_string();
    name.push(".lock");
    let file = secret_file::open_or_create(&PathBuf::from(name))?;
    let begin = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) if begin.elapsed() > LOCK_LIMIT => {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "another process holds its lock"));
            }
            Err(TryLockError::WouldBlock) => thread::sleep(Duration::from_millis(2)),
        }
    }
}

/// Replaces the file. The lock is held.
pub(super) fn replace(path: &Path, text: &str) -> io::Result<()> {
    if u64::try_from(text.len()).is_ok_and(|len| len > MAX_LEN) {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "more than 64 MiB"));
    }
    atomic_file::replace(path, 0o600, text.as_bytes())
}
