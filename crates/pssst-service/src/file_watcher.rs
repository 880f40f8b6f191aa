//! Notices that files have other contents. Names and times tell too little: secret mounts change by links to folders.

use std::fs::File;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use tokio::time::Instant;

/// What is read of a file at most.
const MAX_LEN: u64 = 1 << 20;

/// Files, and what was last seen in them.
pub(crate) struct FileWatcher {
    files: Vec<PathBuf>,
    hasher: RandomState,
    seen: u64,
    /// Whether they are to be read again whatever is in them.
    is_owed: bool,
    looked: Instant,
}

impl FileWatcher {
    pub(crate) fn new(files: Vec<PathBuf>) -> Self {
        let mut watch = Self { files, hasher: RandomState::new(), seen: 0, is_owed: false, looked: Instant::now() };
        watch.mark_seen();
        watch
    }

    /// From now on, only what is other than now counts.
    pub(crate) fn mark_seen(&mut self) {
        self.seen = self.contents();
        self.is_owed = false;
        self.looked = Instant::now();
    }

    /// These files count. If they are others, it is not known what was in them when they were read, so they are read once more.
    pub(crate) fn set_files(&mut self, files: Vec<PathBuf>) {
        self.is_owed |= files != self.files;
        self.files = files;
    }

    /// The next look finds a change, whatever it sees.
    pub(crate) fn force_reload(&mut self) {
        self.is_owed = true;
    }

    /// Looks every so often, and returns once something has changed. Dropped and called again, it goes on where it was.
    pub(crate) async fn changed(&mut self, every: Duration) {
        loop {
            tokio::time::sleep_until(self.looked + every).await;
            self.looked = Instant::now();
            if self.is_owed || self.contents() != self.seen {
                return;
            }
        }
    }

    /// A number that other contents would almost surely change, and from which nobody learns anything.
    fn contents(&self) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        for path in &self.files {
            // Whoever opens a pipe waits until somebody writes.
            if path.metadata().is_ok_and(|it| !it.is_file()) {
                hasher.write(b"no file");
                continue;
            }
            let mut contents = zeroize::Zeroizing::new(Vec::new());
            match File::open(path).and_then(|file| file.take(MAX_LEN).read_to_end(&mut contents)) {
                Ok(len) => hasher.write_usize(len),
                Err(error) => hasher.write(format!("{:?}", error.kind()).as_bytes()),
            }
            hasher.write(&contents);
        }
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use futures_util::FutureExt;

    use super::*;

    const EVERY: Duration = Duration::from_mins(1);

    async fn is_changed(watch: &mut FileWatcher) -> bool {
        tokio::time::timeout(Duration::from_secs(150), watch.changed(EVERY)).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn other_contents_are_noticed_however_they_come() {
        let folder = tempfile::tempdir().unwrap();
        let files = ["one", "two"].map(|name| folder.path().join(name));
        let [one, two] = &files;
        fs::write(one, "1").unwrap();
        let mut watch = FileWatcher::new(files.to_vec());

        // The same again, in another file.
        fs::remove_file(one).unwrap();
        fs::write(one, "1").unwrap();
        assert!(!is_changed(&mut watch).await);

        let changes: [&dyn Fn() -> std::io::Result<()>; 3] =
            [&|| fs::write(one, "2"), &|| fs::write(two, ""), &|| fs::remove_file(one)];
        for change in changes {
            change().unwrap();
            assert!(is_changed(&mut watch).await);
            watch.mark_seen();
            assert!(!is_changed(&mut watch).await);
        }
        // What was refused is tried again, and so is what is looked at for the first time.
        watch.force_reload();
        assert!(is_changed(&mut watch).await);
        watch.mark_seen();
        watch.set_files(files.to_vec());
        assert!(!is_changed(&mut watch).await);
        watch.set_files(vec![one.clone()]);
        assert!(is_changed(&mut watch).await);
    }

    /// As a watchdog does.
    #[tokio::test(start_paused = true)]
    async fn interruptions_put_no_look_off() {
        let folder = tempfile::tempdir().unwrap();
        let mut watch = FileWatcher::new(vec![folder.path().join("one")]);
        fs::write(folder.path().join("one"), "1").unwrap();
        for seconds in (0..55).step_by(5) {
            assert!(watch.changed(EVERY).now_or_never().is_none(), "{seconds}");
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
        tokio::time::timeout(Duration::from_secs(6), watch.changed(EVERY)).await.unwrap();
    }
}
