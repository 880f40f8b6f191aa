//! The clients that were refused by name, not only counted: an operator wants to know which device
//! is mute.

use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;
use std::time::Duration;

use jiff::Timestamp;
use pssst::PublicKey;
use pssst_support::named_enum;
use pssst_support::sync::lock;

/// Clients that are remembered at most, of the enrolled and of the unknown ones each.
const CAPACITY: usize = 512;
/// Time between two reports of a client.
const INTERVAL: Duration = Duration::from_secs(60);
/// Reports in each interval, of the enrolled and of the unknown clients each: anyone can make keys.
const REPORTS: usize = 60;

named_enum! {
    /// Cause of the refusal of a client that proved its key.
    #[non_exhaustive]
    pub enum RefusedCause {
        /// The key is not enrolled.
        Unknown => "unknown",
        /// The client is suspended.
        Suspended => "suspended",
        /// The client is revoked.
        Revoked => "revoked",
        /// The client's time is over.
        Expired => "expired",
        /// The client must use its pre-shared key, and did not.
        PskRequired => "psk_required",
    }
}

/// A client whose requests were refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RefusedClient {
    /// The key that it proved.
    pub key: PublicKey,
    /// Its name, if it is enrolled.
    pub name: Option<String>,
    /// Why its last request was refused.
    pub cause: RefusedCause,
    /// Number of refused requests.
    pub requests: u64,
    /// When the first of them came.
    pub first: Timestamp,
    /// When the last of them came.
    pub last: Timestamp,
}

/// A report about refused clients.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RefusedReport {
    /// Clients with the requests since their last report.
    pub clients: Vec<RefusedClient>,
    /// Requests of further clients: there was no room for their names.
    pub others: u64,
}

/// A bounded table of refused clients. Each is reported at its first request, then once a minute.
///
/// Unknown clients and enrolled ones have room of their own, so that a stranger with many keys
/// hides no client that is suspended.
#[derive(Debug, Default)]
pub struct RefusedClients {
    unknown: Mutex<Table>,
    enrolled: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    rows: HashMap<PublicKey, Row>,
    /// Keys of the rows, oldest first.
    order: VecDeque<PublicKey>,
    /// When more may be reported.
    next_interval: Timestamp,
    reports: usize,
    /// Requests of clients that lost their row before they were reported.
    others: u64,
}

#[derive(Debug)]
struct Row {
    cause: RefusedCause,
    /// Those since the last report.
    requests: u64,
    first: Timestamp,
    last: Timestamp,
    next_report: Timestamp,
}

impl RefusedClients {
    pub(crate) fn add(&self, key: &PublicKey, cause: RefusedCause, now: Timestamp) {
        let table = if cause == RefusedCause::Unknown { &self.unknown } else { &self.enrolled };
        lock(table).add(key, cause, now);
    }

    /// Returns what is due at this time, at most 60 clients of each kind a minute. `name` returns
    /// the name of an enrolled client.
    pub fn report(&self, now: Timestamp, name: impl Fn(&PublicKey) -> Option<String>) -> RefusedReport {
        let mut report = RefusedReport::default();
        for table in [&self.enrolled, &self.unknown] {
            lock(table).report(now, &name, &mut report);
        }
        report
    }
}

impl Table {
    fn add(&mut self, key: &PublicKey, cause: RefusedCause, now: Timestamp) {
        if let Some(row) = self.rows.get_mut(key) {
            if row.requests == 0 {
                row.first = now;
            }
            (row.cause, row.last) = (cause, now);
            row.requests += 1;
            return;
        }
        if self.rows.len() >= CAPACITY
            && let Some(oldest) = self.order.pop_front()
            && let Some(row) = self.rows.remove(&oldest)
        {
            self.others += row.requests;
        }
        self.order.push_back(*key);
        self.rows.insert(*key, Row { cause, requests: 1, first: now, last: now, next_report: now });
    }

    fn report(&mut self, now: Timestamp, name: impl Fn(&PublicKey) -> Option<String>, report: &mut RefusedReport) {
        if now >= self.next_interval {
            self.next_interval = now + INTERVAL;
            self.reports = 0;
            report.others += std::mem::take(&mut self.others);
        }
        for key in &self.order {
            if self.reports >= REPORTS {
                break;
            }
            let Some(row) = self.rows.get_mut(key).filter(|row| row.requests > 0 && row.next_report <= now) else {
                continue;
            };
            self.reports += 1;
            row.next_report = now + INTERVAL;
            let requests = std::mem::take(&mut row.requests);
            let Row { cause, first, last, .. } = *row;
            report.clients.push(RefusedClient { key: *key, name: name(key), cause, requests, first, last });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u32) -> PublicKey {
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&number.to_be_bytes());
        PublicKey::from_bytes(bytes)
    }

    fn time(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_client_is_reported_at_once_then_once_a_minute() {
        let refused = RefusedClients::default();
        let report = |second| refused.report(time(second), |_| Some("boiler-7".to_owned())).clients;
        refused.add(&key(1), RefusedCause::Suspended, time(1));
        let [first] = &report(1)[..] else { panic!() };
        assert_eq!((first.name.as_deref(), first.requests, first.last), (Some("boiler-7"), 1, time(1)));
        for second in 2..60 {
            refused.add(&key(1), RefusedCause::Revoked, time(second));
            assert_eq!(report(second), []);
        }
        let [second] = &report(61)[..] else { panic!() };
        assert_eq!((second.cause, second.requests), (RefusedCause::Revoked, 58));
        assert_eq!((second.first, second.last), (time(2), time(59)));
        assert_eq!(report(200), []);
    }

    #[test]
    fn a_stranger_with_many_keys_is_bounded_and_hides_no_enrolled_client() {
        let refused = RefusedClients::default();
        refused.add(&key(0), RefusedCause::Expired, time(1));
        for number in 1..=10_000 {
            refused.add(&key(number), RefusedCause::Unknown, time(1));
        }
        let mut requests = 0;
        for second in 1..=600 {
            let report = refused.report(time(second), |_| None);
            assert!(report.clients.len() <= 2 * REPORTS);
            requests += report.others + report.clients.iter().map(|client| client.requests).sum::<u64>();
            if second == 1 {
                assert_eq!(report.clients[0].cause, RefusedCause::Expired);
                assert_eq!(report.others, 10_000 - CAPACITY as u64);
            }
        }
        // Nothing is reported twice, and nothing is lost.
        assert_eq!(requests, 10_001);
    }
}
