//! A text file of identities, in the spirit of `authorized_keys`.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Instant;

use async_trait::async_trait;
use jiff::Timestamp;
use pssst::PublicKey;
use pssst_support::sync::lock;
use pssst_support::{Candidate, Contents, FileWatcher, Polled, SETTLE, Source, atomic_file, secret_file};
use tokio::task::spawn_blocking;

use crate::identity::to_milliseconds;
use crate::memory::table::Table;
use crate::store::{now, random_store_name};
use crate::{
    ChangeReceiver, ChangeSignal, Changes, ClientTotals, Error, Identity, IdentityStore, ListQuery, NewIdentity, Page,
    Revision, Update,
};

mod disk;
mod line;

/// How often a look waits for new contents to settle. After that, the last good ones answer.
const MAX_WAITS: u32 = 3;
/// Contents of a file without clients: an empty one could have been cut.
const HEADER: &str = "# One client a line: its key and its name.\n";

/// A store in a text file, one client a line, which people may edit as well.
///
/// ```text
/// # The north wing.
/// dd2991b0a65a9962ffaae24516308f514901b6b186b6ac6ffa48cdea5d55c317 boiler-7
/// 9a...41 pump-3 state=suspended expires=2027-01-01T00:00:00Z label:site=north label:room="pump room"
/// ```
///
/// A line has a key (64 hexadecimal digits) and a name, and then, in any order, `state=suspended`
/// or `state=revoked`, `psk=required` for a client that must use its pre-shared key, `created=`,
/// `changed=` and `expires=` with times, and any number of `label:NAME=VALUE`. A value with white
/// space in it, an empty one, and one that begins with a quotation mark stand in quotation marks,
/// in which `\"` and `\\` stand for these characters. Blank lines and lines that begin with `#`
/// stay as they are when the store changes another line. A line without times gets the times of the
/// file.
///
/// The file is checked before each call. A change takes effect when the contents have been stable
/// for a tenth of a second, so that a half-written file is not used. An invalid file is refused as
/// a whole, and so is one that had clients and is empty now (leave a comment in it if that is
/// meant): what it had before stays in force, [`changes`](IdentityStore::changes) tells the error,
/// and the store changes nothing until the file is repaired.
///
/// Writers in any number of processes lock it in turn, and replace the file
/// at once. Every change writes the whole file, of 64 MiB at most: a database suits more than some
/// thousand clients better.
#[derive(Clone, Debug)]
pub struct FileStore(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    /// Held by a writer. A writer that waits for another process does not block readers.
    write_lock: Mutex<()>,
    known: Mutex<Known>,
    signal: ChangeSignal,
}

/// Contents of the file when it could be used last.
#[derive(Debug)]
struct Known {
    table: Table,
    watcher: FileWatcher,
}

impl FileStore {
    /// Reads the file at this path. It is made if it is not there, for its owner only.
    ///
    /// # Errors
    /// [`Error::File`], and [`Error::Line`] for a line that cannot be used.
    pub async fn open(path: impl Into<PathBuf>) -> Result<Self, Error> {
        Self::open_or_create(path.into(), true).await
    }

    /// Reads the file at this path as [`open`](Self::open) does, but does not create it.
    ///
    /// # Errors
    /// [`Error::Missing`], and the errors of [`open`](Self::open).
    pub async fn open_existing(path: impl Into<PathBuf>) -> Result<Self, Error> {
        Self::open_or_create(path.into(), false).await
    }

    async fn open_or_create(path: PathBuf, creates: bool) -> Result<Self, Error> {
        // A later change of the working directory must not mean another file.
        let path = std::path::absolute(path)?;
        let watcher = FileWatcher::new(vec![Source::new(&path).max_len(disk::MAX_LEN)]);
        let known = Known { table: Table::new(random_store_name()?), watcher };
        let store = Self(Arc::new(Shared {
            path,
            write_lock: Mutex::new(()),
            known: Mutex::new(known),
            signal: ChangeSignal::default(),
        }));
        store.blocking(move |shared| shared.open(creates)).await?;
        Ok(store)
    }

