//! Events that strangers can cause at will, and so must not fill the audit log.

use std::net::IpAddr;
use std::sync::Mutex;

use pssst::PublicKey;
use pssst_support::sync::lock;

/// Counts events of one kind, for one entry of the audit log each minute.
#[derive(Debug, Default)]
pub(crate) struct Tally(Mutex<Option<Counted>>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) count: u64,
    /// Source of the last one.
    pub(crate) last: IpAddr,
    /// The last client that proved its key.
    pub(crate) client_key: Option<PublicKey>,
}

impl Tally {
    pub(crate) fn add(&self, source: IpAddr, client_key: Option<PublicKey>) {
        let mut counted = lock(&self.0);
        let count = counted.map_or(0, |counted| counted.count) + 1;
        let client_key = client_key.or_else(|| counted.and_then(|counted| counted.client_key));
        *counted = Some(Counted { count, last: source, client_key });
    }

    /// Returns what was counted since the last call, if anything.
    pub(crate) fn take(&self) -> Option<Counted> {
        lock(&self.0).take()
    }
}
