//! The state that all requests of a directory share.

use std::convert::Infallible;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use pssst::Suite;
use pssst_identity::{Action, NewAuditEntry, SqlStore, Token};
use pssst_link::Link;
use tokio::time::{MissedTickBehavior, interval};
use zeroize::Zeroizing;

use super::admin::{Authorities, Operators};
use super::certificate::ServerCertificate;
use super::limits::Limits;
use super::stats::{Counters, DirectoryEvent};
use super::tally::{Counted, IssuedPsks, Tally};
use crate::{Error, Schedule, ScheduleFile};

/// Interval of the checks of all files.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Interval of the audit log's entries about strangers.
const TALLY_INTERVAL: Duration = Duration::from_mins(1);

/// The actor of enrolments and renewals, in the audit log.
pub(crate) const DEVICE: &str = "device";

/// The times of a rotation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rotation {
    pub(crate) activation_delay: Duration,
    pub(crate) grace_period: Duration,
}

/// What all requests share.
pub(crate) struct Shared {
    pub(crate) store: SqlStore,
    pub(crate) schedule: Arc<ScheduleFile>,
    pub(crate) certificate: ServerCertificate,
    pub(crate) operators: Option<Operators>,
    pub(crate) authorities: Option<Authorities>,
    /// Opens enrolments and renewals, with the keys of this moment.
    pub(crate) opener: ArcSwap<pssst::Server>,
    pub(crate) refresh_interval: Option<Duration>,
    pub(crate) suites: Vec<Suite>,
    pub(crate) rotation: Rotation,
    pub(crate) enrollments: Limits,
    pub(crate) renewals: Limits,
    /// Rate limits of failed logins at the admin listener.
    pub(crate) failed_logins: Limits,
    /// Enrolments that named no known token.
    pub(crate) stray_enrollments: Tally,
    pub(crate) refused_renewals: Tally,
    pub(crate) issued_psks: IssuedPsks,
    /// Requests to the admin listener with a wrong credential.
    pub(crate) wrong_credentials: Tally,
    pub(crate) counters: Arc<Counters>,
    /// The link of this directory, without a token.
    pub(crate) link: OnceLock<Link>,
}

impl Shared {
    /// Returns the longest time until clients refresh their keys.
    pub(crate) fn refresh_interval(&self) -> Duration {
        self.refresh_interval
            .unwrap_or(Duration::MAX)
            .clamp(Duration::from_secs(1), self.schedule.load().refresh_interval())
    }

    /// Returns the link with which the holder of a token enrols, if clients can be told where this
    /// directory is.
    pub(crate) fn link_with(&self, token: &Token) -> Option<Zeroizing<String>> {
        let link = Link { token: Some(token.expose()), ..self.link.get()?.clone() };
        link.to_text().inspect_err(|error| tracing::error!(%error, "there is no link for tokens")).ok()
    }

    /// Writes into the audit log what has taken place already.
    pub(crate) async fn record(&self, store: &SqlStore, entry: NewAuditEntry) {
        let action = entry.action;
        if let Err(error) = store.record(entry).await {
            self.counters.add(DirectoryEvent::AuditFailed);
            tracing::error!(%action, %error, "an entry could not be written to the audit log");
        }
    }

    /// Writes into the audit log how many requests of strangers were refused since the last time.
    pub(crate) async fn record_tallies(&self) {
        for (tally, action, actor, what) in [
            (&self.stray_enrollments, Action::EnrollmentRefused, DEVICE, "requests without a known token"),
            (&self.refused_renewals, Action::RenewalRefused, DEVICE, "requests"),
            (&self.wrong_credentials, Action::OperatorRefused, "unknown", "requests"),
        ] {
            if let Some(Counted { count, last, client_key }) = tally.take() {
                let detail = format!("{count} {what}; the last from {last}");
                let entry = NewAuditEntry { action, client_key, detail };
                self.record(&self.store.with_actor(actor), entry).await;
            }
        }
    }

    /// Never ends.
    async fn record_tallies_each_minute(&self) -> Infallible {
        let mut ticks = interval(TALLY_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.record_tallies().await;
        }
    }

    /// Never ends.
    pub(crate) async fn follow_files(self: Arc<Self>) {
        let apply = |schedule: &Schedule, now| match open_enrollments(schedule, now) {
            Ok(opener) => self.opener.store(Arc::new(opener)),
            Err(error) => tracing::error!(%error, "enrolments are opened with the last good keys"),
        };
        let poll = async {
            let mut ticks = interval(POLL_INTERVAL);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                let shared = Arc::clone(&self);
                let poll = move || {
                    shared.certificate.poll();
                    shared.operators.iter().for_each(Operators::poll);
                    shared.authorities.iter().for_each(Authorities::poll);
                };
                drop(tokio::task::spawn_blocking(poll).await);
            }
        };
        tokio::select! {
            never = self.schedule.follow(apply) => match never {},
            () = poll => {}
            never = self.record_tallies_each_minute() => match never {},
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

/// Returns a server of the suite of enrolments and renewals alone.
pub(crate) fn open_enrollments(schedule: &Schedule, now: Timestamp) -> Result<pssst::Server, Error> {
    schedule.server(now, [Suite::X25519Aes256GcmSivEnrollment].into_iter().collect())
}
