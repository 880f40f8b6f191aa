//! Noticing that files have other contents.

use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::{Duration, Instant};

use crate::contents::FileId;
use crate::{Contents, FileError, FileErrorCause, Source};

/// How long new contents have to stay the same before they count.
pub const SETTLE: Duration = Duration::from_millis(100);

/// File systems with coarser clocks than this are not supported: two changes that are further apart
/// have different times.
const CLOCK_TICK: Duration = Duration::from_secs(2);

/// Follows one file, or several that count as a whole.
///
/// It compares contents, because names and times are not enough: secret mounts change by links to
/// folders, and some file systems have coarse clocks. New contents count once two polls, [`SETTLE`]
/// apart or more, have read the same: a file that is being written is never taken. A file that had
/// contents and has none now is an error.
///
/// The caller decides when to [`poll`](Self::poll), judges a [`Candidate`], and accepts or rejects
/// it. [`WatchedFile`](crate::WatchedFile) does that for a value that is parsed from the files.
pub struct FileWatcher {
    sources: Vec<Source>,
    hasher: RandomState,
    accepted: Option<Accepted>,
    seen: Option<Seen>,
}

/// State of the files when they were accepted.
struct Accepted {
    digest: u64,
    had_contents: Vec<bool>,
}

/// State of the files at the last poll.
struct Seen {
    ids: Vec<FileId>,
    ids_since: Instant,
    digest: u64,
    digest_since: Instant,
    read_at: Instant,
}

/// Result of a poll.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "callers must handle each")]
pub enum Polled {
    /// The files are as they were when accepted.
    Same,
    /// Other contents, which another poll must confirm.
    Pending,
    /// Other contents that stayed the same. Until they are accepted, each poll finds them again.
    Settled(Candidate),
}

/// Contents of the files that can be accepted.
#[derive(Debug)]
pub struct Candidate {
    contents: Vec<Contents>,
    digest: u64,
}

impl FileWatcher {
    /// Follows these files. Nothing has been read yet.
    pub fn new(sources: Vec<Source>) -> Self {
        Self { sources, hasher: RandomState::new(), accepted: None, seen: None }
    }

    /// Returns the files.
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// Looks at the files. Blocks while they are read, which is only needed when they may have
    /// changed.
    ///
    /// # Errors
    /// The first file that cannot be used. What is there after that must be seen twice again.
    pub fn poll(&mut self, now: Instant) -> Result<Polled, FileError> {
        if self.is_unchanged() {
            return Ok(Polled::Same);
        }
        let last = self.seen.take();
        let candidate = self.read_all()?;
        let seen = self.seen.insert(Seen::new(&candidate, last, now));
        if self.accepted.as_ref().is_some_and(|accepted| accepted.digest == candidate.digest) {
            return Ok(Polled::Same);
        }
        if now.saturating_duration_since(seen.digest_since) < SETTLE {
            return Ok(Polled::Pending);
        }
        self.refuse_emptied(&candidate)?;
        Ok(Polled::Settled(candidate))
    }

    /// Reads the current contents of the files, at the first time or on request.
    ///
    /// # Errors
    /// The first file that cannot be used.
    pub fn read(&mut self, now: Instant) -> Result<Candidate, FileError> {
        let last = self.seen.take();
        let candidate = self.read_all()?;
        self.refuse_emptied(&candidate)?;
        self.seen = Some(Seen::new(&candidate, last, now));
        Ok(candidate)
    }

    /// Returns whether these contents are the accepted ones.
    pub fn is_accepted(&self, candidate: &Candidate) -> bool {
        self.accepted.as_ref().is_some_and(|accepted| accepted.digest == candidate.digest)
    }

    /// Accepts contents: from now on, only others are a change.
    pub fn accept(&mut self, candidate: &Candidate) {
        let had_contents = candidate.contents.iter().map(|contents| has_contents(contents)).collect();
        self.accepted = Some(Accepted { digest: candidate.digest, had_contents });
    }

    /// Accepts what the caller has written into the only file.
    pub fn accept_written(&mut self, bytes: &[u8]) {
        let digest = digest(&self.hasher, [bytes]);
        self.accepted = Some(Accepted { digest, had_contents: vec![has_contents(bytes)] });
    }

    /// Forgets what was accepted: the next contents that settle are a change, whatever they are.
    pub fn forget(&mut self) {
        self.accepted = None;
    }

    /// Returns whether the files are those whose contents were accepted, as far as that can be
    /// known without reading them: they were read when a later change was sure to have another
    /// time.
    fn is_unchanged(&self) -> bool {
        let (Some(accepted), Some(seen)) = (&self.accepted, &self.seen) else { return false };
        accepted.digest == seen.digest
            && seen.read_at.saturating_duration_since(seen.ids_since) >= CLOCK_TICK
            && self.sources.iter().zip(&seen.ids).all(|(source, id)| source.id().as_ref() == Some(id))
    }

    fn read_all(&self) -> Result<Candidate, FileError> {
        let contents = self.sources.iter().map(Source::read).collect::<Result<Vec<_>, _>>()?;
        let digest = digest(&self.hasher, contents.iter().map(|contents| &**contents));
        Ok(Candidate { contents, digest })
    }

    fn refuse_emptied(&self, candidate: &Candidate) -> Result<(), FileError> {
        let had_contents = self.accepted.as_ref().map_or(&[][..], |accepted| &accepted.had_contents);
        let mut files = self.sources.iter().zip(had_contents).zip(&candidate.contents);
        match files.find(|((_, had_contents), contents)| **had_contents && !has_contents(contents)) {
            Some(((source, _), _)) => Err(source.error(FileErrorCause::Emptied)),
            None => Ok(()),
        }
    }
}

impl Seen {
    fn new(candidate: &Candidate, last: Option<Self>, now: Instant) -> Self {
        let ids: Vec<_> = candidate.contents.iter().map(|contents| contents.id().clone()).collect();
        let digest = candidate.digest;
        let since = |then: Option<Instant>| then.unwrap_or(now);
        let ids_since = since(last.as_ref().filter(|last| last.ids == ids).map(|last| last.ids_since));
        let digest_since = since(last.filter(|last| last.digest == digest).map(|last| last.digest_since));
        Self { ids, ids_since, digest, digest_since, read_at: now }
    }
}

impl Candidate {
    /// Returns what is in the files, in the order of the sources.
    pub fn contents(&self) -> &[Contents] {
        &self.contents
    }
}

impl fmt::Debug for FileWatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileWatcher").field("sources", &self.sources).finish_non_exhaustive()
    }
}

fn has_contents(bytes: &[u8]) -> bool {
    !bytes.trim_ascii().is_empty()
}

/// Returns a keyed digest of the contents, which reveals nothing about them: its key is the
/// process's own.
fn digest<'a>(hasher: &RandomState, files: impl IntoIterator<Item = &'a [u8]>) -> u64 {
    let mut hasher = hasher.build_hasher();
    for bytes in files {
        hasher.write_usize(bytes.len());
        hasher.write(bytes);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests;
