//! The files that a service follows, and how well.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use pssst_support::sync::lock;
use pssst_support::{FileError, WatchHealth, WatchStatus};
use tokio::time::Instant;

/// A file that a running service follows, and how well.
#[derive(Clone, Debug)]
pub struct FollowedFile {
    pub(crate) path: String,
    pub(crate) status: WatchStatus,
}

impl FollowedFile {
    /// Returns a file with its state of now.
    pub fn new(path: &Path, status: WatchStatus) -> Self {
        Self { path: path.display().to_string(), status }
    }
}

/// The health of each file that is followed. A service's metrics show it.
#[derive(Clone, Debug, Default)]
pub(crate) struct FilesHealth(Arc<Mutex<Vec<(PathBuf, WatchHealth)>>>);

impl FilesHealth {
    /// Returns the files, and how well each is followed.
    pub(crate) fn status(&self) -> Vec<FollowedFile> {
        let now = Instant::now().into_std();
        lock(&self.0).iter().map(|(path, health)| FollowedFile::new(path, health.status(now))).collect()
    }

    pub(crate) fn start(&self, files: &[PathBuf]) {
        let now = Instant::now().into_std();
        *lock(&self.0) = files.iter().map(|file| (file.clone(), WatchHealth::new(now))).collect();
    }

    pub(crate) fn all_good(&self) {
        let now = Instant::now().into_std();
        for (_, health) in lock(&self.0).iter_mut() {
            health.good(now);
        }
    }

    pub(crate) fn all_failed(&self, cause: &str) {
        lock(&self.0).iter_mut().for_each(|(_, health)| health.failed(cause.to_owned()));
    }

    pub(crate) fn failed(&self, error: &FileError) {
        let mut files = lock(&self.0);
        let failed = files.iter_mut().filter(|(path, _)| *path == error.path);
        failed.for_each(|(_, health)| health.failed(error.to_string()));
    }
}
