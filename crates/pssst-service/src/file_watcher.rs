//! Notices when the files that a service has read have other contents.

use std::path::PathBuf;
use std::time::Duration;

use pssst_support::{FileError, FileErrorCause, Polled, SETTLE, Source};
use tokio::time::Instant;

use crate::followed_file::FilesHealth;

/// Length of a file at most, in bytes.
const MAX_LEN: u64 = 64 << 20;

/// Files, and what was last seen in them.
pub(crate) struct FileWatcher {
    files: Vec<PathBuf>,
    watcher: pssst_support::FileWatcher,
    /// Whether they are to be read again whatever is in them.
    is_owed: bool,
    is_pending: bool,
    polled: Instant,
    health: FilesHealth,
}

impl FileWatcher {
    pub(crate) fn new(files: Vec<PathBuf>) -> Self {
        let health = FilesHealth::default();
        health.start(&files);
        let watcher = watch(&files);
        let mut watcher = Self { watcher, files, is_owed: false, is_pending: false, polled: Instant::now(), health };
        // What cannot be read now is a change when it can.
        drop(watcher.mark_seen());
        watcher
    }

    /// From now on, only what is other than now counts.
    ///
    /// # Errors
    /// A file that has been emptied. What else is wrong with a file, its reader says better.
    pub(crate) fn mark_seen(&mut self) -> Result<(), FileError> {
        (self.is_owed, self.is_pending, self.polled) = (false, false, Instant::now());
        match self.watcher.read(self.polled.into_std()) {
            Ok(contents) => self.watcher.accept(&contents),
            Err(error) if matches!(error.cause, FileErrorCause::Emptied) => return Err(error),
            Err(_) => {}
        }
        Ok(())
    }

    /// The contents at the last mark are in use. If the files are others now, it is not known what
    /// was in them when they were read, so they are read once more.
    pub(crate) fn accept(&mut self, files: Vec<PathBuf>) {
        if files == self.files {
            self.health.all_good();
        } else {
            self.health.start(&files);
            self.watcher = watch(&files);
            self.files = files;
        }
    }

    /// Makes the next poll report a change.
    pub(crate) fn force_reload(&mut self) {
        self.is_owed = true;
    }

    /// The contents cannot be used, none of them, since they count as a whole.
    pub(crate) fn refuse(&mut self, cause: &str) {
        self.force_reload();
        self.health.all_failed(cause);
    }

    /// Returns the health of the files from here on.
    pub(crate) fn health(&self) -> FilesHealth {
        self.health.clone()
    }

    /// Looks every so often, and returns once two looks have found the same change. Dropped and
    /// called again, it continues where it was.
    ///
    /// # Errors
    /// A file that cannot be used. Once all can be used again, that is a change.
    pub(crate) async fn changed(&mut self, every: Duration) -> Result<(), FileError> {
        loop {
            let pause = if self.is_pending { SETTLE } else { every };
            tokio::time::sleep_until(self.polled + pause).await;
            self.polled = Instant::now();
            let polled = self.watcher.poll(self.polled.into_std());
            self.is_pending = matches!(polled, Ok(Polled::Pending));
            match polled {
                Ok(Polled::Settled(_)) => return Ok(()),
                Ok(Polled::Same) if self.is_owed => return Ok(()),
                Ok(Polled::Same) => self.health.all_good(),
                Ok(Polled::Pending) => {}
                Err(error) => {
                    self.is_owed = true;
                    self.health.failed(&error);
                    return Err(error);
                }
            }
        }
    }
}

fn watch(files: &[PathBuf]) -> pssst_support::FileWatcher {
    pssst_support::FileWatcher::new(files.iter().map(|file| Source::new(file).max_len(MAX_LEN)).collect())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use futures_util::FutureExt;

    use super::*;

    const EVERY: Duration = Duration::from_mins(1);

    /// Returns the cause of an error, or whether something has changed.
    async fn look(watch: &mut FileWatcher) -> Result<bool, FileErrorCause> {
        match tokio::time::timeout(Duration::from_secs(150), watch.changed(EVERY)).await {
            Ok(outcome) => outcome.map(|()| true).map_err(|error| error.cause),
            Err(_) => Ok(false),
        }
    }

    async fn is_changed(watch: &mut FileWatcher) -> bool {
        look(watch).await.unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn other_contents_are_noticed_however_they_come() {
        let folder = tempfile::tempdir().unwrap();
        let files = ["one", "two"].map(|name| folder.path().join(name));
        let [one, two] = &files;
        fs::write(one, "1").unwrap();
        fs::write(two, "").unwrap();
        let mut watch = FileWatcher::new(files.to_vec());

        // Another file with the same contents.
        fs::remove_file(one).unwrap();
        fs::write(one, "1").unwrap();
        assert!(!is_changed(&mut watch).await);

        for (file, contents) in [(one, "2"), (two, "3")] {
            fs::write(file, contents).unwrap();
            assert!(is_changed(&mut watch).await);
            watch.mark_seen().unwrap();
            assert!(!is_changed(&mut watch).await);
        }
        // An emptied or missing file is not a change but an error each time.
        fs::write(one, "").unwrap();
        assert!(matches!(look(&mut watch).await, Err(FileErrorCause::Emptied)));
        assert!(watch.mark_seen().is_err());
        fs::remove_file(one).unwrap();
        assert!(matches!(look(&mut watch).await, Err(FileErrorCause::Io(_))));
        assert!(matches!(look(&mut watch).await, Err(FileErrorCause::Io(_))));
        fs::write(one, "2").unwrap();
        assert!(is_changed(&mut watch).await);
        watch.mark_seen().unwrap();
        assert!(!is_changed(&mut watch).await);
        // A refused file is tried again, and so is one that is new here.
        watch.force_reload();
        assert!(is_changed(&mut watch).await);
        watch.mark_seen().unwrap();
        watch.accept(files.to_vec());
        assert!(!is_changed(&mut watch).await);
        watch.accept(vec![one.clone()]);
        assert!(is_changed(&mut watch).await);
    }

    /// As a watchdog does.
    #[tokio::test(start_paused = true)]
    async fn interruptions_put_no_look_off() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("one"), "1").unwrap();
        let mut watch = FileWatcher::new(vec![folder.path().join("one")]);
        fs::write(folder.path().join("one"), "2").unwrap();
        for seconds in (0..55).step_by(5) {
            assert!(watch.changed(EVERY).now_or_never().is_none(), "{seconds}");
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
        tokio::time::timeout(Duration::from_secs(6), watch.changed(EVERY)).await.unwrap().unwrap();
    }
}
