//! The connections to a database, which change when its file is replaced.

use std::io;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use pssst_support::strict_modes;
use sqlx::AnyPool;
use sqlx::any::AnyConnectOptions;
use tokio::sync::Mutex;

use super::connect::{connect, database_io, is_read_only, sqlite_options_at};
use super::dialect::Dialect;
use crate::Error;

/// What distinguishes the file that is open from another: device and inode. Of one that is only
/// read, which is opened once and for all, length and time of the last change as well.
#[derive(Clone, Copy, PartialEq, Eq)]
struct FileId {
    inode: Option<(u64, u64)>,
    contents: Option<(u64, SystemTime)>,
}

pub(super) struct Connections {
    dialect: Dialect,
    options: AnyConnectOptions,
    /// The file of SQLite.
    path: Option<PathBuf>,
    current: Mutex<Current>,
}

struct Current {
    pool: AnyPool,
    file: Option<FileId>,
    /// How often another file took the place of the one that was open.
    replacements: u64,
}

impl Connections {
    pub(super) async fn open(
        dialect: Dialect,
        options: AnyConnectOptions,
        path: Option<PathBuf>,
    ) -> Result<Self, Error> {
        let file = file_at(path.as_ref())?;
        let pool = connect(dialect, &options).await?;
        Ok(Self { dialect, options, path, current: Mutex::new(Current { pool, file, replacements: 0 }) })
    }

    /// Returns the pool, and how often the file was replaced. If another file is at the path now,
    /// it is opened first.
    pub(super) async fn current(&self) -> Result<(AnyPool, u64), Error> {
        let file = file_at(self.path.as_ref())?;
        let mut current = self.current.lock().await;
        if current.file != file {
            let options = self.path.as_deref().map(sqlite_options_at).transpose()?;
            let pool = connect(self.dialect, options.as_ref().unwrap_or(&self.options)).await?;
            tracing::warn!(
                path = self.path.as_deref().map(|path| tracing::field::display(path.display())),
                "another file has taken the place of the database: it is read from the start"
            );
            *current = Current { pool, file, replacements: current.replacements + 1 };
        }
        Ok((current.pool.clone(), current.replacements))
    }
}

impl Connections {
    pub(super) async fn close(&self) {
        self.current.lock().await.pool.close().await;
    }
}

/// Returns which file is at the path. If there is none, SQLite would create an empty one.
fn file_at(path: Option<&PathBuf>) -> Result<Option<FileId>, Error> {
    let Some(path) = path else { return Ok(None) };
    strict_modes::check(path)?;
    match path.metadata() {
        Ok(metadata) => {
            let contents = is_read_only(path).then(|| (metadata.len(), metadata.modified().unwrap_or(UNIX_EPOCH)));
            Ok(Some(FileId { inode: inode(&metadata), contents }))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Error::Missing(path.clone())),
        Err(error) => Err(database_io(error)),
    }
}

#[cfg(unix)]
#[expect(clippy::unnecessary_wraps, reason = "other systems do not tell")]
fn inode(metadata: &std::fs::Metadata) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    Some((metadata.dev(), metadata.ino()))
}

#[cfg(not(unix))]
fn inode(_: &std::fs::Metadata) -> Option<(u64, u64)> {
    None
}
