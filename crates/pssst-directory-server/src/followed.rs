//! Values that follow the files they are read from.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use pssst_support::sync::lock;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::Error;
use crate::error::refuse_exposed;

/// Bytes of the longest file that is read.
const MAX_LEN: usize = 1024 * 1024;

/// The bytes of a file, wiped when dropped.
pub(super) type Content = Zeroizing<Vec<u8>>;

/// A file to follow.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) path: PathBuf,
    /// Whether it is refused when others than its owner can read it.
    pub(super) is_secret: bool,
}

/// A value that is made of one file or several. What is in them counts as a whole or not at all: while they cannot be read, or do
/// not go together, the last good value stays.
pub(super) struct Followed<T> {
    sources: Vec<Source>,
    parse: fn(&[Content]) -> Result<T, Error>,
    held: ArcSwap<T>,
    read: Mutex<LastRead>,
}

struct LastRead {
    digest: [u8; 32],
    error: Option<String>,
}

impl<T> Followed<T> {
    /// Reads the files for the first time.
    pub(super) fn open(sources: Vec<Source>, parse: fn(&[Content]) -> Result<T, Error>) -> Result<Self, Error> {
        let contents = read(&sources)?;
        let held = ArcSwap::from_pointee(parse(&contents)?);
        let read = Mutex::new(LastRead { digest: digest(&contents), error: None });
        Ok(Self { sources, parse, held, read })
    }

    /// A value that follows nothing.
    pub(super) fn fixed(value: T) -> Self {
        Self {
            sources: Vec::new(),
            parse: |_| Err(Error::Syntax("a file")),
            held: ArcSwap::from_pointee(value),
            read: Mutex::new(LastRead { digest: digest(&[]), error: None }),
        }
    }

    /// The last good value.
    pub(super) fn load(&self) -> Arc<T> {
        self.held.load_full()
    }

    /// Looks at the files again, and tells whether there is something new in them. Blocks.
    pub(super) fn reload(&self) -> Result<bool, Error> {
        let mut last = lock(&self.read);
        let outcome = read(&self.sources).and_then(|contents| {
            let digest = digest(&contents);
            if digest == last.digest { Ok(None) } else { Ok(Some((digest, (self.parse)(&contents)?))) }
        });
        self.note(&mut last, outcome.as_ref().err());
        let Some((digest, value)) = outcome? else { return Ok(false) };
        last.digest = digest;
        self.held.store(Arc::new(value));
        tracing::info!(files = ?self.paths().collect::<Vec<_>>(), "read again");
        Ok(true)
    }

    /// What is wrong with the files since they were last good.
    pub(super) fn error(&self) -> Option<String> {
        lock(&self.read).error.clone()
    }

    /// Remembers what is wrong, and logs it when it is news.
    fn note(&self, last: &mut LastRead, error: Option<&Error>) {
        let error = error.map(ToString::to_string);
        if last.error != error {
            let files: Vec<_> = self.paths().collect();
            if let Some(error) = &error {
                tracing::error!(?files, %error, "what was read before stays");
            } else {
                tracing::info!(?files, "the files are good again");
            }
            last.error = error;
        }
    }

    fn paths(&self) -> impl Iterator<Item = &Path> {
        self.sources.iter().map(|source| source.path.as_path())
    }
}

impl<T> fmt::Debug for Followed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Followed").field("sources", &self.sources).finish_non_exhaustive()
    }
}

fn read(sources: &[Source]) -> Result<Vec<Content>, Error> {
    sources.iter().map(Source::read).collect()
}

impl Source {
    fn read(&self) -> Result<Content, Error> {
        let file = File::open(&self.path)?;
        if self.is_secret {
            refuse_exposed(&file)?;
        }
        // Sized at once where that can be known: growing would leave copies behind.
        let len = file.metadata().map_or(0, |metadata| metadata.len());
        let mut content = Zeroizing::new(Vec::with_capacity(usize::try_from(len).unwrap_or(0).min(MAX_LEN) + 1));
        file.take(MAX_LEN as u64 + 1).read_to_end(&mut content)?;
        if content.len() > MAX_LEN { Err(Error::TooLong { limit: MAX_LEN }) } else { Ok(content) }
    }
}

fn digest(contents: &[Content]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for content in contents {
        hash.update((content.len() as u64).to_be_bytes());
        hash.update(content.as_slice());
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(contents: &[Content]) -> Result<u32, Error> {
        let text = std::str::from_utf8(&contents[0]).map_err(|_| Error::Syntax("text"))?;
        text.parse().map_err(|_| Error::Syntax("a number"))
    }

    #[test]
    fn the_last_good_value_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("number");
        let open = || Followed::open(vec![Source { path: path.clone(), is_secret: false }], number);
        assert!(matches!(open(), Err(Error::File(_))));
        std::fs::write(&path, "x").unwrap();
        assert!(matches!(open(), Err(Error::Syntax(_))));
        std::fs::write(&path, "1").unwrap();
        let followed = open().unwrap();
        assert!(!followed.reload().unwrap());
        for bad in [&b"x"[..], b"", &vec![b'1'; MAX_LEN + 1], b"\xff"] {
            std::fs::write(&path, bad).unwrap();
            assert!(followed.reload().is_err());
            assert!(followed.error().is_some());
            assert_eq!(*followed.load(), 1);
        }
        std::fs::write(&path, "2").unwrap();
        assert!(followed.reload().unwrap());
        assert_eq!((*followed.load(), followed.error()), (2, None));
        std::fs::remove_file(&path).unwrap();
        assert!(followed.reload().is_err());
        assert_eq!(*followed.load(), 2);
    }

    #[cfg(unix)]
    #[test]
    fn secrets_that_others_can_read_are_refused() {
        use std::os::unix::fs::PermissionsExt;

        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, "1").unwrap();
        let open = || Followed::open(vec![Source { path: file.path().to_owned(), is_secret: true }], number);
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o640)).unwrap();
        assert!(matches!(open(), Err(Error::Exposed(0o640))));
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
        let followed = open().unwrap();
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o604)).unwrap();
        assert!(matches!(followed.reload(), Err(Error::Exposed(0o604))));
    }
}
