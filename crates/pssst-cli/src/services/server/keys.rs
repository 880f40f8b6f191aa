//! Where a server's keys are from.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use pssst::{Keyring, PskMaster, ServerSecretKey, Suite};
use pssst_directory::KeyState;
use pssst_directory::jiff::Timestamp;
use pssst_directory_server::{Error, OptionalKind, Schedule, ScheduleFile};

use crate::args::key_file::{self, Access};
use crate::args::server_key;
use pssst_service::stderr::notice;
use pssst_service::{Failure, FollowedFile};

/// The files that have the server's keys.
#[derive(clap::Args, Debug)]
#[group(skip)]
#[command(group(clap::ArgGroup::new("server_keys").args(["secret_key", "keys"]).required(true)))]
pub(super) struct KeyOptions {
    /// The server's secret key. Give more files, most used first, while one key replaces another;
    /// and for suite f003 one of its keys beside the other.
    #[arg(long, value_name = "FILE", conflicts_with = "keys")]
    secret_key: Vec<PathBuf>,
    /// A master of the pool's pre-shared keys (`pssst keygen --psk-master`). Give two files, the
    /// current one first, while one replaces another.
    #[arg(long, value_name = "FILE", conflicts_with = "keys")]
    psk_master: Vec<PathBuf>,
    /// A schedule of secret keys (`pssst keys init`). The server follows it: keys change at the
    /// times in it.
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
}

impl KeyOptions {
    pub(super) fn schedule(&self) -> Option<&Path> {
        self.keys.as_deref()
    }

    /// Those that are read once, when the server starts. A schedule is followed by itself.
    pub(super) fn files(&self) -> impl Iterator<Item = PathBuf> {
        self.secret_key.iter().chain(&self.psk_master).cloned()
    }
}

/// A server's keys.
pub(super) enum Keys {
    /// From files that are read once.
    Fixed(Vec<ServerSecretKey>, Vec<PskMaster>),
    /// From a file that is followed.
    Schedule(Arc<ScheduleFile>),
}

/// The secrets that a server holds.
#[derive(Clone)]
pub(super) struct ServerKeys {
    pub(super) keyring: Keyring,
    /// The current one first.
    pub(super) psk_masters: Vec<PskMaster>,
}

impl ServerKeys {
    /// Returns the names of the masters.
    pub(super) fn masters(&self) -> Vec<[u8; 8]> {
        self.psk_masters.iter().map(PskMaster::id).collect()
    }
}

impl Keys {
    pub(super) fn read(options: &KeyOptions, access: &Access) -> Result<Self, Failure> {
        if let Some(path) = &options.keys {
            let file = ScheduleFile::open(path, access.allow_exposed_keys)
                .map_err(|error| server_key::of_schedule(path, &error).of_option("keys"))?;
            return Ok(Self::Schedule(Arc::new(file)));
        }
        let of_secret_key = |failure: Failure| failure.of_option("secret-key");
        key_file::refuse_streams(options.secret_key.iter().map(PathBuf::as_path)).map_err(of_secret_key)?;
        let read = |file: &PathBuf| key_file::read_server_secret(file, access).map_err(of_secret_key);
        let secrets = Failure::collect(options.secret_key.iter().map(read))?;
        let of_master = |failure: Failure| failure.of_option("psk-master");
        key_file::refuse_streams(options.psk_master.iter().map(PathBuf::as_path)).map_err(of_master)?;
        let read = |file: &PathBuf| key_file::read_psk_master(file, access).map_err(of_master);
        Ok(Self::Fixed(secrets, Failure::collect(options.psk_master.iter().map(read))?))
    }

    /// Refuses keys among which suite f003 has none. The times in a schedule do not matter: keys
    /// come and go while the server runs.
    pub(super) fn check_xwing_key(&self) -> Result<(), Failure> {
        let (has_key, remedy) = match self {
            Self::Fixed(secrets, _) => (
                secrets.iter().any(|secret| matches!(secret, ServerSecretKey::XWing(_))),
                "make one with `pssst keygen --suite f003 --out FILE` and give it with a second --secret-key FILE, or \
                 switch the suite off"
                    .to_owned(),
            ),
            Self::Schedule(file) => (
                file.load().lists(OptionalKind::XWingKeys),
                format!(
                    "add one with `pssst keys rotate {} --only f003`, or switch the suite off",
                    file.path().display()
                ),
            ),
        };
        if has_key {
            return Ok(());
        }
        Err(Failure::usage("suite f003 is enabled without a key of suite f003", remedy).of_option("suite"))
    }

