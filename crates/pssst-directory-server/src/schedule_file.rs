//! The file of secret keys that directory and servers follow.

use std::convert::Infallible;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use pssst::{PskMaster, SecretKey, ServerKey, SuiteSet, SysRng, XWingSecretKey};
use pssst_directory::MasterId;
use pssst_support::{Change, Contents, SETTLE, Source, WatchStatus, atomic_file};

use crate::watched::Watched;
use crate::{Error, NewSecrets, OptionalKind, Retirement, Schedule};
use pssst_directory::Clock;

/// Interval of the checks of the file. (Watches of the file system miss what becomes of secret
/// mounts and network drives.)
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// A [`Schedule`] in a file that may be replaced at any time, by [`ScheduleFile::rotate`] or by a
/// system that mounts secrets.
///
/// Its contents apply as a whole or not at all: new contents that cannot be read are reported, and
/// the last good ones stay in force.
///
/// ```no_run
/// use std::sync::Arc;
/// use pssst_directory_server::ScheduleFile;
/// use pssst_net::pssst::SuiteSet;
/// use pssst_net::{Handler, Server, ServerConfig};
/// # async fn example(handler: Handler, stop: impl Future<Output = ()>) -> Result<(), Box<dyn std::error::Error>> {
/// let keys = Arc::new(ScheduleFile::open("/run/secrets/pssst/keys.json", false)?);
/// let config = ServerConfig::new(keys.server(SuiteSet::DATAGRAM)?, handler);
/// let server = Server::builder().bind("[::]:45678")?.serve(config)?;
/// tokio::select! {
///     never = keys.keep_server(&server, SuiteSet::DATAGRAM) => match never {},
///     () = stop => {}
/// }
/// server.shutdown(std::time::Duration::from_secs(5)).await;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct ScheduleFile {
    path: PathBuf,
    allow_exposed: bool,
    clock: Clock,
    current: Watched<Schedule>,
}

impl ScheduleFile {
    /// Reads the file for the first time.
    ///
    /// # Errors
    /// The errors of [`Schedule::read`].
    pub fn open(path: impl Into<PathBuf>, allow_exposed: bool) -> Result<Self, Error> {
        let path = path.into();
        let source = Source::new(&path).secret(!allow_exposed).max_len(Schedule::MAX_LEN as u64);
        let parse = |contents: &[Contents]| Schedule::parse(contents.first().map_or(&[], |contents| contents));
        let current = Watched::open(vec![source], parse)?;
        Ok(Self { path, allow_exposed, clock: Clock::default(), current })
    }