    /// Tables do not block; files do.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shared) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let shared = Arc::clone(&self.0);
        let done = spawn_blocking(move || work(&shared)).await;
        done.map_err(|error| Error::File(io::Error::other(error)))?
    }

    /// Reads the last good contents, even if the file is invalid now.
    async fn look<T: Send + 'static>(&self, look: impl FnOnce(&Table) -> T + Send + 'static) -> Result<T, Error> {
        self.blocking(move |shared| Ok(look(&shared.refreshed().0.table))).await
    }

    /// Changes the table, and then the affected lines.
    async fn edit<T: Send + 'static>(
        &self,
        edit: impl FnOnce(&mut Table) -> Result<(T, Vec<PublicKey>), Error> + Send + 'static,
    ) -> Result<T, Error> {
        self.blocking(move |shared| shared.edit(edit)).await
    }
}

#[async_trait]
impl IdentityStore for FileStore {
    async fn add_all(&self, identities: Vec<NewIdentity>) -> Result<Vec<Identity>, Error> {
        self.edit(|table| {
            let added = table.add_all(identities, now())?;
            let keys = added.iter().map(|identity| identity.key).collect();
            Ok((added, keys))
        })
        .await
    }

    async fn get(&self, key: &PublicKey) -> Result<Option<Identity>, Error> {
        let key = *key;
        self.look(move |table| table.get(&key).cloned()).await
    }

    async fn find_by_name(&self, name: &str) -> Result<Option<Identity>, Error> {
        let name = name.to_owned();
        self.look(move |table| table.find_by_name(&name).cloned()).await
    }

    async fn list(&self, query: &ListQuery) -> Result<Page, Error> {
        let query = query.clone();
        self.look(move |table| table.list(&query)).await
    }

    async fn totals(&self) -> Result<ClientTotals, Error> {
        self.look(|table| table.totals(now())).await
    }

    async fn update(&self, key: &PublicKey, update: Update) -> Result<Identity, Error> {
        let key = *key;
        self.edit(move |table| Ok((table.update(&key, update, now())?, vec![key]))).await
    }

    async fn remove(&self, key: &PublicKey) -> Result<(), Error> {
        let key = *key;
        self.edit(move |table| Ok((table.remove(&key)?, vec![key]))).await
    }

    async fn changes(&self, after: Revision, limit: usize) -> Result<Changes, Error> {
        self.blocking(move |shared| {
            let (known, refreshed) = shared.refreshed();
            refreshed.map(|()| known.table.changes(after, limit))
        })
        .await
    }

    fn subscribe(&self) -> ChangeReceiver {
        self.0.signal.subscribe()
    }
}

impl Shared {
    fn open(&self, creates: bool) -> Result<(), Error> {
        if creates {
            secret_file::create_if_missing(&self.path).map_err(|error| Error::of_file(&self.path, &error))?;
        } else if !self.path.try_exists().map_err(|error| Error::of_file(&self.path, &error))? {
            return Err(Error::Missing(self.path.clone()));
        }
        let mut known = self.known();
        let contents = known.watcher.read(Instant::now())?;
        self.take(&mut known, &contents)
    }

    /// Polls the file, and returns the last good contents and whether the file can be used.
    fn refreshed(&self) -> (MutexGuard<'_, Known>, Result<(), Error>) {
        let mut waits = 0;
        loop {
            let mut known = self.known();
            let refreshed = match known.watcher.poll(Instant::now()) {
                Ok(Polled::Pending) if waits < MAX_WAITS => {
                    drop(known);
                    waits += 1;
                    thread::sleep(SETTLE);
                    continue;
                }
                Ok(Polled::Same | Polled::Pending) => Ok(()),
                Ok(Polled::Settled(contents)) => self.take(&mut known, &contents),
                Err(error) => Err(error.into()),
            };
            return (known, refreshed);
        }
    }

    /// Loads the file if all of it is valid.
    fn take(&self, known: &mut Known, candidate: &Candidate) -> Result<(), Error> {
        let identities = identities(candidate, &known.table)?;
        let (before, after) = (known.table.len(), identities.len());
        if after < before / 2 {
            tracing::warn!(path = %self.path.display(), before, after, "the file of clients has lost most of its clients");
        }
        // In case of a panic, the file is read again.
        known.watcher.forget();
        known.table.replace_all(identities);
        known.watcher.accept(candidate);
        self.signal.notify();
        Ok(())
    }

