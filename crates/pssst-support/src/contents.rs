//! Reading files whole.

use std::fmt;
use std::fs::{File, Metadata};
use std::io::Read;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use zeroize::Zeroizing;

use crate::{FileError, FileErrorCause, byte_order_mark, secret_file, strict_modes};

/// Length of a file at most, in bytes, unless its source says otherwise.
const MAX_LEN: u64 = 1 << 20;

/// With less room than this, `read_to_end` reads into memory of its own first.
const PROBE_LEN: usize = 32;

/// A file to read, and what is refused in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    path: PathBuf,
    is_secret: bool,
    max_len: u64,
}

/// The bytes of a file, wiped when dropped.
pub struct Contents {
    bytes: Zeroizing<Vec<u8>>,
    id: FileId,
}

/// The metadata that identifies a state of a file without reading it: which file it is, how long,
/// and when it changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileId {
    modified: Option<SystemTime>,
    len: u64,
    /// Device, inode, and the time of the last change, which no program can set.
    #[cfg(unix)]
    unix: (u64, u64, i64, i64),
}

impl Source {
    /// Returns a regular file of 1 MiB at most, which any user may read.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), is_secret: false, max_len: MAX_LEN }
    }

    /// Sets whether it is refused when users other than its owner can read or change it.
    #[must_use]
    pub fn secret(self, is_secret: bool) -> Self {
        Self { is_secret, ..self }
    }

    /// Sets how many bytes it has at most.
    #[must_use]
    pub fn max_len(self, max_len: u64) -> Self {
        Self { max_len, ..self }
    }

    /// Returns the name of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads it, without a byte-order mark.
    ///
    /// # Errors
    /// [`FileErrorCause`] names them; only [`FileErrorCause::Emptied`] does not occur.
    pub fn read(&self) -> Result<Contents, FileError> {
        self.try_read().map_err(|cause| self.error(cause))
    }

    fn try_read(&self) -> Result<Contents, FileErrorCause> {
        // Opening a pipe would block until another process writes.
        if !self.path.metadata()?.is_file() {
            return Err(FileErrorCause::NotRegular);
        }
        strict_modes::check(&self.path).map_err(|error| error.cause)?;
        let file = File::open(&self.path)?;
        if self.is_secret {
            secret_file::check(&file)?;
        }
        // Before reading: a write in the meantime changes it.
        let id = FileId::new(&file.metadata()?);
        if id.len > self.max_len {
            return Err(FileErrorCause::TooLong(self.max_len));
        }
        // Sized at once: growing would leave copies behind, and so would the standard library's
        // probe of the last few bytes, which needs room.
        let capacity = usize::try_from(id.len).unwrap_or(0).saturating_add(PROBE_LEN);
        let mut bytes = Zeroizing::new(Vec::with_capacity(capacity));
        file.take(self.max_len.saturating_add(1)).read_to_end(&mut bytes)?;
        if u64::try_from(bytes.len()).is_ok_and(|len| len > self.max_len) {
            return Err(FileErrorCause::TooLong(self.max_len));
        }
        byte_order_mark::remove_from_bytes(&mut bytes);
        Ok(Contents { bytes, id })
    }

    pub(crate) fn id(&self) -> Option<FileId> {
        self.path.metadata().ok().map(|metadata| FileId::new(&metadata))
    }

    pub(crate) fn error(&self, cause: impl Into<FileErrorCause>) -> FileError {
        FileError::new(&self.path, cause)
    }
}

impl Contents {
    /// Returns when the file was modified last, where the system knows.
    pub fn modified(&self) -> Option<SystemTime> {
        self.id.modified
    }

    pub(crate) fn id(&self) -> &FileId {
        &self.id
    }
}

impl Deref for Contents {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Debug for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Contents").field("len", &self.bytes.len()).finish_non_exhaustive()
    }
}

impl FileId {
    fn new(metadata: &Metadata) -> Self {
        #[cfg(unix)]
        use std::os::unix::fs::MetadataExt;

        Self {
            modified: metadata.modified().ok(),
            len: metadata.len(),
            #[cfg(unix)]
            unix: (metadata.dev(), metadata.ino(), metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}
