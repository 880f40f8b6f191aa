//! The directory as a service: an HTTPS listener for devices, and one for operators.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use pssst::Suite;
use pssst_http::{HttpStats, Listener, Server, Tls};
use pssst_identity::SqlStore;
use pssst_link::Link;
use pssst_net::RateLimit;
use pssst_support::WatchStatus;
use tokio::task::JoinHandle;

use crate::admin::{self, Authorities, Operators};
use crate::certificate::ServerCertificate;
use crate::limits::Limits;
use crate::peer;
use crate::public;
use crate::state::{Rotation, Shared, open_enrollments};
use crate::stats::DirectoryStats;
use crate::tally::{IssuedPsks, Tally};
use crate::{Error, ScheduleFile};
use pssst_directory::Pin;

/// A directory that serves: HTTP/1.1 over TLS 1.3 for devices (their server's keys, enrolment and
/// renewal)
/// and, at a separate address, for operators (an API in JSON, and web pages without any script).
///
/// Dropping it stops it at once; [`Directory::shutdown`] waits for requests first.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
/// use pssst_directory::DirectoryClient;
/// use pssst_directory::jiff::Timestamp;
/// use pssst_directory_server::{Directory, Schedule, ScheduleFile, ServerCertificate};
/// use pssst_identity::SqlStore;
/// use pssst_identity::pssst::{SecretKey, SysRng};
///
/// # tokio::runtime::Runtime::new()?.block_on(async {
/// # let folder = tempfile::tempdir()?;
/// # let folder = folder.path();
/// let keys = folder.join("keys.json");
/// Schedule::new(SecretKey::generate(&mut SysRng)?, Timestamp::now()).write(&keys)?;
/// let store = SqlStore::open(&format!("sqlite:{}", folder.join("clients.db").display())).await?;
/// let certificate = ServerCertificate::self_signed(["localhost".to_owned()])?;
/// let bound = Directory::builder(store, Arc::new(ScheduleFile::open(&keys, false)?), certificate)
///     .bind("127.0.0.1:0".parse()?, None)
///     .await?;
/// let directory = bound.serve();
///
/// let url = format!("https://{}", directory.public_addr());
/// let client = DirectoryClient::builder(url).pin(directory.pin()).build()?;
/// println!("the server's key is {}", client.fetch().await?.keys[0].key);
///
/// directory.shutdown(Duration::from_secs(5)).await;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Directory {
    public: Server,
    admin: Option<Server>,
    shared: Arc<Shared>,
    /// Follows the files.
    follower: JoinHandle<()>,
}

/// Length of a device's request's body, in bytes. An enrolment has about 400.
const MAX_BODY_LEN: usize = 8 * 1024;

impl Directory {
    /// Returns a directory for the clients in this store, with the keys of this schedule, known by
    /// this certificate.
    pub fn builder(store: SqlStore, schedule: Arc<ScheduleFile>, certificate: ServerCertificate) -> DirectoryBuilder {
        DirectoryBuilder {
            store,
            schedule,
            certificate,
            operators: None,
            client_ca: None,
            refresh_interval: None,
            suites: vec![Suite::XWingAes256GcmSiv, Suite::X25519Aes256GcmSiv, Suite::X25519AesGcm128],
            enrollments: (RateLimit::new(5).with_burst(50), RateLimit::new(50).with_burst(1000)),
            renewals: (RateLimit::new(5).with_burst(50), RateLimit::new(500).with_burst(5000)),
            rotation: Rotation { activation_delay: Duration::from_mins(15), grace_period: Duration::from_hours(24) },
            max_connections: 4096,
        }
    }

    /// Address for devices.
    pub fn public_addr(&self) -> SocketAddr {
        self.public.local_addr()
    }

    /// Address for operators.
    pub fn admin_addr(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(Server::local_addr)
    }

    /// Returns the pin of its certificate, for clients that no public authority serves.
    pub fn pin(&self) -> Pin {
        self.shared.certificate.pin()
    }

    /// Returns the time at which its certificate expires.
    pub fn certificate_expiry(&self) -> Timestamp {
        self.shared.certificate.expiry()
    }

    /// Returns the files that it follows, and how well: its schedule, certificate, operators and
    /// authorities.
    pub fn files(&self) -> Vec<(PathBuf, WatchStatus)> {
        let Shared { schedule, certificate, operators, authorities, .. } = &*self.shared;
        let optional =
            operators.iter().flat_map(Operators::status).chain(authorities.iter().flat_map(Authorities::status));
        schedule.status().chain(certificate.status()).chain(optional).collect()
    }

