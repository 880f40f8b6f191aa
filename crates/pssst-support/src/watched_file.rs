//! A value that follows the files it is parsed from.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Instant;
use std::{error, fmt};

use crate::sync::{lock, read, write};
use crate::{Candidate, Contents, FileError, FileWatcher, Polled, Source, WatchHealth, WatchStatus};

/// A value parsed from a file, or from several that count as a whole, which may change at any time.
///
/// The last good value stays in force while the files cannot be read, cannot be parsed, have been
/// emptied, or are being written: see [`FileWatcher`]. How old that value is and how often a poll
/// failed are numbers, for metrics.
///
/// It has no clock and no task: the caller polls it, and passes the time.
///
/// ```
/// use std::time::Instant;
///
/// use pssst_support::{Source, WatchedFile};
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("limit");
/// # std::fs::write(&path, "5")?;
/// let limit = WatchedFile::open(vec![Source::new(&path)], |contents| {
///     let text = contents.first().and_then(|file| str::from_utf8(file).ok());
///     text.and_then(|text| text.trim().parse::<u32>().ok()).ok_or("expected a number")
/// }, Instant::now())?;
/// assert_eq!(*limit.load(), 5);
/// limit.poll(Instant::now())?;
/// assert_eq!(limit.status(Instant::now()).failures, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct WatchedFile<T, E> {
    /// Without one, the value follows nothing.
    parse: Option<Parse<T, E>>,
    value: RwLock<Arc<T>>,
    watcher: Mutex<FileWatcher>,
    health: Mutex<WatchHealth>,
}

type Parse<T, E> = Box<dyn Fn(&[Contents]) -> Result<T, E> + Send + Sync>;

/// What became of a value at a poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "callers must report each")]
pub enum Change {
    /// The files have what the value was parsed from.
    Same,
    /// The files have other contents, which the next poll must confirm.
    Pending,
    /// The value is a new one.
    New,
    /// After a failure, the files have what the value was parsed from again.
    Recovered,
}

/// Why files give no value.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "a file cannot be read or used; the last good contents stay in force")]
pub enum WatchError<E> {
    /// A file cannot be used.
    File(FileError),
    /// The contents of these files cannot be used, for the parser's cause.
    Contents(Vec<PathBuf>, E),
}

impl<T, E: fmt::Display> WatchedFile<T, E> {
    /// Reads the files for the first time, and takes what is in them at once.
    ///
    /// # Errors
    /// Whatever is wrong with them.
    pub fn open(
        sources: Vec<Source>,
        parse: impl Fn(&[Contents]) -> Result<T, E> + Send + Sync + 'static,
        now: Instant,
    ) -> Result<Self, WatchError<E>> {
        let mut watcher = FileWatcher::new(sources);
        let candidate = watcher.read(now)?;
        let value = parse(candidate.contents()).map_err(|error| WatchError::contents(&watcher, error))?;
        watcher.accept(&candidate);
        Ok(Self::new(Some(Box::new(parse)), value, watcher, now))
    }

    /// Returns a value that follows nothing.
    pub fn fixed(value: T, now: Instant) -> Self {
        Self::new(None, value, FileWatcher::new(Vec::new()), now)
    }

    /// Returns the last good value.
    pub fn load(&self) -> Arc<T> {
        Arc::clone(&read(&self.value))
    }

    /// Returns the files.
    pub fn paths(&self) -> Vec<PathBuf> {
        paths(&lock(&self.watcher))
    }

    /// Looks at the files; new contents that two polls have read become the value. Blocks.
    ///
    /// # Errors
    /// Whatever is wrong with the files. The last good value stays.
    pub fn poll(&self, now: Instant) -> Result<Change, WatchError<E>> {
        self.update(now, |watcher| watcher.poll(now))
    }

    /// Reads the files, and takes what is in them at once: for those who know that they are whole,
    /// since they have just written them. Blocks.
    ///
    /// # Errors
    /// Whatever is wrong with the files. The last good value stays.
    pub fn reload(&self, now: Instant) -> Result<Change, WatchError<E>> {
        self.update(now, |watcher| {
            let candidate = watcher.read(now)?;
            Ok(if watcher.is_accepted(&candidate) { Polled::Same } else { Polled::Settled(candidate) })
        })
    }

    /// Returns how well the value follows its files. Never waits for a file.
    pub fn status(&self, now: Instant) -> WatchStatus {
        lock(&self.health).status(now)
    }

    fn new(parse: Option<Parse<T, E>>, value: T, watcher: FileWatcher, now: Instant) -> Self {
        let health = Mutex::new(WatchHealth::new(now));
        Self { parse, value: RwLock::new(Arc::new(value)), watcher: Mutex::new(watcher), health }
    }

