//! Values that follow the files they are read from, and log errors.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use pssst_support::sync::lock;
use pssst_support::{Change, Contents, Source, WatchError, WatchStatus, WatchedFile};

use crate::Error;

/// Interval of the lines about a file that stays unusable.
const REPORT_INTERVAL: Duration = Duration::from_mins(1);

/// A value that follows its files.
pub(crate) struct Watched<T> {
    file: WatchedFile<T, Error>,
    reported: Mutex<Option<Report>>,
}

/// The last line about what is wrong.
#[derive(Debug)]
struct Report {
    error: String,
    at: Instant,
}

impl<T> Watched<T> {
    /// Reads files for the first time.
    pub(crate) fn open(
        sources: Vec<Source>,
        parse: impl Fn(&[Contents]) -> Result<T, Error> + Send + Sync + 'static,
    ) -> Result<Self, Error> {
        Ok(Self { file: WatchedFile::open(sources, parse, now())?, reported: Mutex::default() })
    }

    /// Returns a value that follows nothing.
    pub(crate) fn fixed(value: T) -> Self {
        Self { file: WatchedFile::fixed(value, now()), reported: Mutex::default() }
    }

    /// Returns the last good value.
    pub(crate) fn load(&self) -> Arc<T> {
        self.file.load()
    }

    /// Polls the files, and returns what became of the value. Blocks.
    pub(crate) fn poll(&self) -> Result<Change, Error> {
        self.look(WatchedFile::poll)
    }

    /// Reads the files, takes what is in them at once, and returns whether that is new. Blocks.
    pub(crate) fn reload(&self) -> Result<bool, Error> {
        self.look(WatchedFile::reload).map(|change| change == Change::New)
    }

    /// Returns each file with how well it is followed.
    pub(crate) fn status(&self) -> impl Iterator<Item = (PathBuf, WatchStatus)> {
        let status = self.file.status(now());
        self.file.paths().into_iter().map(move |path| (path, status.clone()))
    }

    /// Returns what is wrong with the files since they were last good.
    pub(crate) fn error(&self) -> Option<String> {
        self.file.status(now()).error
    }

    /// Looks at the files, and logs what is news; what stays wrong, once a minute.
    fn look(&self, look: Look<T>) -> Result<Change, Error> {
        let now = now();
        let outcome = look(&self.file, now);
        match &outcome {
            Ok(Change::Same | Change::Pending) => {}
            Ok(Change::New) => tracing::info!(files = ?self.file.paths(), "read again"),
            Ok(Change::Recovered) => tracing::info!(files = ?self.file.paths(), "the files are good again"),
            Err(error) => self.report(error.to_string(), now),
        }
        Ok(outcome?)
    }

    fn report(&self, error: String, now: Instant) {
        let mut reported = lock(&self.reported);
        let is_told = |report: &Report| report.error == error && now.duration_since(report.at) < REPORT_INTERVAL;
        if !reported.as_ref().is_some_and(is_told) {
            tracing::error!(%error, "the previous contents stay in force");
            *reported = Some(Report { error, at: now });
        }
    }
}

impl<T> fmt::Debug for Watched<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.file.fmt(f)
    }
}

type Look<T> = fn(&WatchedFile<T, Error>, Instant) -> Result<Change, WatchError<Error>>;

/// Returns the time, which tests may pause.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