    /// Returns the file with another clock.
    #[must_use]
    pub fn with_clock(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    /// Path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the time that decides which keys are in use.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Returns the last good content.
    pub fn load(&self) -> Arc<Schedule> {
        self.current.load()
    }

    /// Returns a server with the keys of this moment, for a [`pssst_net::ServerConfig`];
    /// [`ScheduleFile::keep_server`] keeps it up.
    ///
    /// # Errors
    /// The errors of [`Schedule::keyring`].
    pub fn server(&self, suites: SuiteSet) -> Result<pssst::Server, Error> {
        self.load().server(self.now(), suites)
    }

    /// Reads the file again, takes what is in it at once, and returns whether that is new. Blocks.
    ///
    /// # Errors
    /// The errors of [`Schedule::read`]; the last good content stays.
    pub fn reload(&self) -> Result<bool, Error> {
        self.current.reload()
    }

    /// Returns the file, and how well it is followed.
    pub fn status(&self) -> impl Iterator<Item = (PathBuf, WatchStatus)> {
        self.current.status()
    }

    /// Returns what is wrong with the file, once it has been so for the refresh interval: from then
    /// on, clients may use a key that the file has and this process does not.
    pub fn overdue(&self) -> Option<String> {
        let refresh_interval = self.load().refresh_interval();
        let overdue = self.current.status().find(|(_, status)| status.age >= refresh_interval);
        let (path, status) = overdue?;
        Some(format!(
            "the keys are {} s old: {}",
            status.age.as_secs(),
            status.error.unwrap_or_else(|| format!("{} keeps changing", path.display()))
        ))
    }

    /// Returns the file that cannot be used and the cause; `None` while all is well.
    pub fn error(&self) -> Option<String> {
        self.current.error()
    }

    /// Generates a key and starts a rotation of the schedule in the file, as [`Schedule::rotate`]
    /// does. Blocks; processes that change it wait for one another.
    ///
    /// # Errors
    /// The errors of [`Schedule::read`], [`Schedule::rotate`] and [`Schedule::write`]; and
    /// [`Error::Protocol`] when the system has no randomness.
    pub fn rotate(
        &self,
        rotated: Rotated,
        activation_delay: Duration,
        grace_period: Duration,
    ) -> Result<Generated, Error> {
        let now = self.now();
        let generated = self.update(|schedule| {
            let (new, generated) = generate(schedule, rotated, now)?;
            schedule.rotate(new, now, activation_delay, grace_period)?;
            Ok(generated)
        })?;
        tracing::info!(new = %generated, ?activation_delay, ?grace_period, "rotation of keys started");
        Ok(generated)
    }

    /// Gives a kind of secrets up, as [`Schedule::retire`] does. Blocks.
    ///
    /// # Errors
    /// Like [`ScheduleFile::rotate`].
    pub fn retire(&self, kind: OptionalKind, grace_period: Duration) -> Result<Retirement, Error> {
        let retirement = self.update(|schedule| schedule.retire(kind, self.now(), grace_period))?;
        if retirement.is_new {
            tracing::warn!(%kind, ends_at = %retirement.ends_at, "a kind of secrets is given up");
        }
        Ok(retirement)
    }

    /// Generates a key and replaces all others by it, as [`Schedule::replace_compromised`] does.
    /// Blocks.
    ///
    /// # Errors
    /// Like [`ScheduleFile::rotate`].
    pub fn replace_compromised(&self, psk_grace_period: Duration) -> Result<Generated, Error> {
        let now = self.now();
        let generated = self.update(|schedule| {
            let (new, generated) = generate(schedule, Rotated::default(), now)?;
            schedule.replace_compromised(new, now, psk_grace_period)?;
            Ok(generated)
        })?;
        tracing::warn!(new = %generated, "all keys were replaced as compromised");
        Ok(generated)
    }

    /// Raises the generation, as [`Schedule::take_over`] does, and returns the new one. Blocks.
    ///
    /// # Errors
    /// Like [`ScheduleFile::rotate`].
    pub fn take_over(&self, above: u64) -> Result<u64, Error> {
        self.update(|schedule| {
            schedule.take_over(above)?;
            Ok(schedule.generation())
        })
    }

    /// Changes the schedule that is in the file now.
    fn update<T>(&self, change: impl FnOnce(&mut Schedule) -> Result<T, Error>) -> Result<T, Error> {
        let _lock = atomic_file::lock(&self.path)?;
        let mut schedule = Schedule::read(&self.path, self.allow_exposed)?;
        let outcome = change(&mut schedule)?;
        schedule.write(&self.path)?;
        // The change is written, whatever the outcome of this; followers poll in a moment.
        drop(self.reload());
        Ok(outcome)
    }

    /// Polls the file every second, and calls `apply` at once and whenever keys or their states
    /// change, at the times of the schedule. Never returns: drop the future to stop.
    pub async fn follow(self: &Arc<Self>, mut apply: impl FnMut(&Schedule, Timestamp)) -> Infallible {
        let mut applied = (Vec::new(), Vec::new());
        let mut interval = POLL_INTERVAL;
        loop {
            let (schedule, now) = (self.load(), self.now());
            let suites: Vec<_> = SuiteSet::DATAGRAM.iter().collect();
            let keys = (schedule.keys(now, &suites).collect::<Vec<_>>(), schedule.psk_masters(now).collect::<Vec<_>>());
            if keys != applied {
                apply(&schedule, now);
                applied = keys;
            }
            let until_change =
                schedule.next_change(now).and_then(|time| Duration::try_from(time.duration_since(now)).ok());
            tokio::time::sleep(until_change.map_or(interval, |pause| pause.min(interval))).await;
            let file = Arc::clone(self);
            // Failures are logged, and `error` returns them.
            let polled = tokio::task::spawn_blocking(move || file.current.poll()).await;
            interval = if matches!(polled, Ok(Ok(Change::Pending))) { SETTLE } else { POLL_INTERVAL };
        }
    }

    /// Keeps a server's keys up to date. Never returns: drop the future to stop.
    pub async fn keep_server(self: &Arc<Self>, server: &pssst_net::Server, suites: SuiteSet) -> Infallible {
        let apply = |schedule: &Schedule, now| match schedule.server(now, suites) {
            Ok(keys) => server.update_config(|config| config.keys(keys)),
            Err(error) => tracing::error!(%error, "the server continues with the keys that it has"),
        };
        self.follow(apply).await
    }
}

/// The kinds of secrets that a rotation replaces: by default those that the schedule
/// has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rotated {
    /// All that the schedule has.
    #[default]
    All,
    /// X25519 keys.
    Keys,
    /// X-Wing keys; the first one, if there is none yet.
    XWingKeys,
    /// Masters of pre-shared keys; the first one, if there is none yet.
    PskMasters,
}