    /// Returns why devices should ask another directory, a reason each.
    pub fn not_ready(&self) -> Vec<String> {
        self.shared.schedule.overdue().into_iter().collect()
    }

    /// Its counters.
    pub fn stats(&self) -> DirectoryStats {
        let admin = self.admin.as_ref().map_or_else(HttpStats::default, Server::stats);
        self.shared.counters.snapshot(self.public.stats() + admin)
    }

    /// Stops: accepts nothing more, finishes the requests at hand as far as `within` allows, and
    /// closes. Returns what it has done in its life.
    pub async fn shutdown(&self, within: Duration) -> DirectoryStats {
        let admin = async {
            if let Some(admin) = &self.admin {
                admin.shutdown(within).await;
            }
        };
        tokio::join!(self.public.shutdown(within), admin);
        self.follower.abort();
        self.shared.record_tallies().await;
        self.stats()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        self.follower.abort();
    }
}

/// Configures a directory.
#[derive(Debug)]
#[must_use]
pub struct DirectoryBuilder {
    store: SqlStore,
    schedule: Arc<ScheduleFile>,
    certificate: ServerCertificate,
    operators: Option<Operators>,
    client_ca: Option<PathBuf>,
    refresh_interval: Option<Duration>,
    suites: Vec<Suite>,
    enrollments: (RateLimit, RateLimit),
    renewals: (RateLimit, RateLimit),
    rotation: Rotation,
    max_connections: usize,
}

impl DirectoryBuilder {
    /// Sets the operators that may log in at the admin listener with a token.
    pub fn operators(self, operators: Operators) -> Self {
        Self { operators: Some(operators), ..self }
    }

    /// Sets the authorities, in a PEM file, whose certificates let operators in at the admin
    /// listener. Without [`operators`](Self::operators), other TLS connections are refused.
    ///
    /// The file is polled every second. An authority that is no longer in it, or a certificate that
    /// has expired, ends what its certificates may do at once, on open connections too. Lists of
    /// revoked certificates are not supported: use short-lived certificates, or an authority for
    /// this purpose only.
    pub fn client_ca(self, path: impl Into<PathBuf>) -> Self {
        Self { client_ca: Some(path.into()), ..self }
    }

    /// Returns whether a file has authorities for [`client_ca`](Self::client_ca), which otherwise
    /// is seen when the directory is bound.
    ///
    /// # Errors
    /// [`Error::File`] and [`Error::Certificate`].
    pub fn check_client_ca(path: impl AsRef<Path>) -> Result<(), Error> {
        Authorities::open(path.as_ref(), false).map(drop)
    }

    /// Sets the longest refresh interval of clients: from a second to the interval of the
    /// [schedule](crate::Schedule::refresh_interval), which it is by default.
    pub fn refresh_interval(self, refresh_interval: Duration) -> Self {
        Self { refresh_interval: Some(refresh_interval), ..self }
    }

    /// Sets the suites to announce to clients, the preferred one first. By default 0xf003, 0xf002
    /// and 1: of these, those that the schedule has keys for. (An enrolment is always of suite
    /// 0xf0e1.)
    pub fn suites(self, suites: impl Into<Vec<Suite>>) -> Self {
        Self { suites: suites.into(), ..self }
    }

    /// Sets the limits of enrolment requests, for each source and for all together. By default 5 a
    /// second or 50 at once from each /24 or /56, and 50 a second or 1,000 at once from all.
    pub fn enrollment_limits(self, each: RateLimit, all: RateLimit) -> Self {
        Self { enrollments: (each, all), ..self }
    }

    /// Sets the limits of renewals, for each source and for all together. By default 5 a second or
    /// 50 at once from each /24 or /56, and 500 a second or 5,000 at once from all. A fleet renews
    /// within half of the refresh interval after a rotation.
    pub fn renewal_limits(self, each: RateLimit, all: RateLimit) -> Self {
        Self { renewals: (each, all), ..self }
    }

    /// Sets the defaults of rotations: see [`Schedule::rotate`](crate::Schedule::rotate). By
    /// default 15 minutes and 24 hours.
    pub fn rotation(self, activation_delay: Duration, grace_period: Duration) -> Self {
        Self { rotation: Rotation { activation_delay, grace_period }, ..self }
    }

