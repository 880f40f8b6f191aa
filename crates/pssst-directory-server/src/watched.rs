//! Values that follow the files they are read from, and log errors.

use std::time::Instant;

use pssst_support::{Change, Contents, Source, WatchError, WatchedFile};

use crate::Error;

/// A value that follows its files.
pub(crate) type Watched<T> = WatchedFile<T, Error>;

/// Reads files for the first time.
pub(crate) fn open<T>(
    sources: Vec<Source>,
    parse: impl Fn(&[Contents]) -> Result<T, Error> + Send + Sync + 'static,
) -> Result<Watched<T>, Error> {
    Ok(WatchedFile::open(sources, parse, now())?)
}

/// Polls the files, and returns what became of the value. Blocks.
pub(crate) fn poll<T>(watched: &Watched<T>) -> Result<Change, Error> {
    look(watched, Watched::poll)
}

/// Reads the files, and takes what is in them at once. Returns whether the value is new. Blocks.
pub(crate) fn reload<T>(watched: &Watched<T>) -> Result<bool, Error> {
    look(watched, Watched::reload).map(|change| change == Change::New)
}

/// Returns what is wrong with the files since they were last good.
pub(crate) fn error<T>(watched: &Watched<T>) -> Option<String> {
    watched.status(now()).error
}

/// Returns the time, which tests may pause.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

type Look<T> = fn(&Watched<T>, Instant) -> Result<Change, WatchError<Error>>;

/// Looks at the files, and logs what is news.
fn look<T>(watched: &Watched<T>, look: Look<T>) -> Result<Change, Error> {
    let known = error(watched);
    let outcome = look(watched, now());
    match &outcome {
        Ok(Change::Same | Change::Pending) => {}
        Ok(Change::New) => tracing::info!(files = ?watched.paths(), "read again"),
        Ok(Change::Recovered) => tracing::info!(files = ?watched.paths(), "the files are good again"),
        Err(error) if known.as_ref() == Some(&error.to_string()) => {}
        Err(error) => tracing::error!(%error, "the previous contents stay in force"),
    }
    Ok(outcome?)
}