    /// Warns about a schedule without a current key of suite f003.
    pub(super) fn warn_without_current_xwing_key(&self) {
        let Self::Schedule(file) = self else { return };
        let (schedule, now) = (file.load(), file.now());
        let mut keys = schedule.keys(now, &[Suite::XWingAes256GcmSiv]);
        if !keys.any(|key| key.state == KeyState::Current) {
            let path = file.path().display();
            notice(format_args!(
                "warning: suite f003 is enabled, and {path} has no current key of suite f003: `pssst keys show \
                 {path}` shows whether one is next"
            ));
        }
    }

    /// Returns the keys of this moment.
    pub(super) fn now(&self) -> Result<ServerKeys, Failure> {
        match self {
            Self::Fixed(secrets, masters) => {
                if masters.len() > pssst::Server::MAX_PSK_MASTERS {
                    return Err(Failure::usage(
                        format!("more than {} masters of pre-shared keys", pssst::Server::MAX_PSK_MASTERS),
                        "give the current one, and the one before or after it",
                    )
                    .of_option("psk-master"));
                }
                let keyring = keyring(secrets).map_err(|failure| failure.of_option("secret-key"))?;
                Ok(ServerKeys { keyring, psk_masters: masters.clone() })
            }
            Self::Schedule(file) => scheduled(&file.load(), file.now())
                .map_err(|error| server_key::of_schedule(file.path(), &error).of_option("keys")),
        }
    }

    pub(super) const fn is_scheduled(&self) -> bool {
        matches!(self, Self::Schedule(_))
    }

    /// Returns the file that is followed, if one is.
    pub(super) fn followed_files(&self) -> Vec<FollowedFile> {
        match self {
            Self::Fixed(..) => Vec::new(),
            Self::Schedule(file) => file.status().map(|(path, status)| FollowedFile::new(&path, status)).collect(),
        }
    }

    /// Returns what is wrong with the file, once clients may have keys that are not known here.
    pub(super) fn overdue(&self) -> Option<String> {
        match self {
            Self::Fixed(..) => None,
            Self::Schedule(file) => file.overdue(),
        }
    }

    /// Tells of other keys when their time comes, until it is dropped.
    pub(super) async fn follow(&self, mut apply: impl FnMut(ServerKeys)) {
        match self {
            Self::Fixed(..) => {}
            Self::Schedule(file) => {
                let never = file.follow(|schedule, now| match scheduled(schedule, now) {
                    Ok(keys) => apply(keys),
                    Err(error) => notice(format_args!("the server continues with the keys that it has: {error}")),
                });
                match never.await {}
            }
        }
    }
}

fn scheduled(schedule: &Schedule, now: Timestamp) -> Result<ServerKeys, Error> {
    let psk_masters = schedule.accepted_psk_masters(now).cloned().collect();
    Ok(ServerKeys { keyring: schedule.keyring(now)?, psk_masters })
}

fn keyring(secrets: &[ServerSecretKey]) -> Result<Keyring, Failure> {
    let publics: Vec<_> = secrets.iter().map(ServerSecretKey::public_key).collect();
    if let Some((_, key)) = publics.iter().enumerate().find(|(place, key)| publics[..*place].contains(key)) {
        return Err(Failure::usage(
            format!("the secret key of {key} is given twice"),
            "every key makes junk more expensive to refuse: give each key once",
        ));
    }
    let mut x25519 = secrets.iter().filter_map(|secret| match secret {
        ServerSecretKey::X25519(secret) => Some(secret.clone()),
        _ => None,
    });
    let first = x25519.next().ok_or_else(|| {
        Failure::usage(
            "all secret keys are for suite f003, and a server always has an X25519 key too: clients enrol with it",
            "give one with a further --secret-key FILE; `pssst keygen --out FILE` makes one",
        )
    })?;
    let too_many = |_| {
        Failure::usage(
            format!("more than {} secret keys of a kind", Keyring::CAPACITY),
            "every key makes junk more expensive to refuse: give only the keys that clients still use",
        )
    };
    let keyring = x25519.try_fold(Keyring::new(first), Keyring::with_key).map_err(too_many)?;
    let mut xwing = secrets.iter().filter_map(|secret| match secret {
        ServerSecretKey::XWing(secret) => Some(secret),
        _ => None,
    });
    xwing.try_fold(keyring, Keyring::with_xwing_key).map_err(too_many)
}
