//! Notifications to the service manager (systemd's `sd_notify`). Without one, nothing happens.

use std::time::Duration;

#[cfg(unix)]
use sd_notify::NotifyState;

/// The service is ready, for the first time or again.
pub(crate) fn ready() {
    #[cfg(unix)]
    tell(&[NotifyState::Ready]);
}

/// It reads its configuration again.
pub(crate) fn reloading() {
    #[cfg(unix)]
    // The time lets the manager distinguish this reload from an earlier one.
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(_) => tell(&[NotifyState::Reloading]),
    }
}

/// It is about to stop.
pub(crate) fn stopping() {
    #[cfg(unix)]
    tell(&[NotifyState::Stopping]);
}

/// It is well.
pub(crate) fn alive() {
    #[cfg(unix)]
    tell(&[NotifyState::Watchdog]);
}

/// Interval of watchdog notifications: half of the manager's timeout.
pub(crate) fn interval() -> Option<Duration> {
    #[cfg(unix)]
    return sd_notify::watchdog_enabled().map(|within| within / 2);
    #[cfg(not(unix))]
    None
}

#[cfg(unix)]
fn tell(what: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(what) {
        tracing::warn!(%error, "cannot notify the service manager");
    }
}