    fn update(
        &self,
        now: Instant,
        look: impl FnOnce(&mut FileWatcher) -> Result<Polled, FileError>,
    ) -> Result<Change, WatchError<E>> {
        let mut watcher = lock(&self.watcher);
        let outcome = look(&mut watcher).map_err(WatchError::File).and_then(|polled| match polled {
            Polled::Same => Ok(Change::Same),
            Polled::Pending => Ok(Change::Pending),
            Polled::Settled(candidate) => self.take(&mut watcher, &candidate),
        });
        let mut health = lock(&self.health);
        match &outcome {
            // Nothing is known of what is being written.
            Ok(Change::Pending) => outcome,
            Ok(Change::Same) if health.good(now) => Ok(Change::Recovered),
            Ok(_) => {
                health.good(now);
                outcome
            }
            Err(error) => {
                health.failed(error.to_string());
                outcome
            }
        }
    }

    fn take(&self, watcher: &mut FileWatcher, candidate: &Candidate) -> Result<Change, WatchError<E>> {
        let Some(parse) = &self.parse else { return Ok(Change::Same) };
        let value = parse(candidate.contents()).map_err(|error| WatchError::contents(watcher, error))?;
        watcher.accept(candidate);
        *write(&self.value) = Arc::new(value);
        Ok(Change::New)
    }
}

impl<E> WatchError<E> {
    fn contents(watcher: &FileWatcher, error: E) -> Self {
        Self::Contents(paths(watcher), error)
    }
}

fn paths(watcher: &FileWatcher) -> Vec<PathBuf> {
    watcher.sources().iter().map(|source| source.path().to_owned()).collect()
}

impl<T, E> fmt::Debug for WatchedFile<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatchedFile").field("watcher", &self.watcher).finish_non_exhaustive()
    }
}

impl<E> From<FileError> for WatchError<E> {
    fn from(error: FileError) -> Self {
        Self::File(error)
    }
}

impl<E: fmt::Display> fmt::Display for WatchError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(error) => error.fmt(f),
            Self::Contents(files, error) => {
                for (index, file) in files.iter().map(|file| Path::display(file)).enumerate() {
                    write!(f, "{}{file}", if index == 0 { "" } else { ", " })?;
                }
                write!(f, ": {error}")
            }
        }
    }
}

impl<E: fmt::Debug + fmt::Display> error::Error for WatchError<E> {}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn number(contents: &[Contents]) -> Result<u32, &'static str> {
        let text = contents.first().and_then(|file| str::from_utf8(file).ok());
        text.and_then(|text| text.parse().ok()).ok_or("expected a number")
    }

    #[test]
    fn the_last_good_value_stays_and_the_numbers_tell_so() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("number");
        let mut now = Instant::now();
        let open = || WatchedFile::open(vec![Source::new(&path)], number, now);
        assert!(matches!(open(), Err(WatchError::File(_))));
        fs::write(&path, "x").unwrap();
        let text = open().unwrap_err().to_string();
        assert_eq!(text, format!("{}: expected a number", path.display()));
        fs::write(&path, "1").unwrap();
        let file = open().unwrap();
        assert_eq!(file.poll(now).unwrap(), Change::Same);

        fs::write(&path, "x").unwrap();
        now += SECOND;
        assert_eq!(file.poll(now).unwrap(), Change::Pending);
        for failures in 1..=3 {
            now += SECOND;
            assert!(matches!(file.poll(now), Err(WatchError::Contents(files, _)) if files == [path.clone()]));
            let status = file.status(now);
            assert_eq!((status.age, status.failures), (SECOND * (failures + 1), u64::from(failures)));
            assert_eq!((status.error, *file.load()), (Some(text.clone()), 1));
        }
        fs::remove_file(&path).unwrap();
        assert!(matches!(file.poll(now), Err(WatchError::File(_))));
        fs::write(&path, "1").unwrap();
        assert_eq!(file.poll(now).unwrap(), Change::Recovered);
        assert_eq!(file.status(now), WatchStatus { age: Duration::ZERO, failures: 4, error: None });

        fs::write(&path, "2").unwrap();
        assert_eq!(file.poll(now).unwrap(), Change::Pending);
        assert_eq!((file.poll(now + SECOND).unwrap(), *file.load()), (Change::New, 2));
        fs::write(&path, "3").unwrap();
        assert_eq!((file.reload(now).unwrap(), *file.load()), (Change::New, 3));
        assert_eq!(file.reload(now).unwrap(), Change::Same);
    }

    #[cfg(unix)]
    #[test]
    fn secrets_that_others_can_read_are_refused() {
        use std::os::unix::fs::PermissionsExt;

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("number");
        fs::write(&path, "1").unwrap();
        let set_mode = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let now = Instant::now();
        let open = || WatchedFile::open(vec![Source::new(&path).secret(true)], number, now);
        set_mode(0o640);
        assert!(matches!(open(), Err(WatchError::File(error)) if error.to_string().ends_with("(mode 0640)")));
        set_mode(0o600);
        let file = open().unwrap();
        set_mode(0o604);
        assert!(matches!(file.poll(now), Err(WatchError::File(_))));
        set_mode(0o600);
        assert_eq!(file.poll(now).unwrap(), Change::Recovered);
    }

    #[test]
    fn a_fixed_value_follows_nothing() {
        let now = Instant::now();
        let fixed = WatchedFile::<_, String>::fixed(1, now);
        assert_eq!((fixed.reload(now).unwrap(), *fixed.load()), (Change::Same, 1));
    }
}
