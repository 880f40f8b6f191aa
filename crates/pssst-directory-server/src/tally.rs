//! Events that strangers and devices can cause at will, and so must not fill the audit log.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Mutex;

use pssst::PublicKey;
use pssst_directory::MasterId;
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

/// Pre-shared keys that the audit log has: a device may renew the same one again and again, such as
/// after an answer that was lost.
#[derive(Debug, Default)]
pub(crate) struct IssuedPsks(Mutex<HashMap<PublicKey, MasterId>>);

impl IssuedPsks {
    /// Clients that are remembered at most, some 5 MB. Then all are forgotten, so that some keys
    /// have two entries.
    const CAPACITY: usize = 100_000;

    /// Returns whether a client's key under this master is new, and remembers it.
    pub(crate) fn is_new(&self, client_key: PublicKey, master: MasterId) -> bool {
        let mut issued = lock(&self.0);
        if issued.len() >= Self::CAPACITY && !issued.contains_key(&client_key) {
            issued.clear();
        }
        issued.insert(client_key, master) != Some(master)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn issued_keys_are_remembered_in_bounded_memory() {
        let (issued, master) = (IssuedPsks::default(), MasterId::from([1; 8]));
        let key = |number: usize| {
            let mut bytes = [0; 32];
            bytes[..8].copy_from_slice(&number.to_be_bytes());
            PublicKey::from_bytes(bytes)
        };
        assert!(issued.is_new(key(0), master) && !issued.is_new(key(0), master));
        assert!(issued.is_new(key(0), MasterId::from([2; 8])) && issued.is_new(key(0), master));
        for number in 1..IssuedPsks::CAPACITY {
            assert!(issued.is_new(key(number), master));
        }
        assert!(!issued.is_new(key(0), master));
        assert!(issued.is_new(key(IssuedPsks::CAPACITY), master));
        assert_eq!(lock(&issued.0).len(), 1);
    }
}