    fn edit<T>(&self, edit: impl FnOnce(&mut Table) -> Result<(T, Vec<PublicKey>), Error>) -> Result<T, Error> {
        let _write_lock = lock(&self.write_lock);
        let _lock = atomic_file::lock(&self.path).map_err(|error| Error::of_file(&self.path, &error))?;
        let mut known = self.known();
        let old = known.watcher.read(Instant::now())?;
        if !known.watcher.is_accepted(&old) {
            self.take(&mut known, &old)?;
        }
        let (result, keys) = edit(&mut known.table)?;
        if keys.is_empty() {
            return Ok(result);
        }
        let text = edited(text_of(&old)?, &known.table, &keys);
        known.watcher.forget();
        if let Err(error) = disk::replace(&self.path, &text) {
            // As it was, until the next look at the file.
            let identities = identities(&old, &known.table)?;
            known.table.replace_all(identities);
            known.watcher.accept(&old);
            return Err(Error::of_file(&self.path, &error));
        }
        known.watcher.accept_written(text.as_bytes());
        self.signal.notify();
        Ok(result)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        lock(&self.known)
    }
}

fn text_of(candidate: &Candidate) -> Result<&str, Error> {
    let bytes = candidate.contents().first().map_or(&[][..], |contents| contents);
    str::from_utf8(bytes).map_err(|error| {
        let good = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let line = good.split(|&byte| byte == b'\n').count();
        Error::Line { line, cause: Box::new(Error::Syntax("UTF-8 text")) }
    })
}

/// Parses the text. A client from before needs no other check of its key, and keeps
/// times that are not written.
fn identities(candidate: &Candidate, known: &Table) -> Result<Vec<Identity>, Error> {
    let modified = candidate.contents().first().and_then(Contents::modified);
    let modified = modified.and_then(|time| Timestamp::try_from(time).ok());
    let modified = modified.map_or(Timestamp::UNIX_EPOCH, to_milliseconds);
    let text = text_of(candidate)?;
    let (mut identities, mut keys, mut names) = (Vec::new(), HashSet::new(), HashSet::new());
    for (line, text) in (1..).zip(text.split_inclusive('\n')) {
        let at_line = |cause| Error::Line { line, cause: Box::new(cause) };
        let Some(parsed) = line::parse(text).map_err(at_line)? else { continue };
        let before = known.get(&parsed.key);
        if before.is_none() {
            parsed.key.validate().map_err(|error| at_line(Error::Key(error)))?;
        }
        if !keys.insert(parsed.key) {
            return Err(at_line(Error::KeyTaken(parsed.key)));
        }
        if !names.insert(parsed.name.clone()) {
            return Err(at_line(Error::NameTaken(parsed.name)));
        }
        let mut identity = Identity {
            key: parsed.key,
            name: parsed.name,
            labels: parsed.labels,
            state: parsed.state,
            created: parsed.created.or_else(|| before.map(|before| before.created)).unwrap_or(modified),
            changed: modified,
            expires: parsed.expires,
            requires_psk: parsed.requires_psk,
        };
        match (parsed.changed, before) {
            (Some(changed), _) => identity.changed = changed,
            (None, Some(before)) if (Identity { changed: before.changed, ..identity.clone() }) == *before => {
                identity.changed = before.changed;
            }
            (None, _) => {}
        }
        identities.push(identity);
    }
    Ok(identities)
}

/// Returns the text with the lines of these clients as the table has them now.
fn edited(text: &str, table: &Table, keys: &[PublicKey]) -> String {
    let mut lines: HashMap<_, _> = keys.iter().map(|key| (*key, table.get(key).map(line::print))).collect();
    let mut edited = String::with_capacity(text.len() + keys.len() * 200);
    for old in text.split_inclusive('\n') {
        match line::key_of(old).and_then(|key| lines.remove(&key)) {
            Some(new) => edited.extend(new),
            None => edited.push_str(old),
        }
    }
    // The new ones, in the order in which they were given.
    for new in keys.iter().filter_map(|key| lines.remove(key).flatten()) {
        if !edited.is_empty() && !edited.ends_with('\n') {
            edited.push('\n');
        }
        edited.push_str(&new);
    }
    if edited.trim().is_empty() { HEADER.to_owned() } else { edited }
}
