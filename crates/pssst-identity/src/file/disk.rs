//! Reading the file, and replacing it as a whole.

use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use crate::identity::to_milliseconds;

/// Bytes: some half a million clients.
pub(super) const MAX_LEN: u64 = 64 << 20;
/// Whoever holds the lock writes one file.
const LOCK_LIMIT: Duration = Duration::from_secs(10);
/// Changes closer to each other than this may leave a file with the same time.
const CLOCK_TICK: Duration = Duration::from_secs(1);

/// By which a file is known again without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    modified: SystemTime,
    len: u64,
    inode: (u64, u64),
    /// Whether a later change has another time for sure.
    is_settled: bool,
}

impl Stamp {
    /// Whether the file is still as it was then.
    pub(super) fn still_holds(&self, path: &Path) -> bool {
        self.is_settled && fs::metadata(path).is_ok_and(|metadata| *self == Self::of(&metadata))
    }

    fn of(metadata: &Metadata) -> Self {
        let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        #[cfg(unix)]
        let inode = {
            use std::os::unix::fs::MetadataExt;
            (metadata.dev(), metadata.ino())
        };
        #[cfg(not(unix))]
        let inode = (0, 0);
        let is_settled = modified.elapsed().is_ok_and(|age| age > CLOCK_TICK);
        Self { modified, len: metadata.len(), inode, is_settled }
    }
}

/// What was in the file.
pub(super) struct Content {
    pub(super) bytes: Vec<u8>,
    pub(super) stamp: Stamp,
    pub(super) modified: Timestamp,
}

pub(super) fn hash(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

pub(super) fn read(path: &Path) -> io::Result<Content> {
    // Opening a pipe would wait for whoever writes to it.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    let file = File::open(path)?;
    // Before reading: what is written meanwhile gets a later time.
    let stamp = Stamp::of(&file.metadata()?);
    let mut bytes = Vec::new();
    file.take(MAX_LEN + 1).read_to_end(&mut bytes)?;
    check_len(bytes.len())?;
    let modified = Timestamp::try_from(stamp.modified).map_or(Timestamp::UNIX_EPOCH, to_milliseconds);
    Ok(Content { bytes, stamp, modified })
}

/// An empty file for its owner, if there is none.
pub(super) fn create(path: &Path) -> io::Result<()> {
    match for_owner().write(true).create_new(true).open(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Waits until nobody else writes. Whoever drops the lock's file gives it back.
pub(super) fn lock(path: &Path) -> io::Result<File> {
    let file = for_owner().write(true).create(true).truncate(false).open(beside(&fs::canonicalize(path)?, ".lock"))?;
    let begin = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) if begin.elapsed() > LOCK_LIMIT => {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "somebody else holds its lock"));
            }
            Err(TryLockError::WouldBlock) => thread::sleep(Duration::from_millis(2)),
        }
    }
}

/// Puts a new file with the same owner and mode into the place of this one, at once and durably. The lock is held.
pub(super) fn replace(path: &Path, text: &str) -> io::Result<()> {
    check_len(text.len())?;
    // A symbolic link stays one.
    let path = fs::canonicalize(path)?;
    let old = fs::metadata(&path)?;
    let temporary = beside(&path, ".new");
    // Left by somebody who was killed.
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = for_owner().write(true).create_new(true).open(&temporary)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| {
        keep_owner(&file, &old)?;
        file.set_permissions(old.permissions())?;
        file.sync_all()?;
        fs::rename(&temporary, &path)
    });
    if let Err(error) = written {
        // The first error counts.
        let _ignored = fs::remove_file(&temporary);
        return Err(error);
    }
    #[cfg(unix)]
    File::open(path.parent().unwrap_or(&path))?.sync_all()?;
    Ok(())
}

fn for_owner() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Whoever could read the file still can.
fn keep_owner(file: &File, old: &Metadata) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt, fchown};
        let new = file.metadata()?;
        if (new.uid(), new.gid()) != (old.uid(), old.gid()) {
            fchown(file, Some(old.uid()), Some(old.gid()))?;
        }
    }
    #[cfg(not(unix))]
    let _ = (file, old);
    Ok(())
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

fn check_len(len: usize) -> io::Result<()> {
    let is_too_long = u64::try_from(len).is_ok_and(|len| len > MAX_LEN);
    if is_too_long { Err(io::Error::new(io::ErrorKind::FileTooLarge, "more than 64 MiB")) } else { Ok(()) }
}