    /// Sets the most connections of each listener: 4,096 by default; 0 counts as 1. Operators have
    /// a listener of their own, whose places no device takes. More connections take the places of
    /// idle ones, of the source with the most.
    pub fn max_connections(self, max_connections: usize) -> Self {
        Self { max_connections: max_connections.max(1), ..self }
    }

    /// Binds the listener for devices, and the one for operators if it is given. Port 0 takes a
    /// free one.
    ///
    /// # Errors
    /// [`Error::Listen`]; [`Error::NoOperators`]; [`Error::File`] and [`Error::Certificate`] for
    /// authorities that cannot be used; [`Error::InvalidSchedule`] without a suite; and those of
    /// [`Schedule::keyring`](crate::Schedule::keyring).
    pub async fn bind(self, public: SocketAddr, admin: Option<SocketAddr>) -> Result<BoundDirectory, Error> {
        let now = self.schedule.now();
        let opener = open_enrollments(&self.schedule.load(), now)?;
        self.schedule.load().document(now, Duration::MAX, &self.suites)?;
        let public_tls = Tls::new(self.certificate.resolver()).map_err(Error::certificate)?;
        let has_operators = self.operators.is_some();
        let authorities = self.client_ca.map(|path| Authorities::open(&path, has_operators)).transpose()?;
        let admin = match admin {
            Some(_) if authorities.is_none() && !has_operators => return Err(Error::NoOperators),
            Some(address) => {
                let certificate = self.certificate.resolver();
                let tls = match &authorities {
                    Some(authorities) => Tls::with_clients(certificate, authorities.verifier()),
                    None => Tls::new(certificate),
                };
                Some((address, tls.map_err(Error::certificate)?))
            }
            None => None,
        };

        let shared = Arc::new(Shared {
            store: self.store,
            schedule: self.schedule,
            certificate: self.certificate,
            operators: self.operators,
            authorities,
            opener: ArcSwap::from_pointee(opener),
            refresh_interval: self.refresh_interval,
            suites: self.suites,
            rotation: self.rotation,
            enrollments: Limits::new(self.enrollments.0, self.enrollments.1),
            renewals: Limits::new(self.renewals.0, self.renewals.1),
            failed_logins: Limits::new(RateLimit::new(1).with_burst(20), RateLimit::new(5).with_burst(200)),
            stray_enrollments: Tally::default(),
            refused_renewals: Tally::default(),
            issued_psks: IssuedPsks::default(),
            wrong_credentials: Tally::default(),
            counters: Arc::default(),
            link: OnceLock::new(),
        });
        let listen = async |address, tls, max_body_len| {
            let listener = Listener::bind(address).await.map_err(|error| Error::Listen(address, error))?;
            Ok::<_, Error>(listener.max_connections(self.max_connections).max_body_len(max_body_len).tls(tls))
        };
        let public = listen(public, public_tls, MAX_BODY_LEN).await?;
        let admin = match admin {
            Some((address, tls)) => Some(listen(address, tls, admin::MAX_BODY_LEN).await?),
            None => None,
        };
        Ok(BoundDirectory { public, admin, shared })
    }
}

/// A directory that listens, and does not serve yet: connections wait until then.
#[derive(Debug)]
pub struct BoundDirectory {
    public: Listener,
    admin: Option<Listener>,
    shared: Arc<Shared>,
}

impl BoundDirectory {
    /// Address for devices.
    pub fn public_addr(&self) -> SocketAddr {
        self.public.local_addr()
    }

    /// Address for operators.
    pub fn admin_addr(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(Listener::local_addr)
    }

    /// Returns the pin of its certificate, for clients that no public authority serves.
    pub fn pin(&self) -> Pin {
        self.shared.certificate.pin()
    }

    /// Sets the link with which clients reach this directory: operators get it with each token in
    /// it. Without one they get the token alone. Only the first call counts.
    pub fn set_link(&self, link: Link) {
        let _is_first = self.shared.link.set(link);
    }

    /// Serves from now on, in tasks of the runtime.
    ///
    /// # Panics
    /// If called outside a tokio runtime.
    pub fn serve(self) -> Directory {
        let Self { public, admin, shared } = self;
        let follower = tokio::spawn(Arc::clone(&shared).follow_files());
        let public = peer::serve(public, public::router(Arc::clone(&shared)));
        let admin = admin.map(|admin| peer::serve(admin, admin::router(Arc::clone(&shared))));
        Directory { public, admin, shared, follower }
    }
}