/// What everyone may know of newly generated secrets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Generated {
    /// The public keys.
    pub keys: Vec<ServerKey>,
    /// The name of the master of pre-shared keys.
    pub psk_master: Option<[u8; 8]>,
}

/// The public keys, then the master's name: as people read them.
impl fmt::Display for Generated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for key in &self.keys {
            write!(f, "{separator}key {}", key.label())?;
            separator = ", ";
        }
        match self.psk_master {
            Some(master) => write!(f, "{separator}master {}", MasterId::from(master)),
            None => Ok(()),
        }
    }
}

fn generate(schedule: &Schedule, rotated: Rotated, now: Timestamp) -> Result<(NewSecrets, Generated), Error> {
    let all = rotated == Rotated::All;
    let (mut new, mut generated) = (NewSecrets::default(), Generated::default());
    if all || rotated == Rotated::Keys {
        let key = SecretKey::generate(&mut SysRng)?;
        generated.keys.push(key.public_key().into());
        new.key = Some(key);
    }
    if all && schedule.has(OptionalKind::XWingKeys, now) || rotated == Rotated::XWingKeys {
        let key = XWingSecretKey::generate(&mut SysRng)?;
        generated.keys.push(key.public_key().into());
        new.xwing_key = Some(key);
    }
    if all && schedule.has(OptionalKind::PskMasters, now) || rotated == Rotated::PskMasters {
        let master = PskMaster::generate(&mut SysRng)?;
        generated.psk_master = Some(master.id());
        new.psk_master = Some(master);
    }
    Ok((new, generated))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::time::Instant;

    use pssst::Suite;

    use super::*;
    use pssst_directory::KeyState;

    const MINUTE: Duration = Duration::from_mins(1);

    /// One that goes with tokio's time.
    fn clock() -> Clock {
        let (start, begun) = (Instant::now(), "2026-03-01T12:00:00Z".parse::<Timestamp>().unwrap());
        Clock::from_fn(move || begun + start.elapsed())
    }

    fn write(path: &Path, seed: u8, now: Timestamp) -> Schedule {
        let schedule = Schedule::new(SecretKey::from_bytes([seed; 32]), now).with_refresh_interval(MINUTE);
        schedule.write(path).unwrap();
        schedule
    }

    #[tokio::test]
    async fn a_bad_file_changes_nothing_and_is_reported() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.json");
        assert!(matches!(ScheduleFile::open(&path, false), Err(Error::File(_))));
        let schedule = write(&path, 1, Timestamp::now());
        let whole = std::fs::read(&path).unwrap();
        let file = ScheduleFile::open(&path, false).unwrap();
        assert!(!file.reload().unwrap());
        for (torn, error) in [(&whole[..whole.len() / 2], "expected a key schedule"), (b"", "emptied")] {
            std::fs::write(&path, torn).unwrap();
            assert!(file.reload().is_err());
            assert_eq!(*file.load(), schedule);
            assert!(file.error().unwrap().contains(error), "{:?}", file.error());
            assert!(file.rotate(Rotated::All, MINUTE, MINUTE).is_err());
        }
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(file.reload(), Err(Error::File(_))));
        let other = write(&path, 2, Timestamp::now());
        assert!(file.reload().unwrap());
        assert_eq!((&*file.load(), file.error()), (&other, None));
    }

    #[tokio::test(start_paused = true)]
    async fn followers_hear_of_each_change_at_its_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.json");
        let clock = clock();
        let start = clock.now();
        let old = SecretKey::from_bytes([1; 32]).public_key();
        write(&path, 1, start);
        let file = Arc::new(ScheduleFile::open(&path, false).unwrap().with_clock(clock.clone()));
        let heard = Arc::new(Mutex::new(Vec::new()));
        let follower = tokio::spawn({
            let (file, heard) = (Arc::clone(&file), Arc::clone(&heard));
            async move {
                file.follow(|schedule, now| {
                    let keys: Vec<_> = schedule
                        .keys(now, &[Suite::X25519Aes256GcmSiv])
                        .map(|key| (key.key.x25519_part(), key.state))
                        .collect();
                    heard.lock().unwrap().push((now.duration_since(start).as_millis(), keys));
                })
                .await
            }
        });
        tokio::time::sleep(Duration::from_millis(2500)).await;
        // Another process writes it.
        let other = ScheduleFile::open(&path, false).unwrap().with_clock(clock);
        let new = other.rotate(Rotated::All, Duration::from_millis(61_234), MINUTE).unwrap().keys[0].x25519_part();
        assert!(matches!(other.rotate(Rotated::All, MINUTE, MINUTE), Err(Error::RotationUnderWay)));
        std::fs::write(path.with_extension("other"), "").unwrap();
        tokio::time::sleep(5 * MINUTE).await;
        follower.abort();
        let heard = std::mem::take(&mut *heard.lock().unwrap());
        let (current, next, previous) = (KeyState::Current, KeyState::Next, KeyState::Previous);
        let keys: Vec<_> = heard.iter().map(|(_, keys)| keys.clone()).collect();
        assert_eq!(
            keys,
            [
                vec![(old, current)],
                vec![(old, current), (new, next)],
                vec![(old, previous), (new, current)],
                vec![(new, current)],
            ]
        );
        let times: Vec<_> = heard.iter().map(|(time, _)| *time).collect();
        // Timers have a resolution of a millisecond.
        let rotated = 2500 + 61_234;
        assert_eq!(times[0], 0);
        assert!((2500..=3600).contains(&times[1]), "{times:?}");
        assert!((rotated..rotated + 5).contains(&times[2]), "{times:?}");
        assert!((rotated + 60_000..rotated + 60_005).contains(&times[3]), "{times:?}");
    }

    #[test]
    fn processes_that_rotate_at_once_do_so_one_after_another() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.json");
        write(&path, 1, Timestamp::now() - MINUTE);
        let outcomes: Vec<_> = std::thread::scope(|scope| {
            let rotate = || ScheduleFile::open(&path, false).unwrap().rotate(Rotated::All, MINUTE, 2 * MINUTE);
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(rotate)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1, "{outcomes:?}");
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Ok(_) | Err(Error::RotationUnderWay))), "{outcomes:?}");
        assert_eq!(
            Schedule::read(&path, false).unwrap().keys(Timestamp::now(), &[Suite::X25519Aes256GcmSiv]).count(),
            2
        );
    }
}
