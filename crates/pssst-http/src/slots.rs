//! Places for connections. Idle connections of sources with many of them give way to others.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use pssst_support::sync::lock;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Places that any source may have requests in progress in.
const MIN_SHARE: usize = 4;

/// The places of a listener. While all are taken, a new connection ends the one that has been idle
/// for the longest time, of the source with the most connections. A source may have requests in
/// progress in a quarter of the places, and in four at least: slow ones cannot take them all.
pub(crate) struct Slots {
    max: usize,
    table: Mutex<Table>,
    changed: Notify,
}

#[derive(Default)]
struct Table {
    next: u64,
    taken: usize,
    sources: HashMap<Source, Connections>,
}

#[derive(Default)]
struct Connections {
    taken: usize,
    /// Those without a request in progress, by the order in which they became so.
    idle: BTreeMap<u64, CancellationToken>,
}

/// A prefix of addresses that one party usually has: IPv4 /24, IPv6 /56.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Source(u128);

/// The place of a new connection, or none.
enum Place {
    /// A place, and whether another connection had to give way.
    Taken(Slot, bool),
    /// All places are in use.
    Full,
    /// Its source has its share.
    Refused,
}

/// The place of a connection, which is free again when this is dropped.
pub(crate) struct Slot {
    slots: Arc<Slots>,
    source: Source,
    /// Its number among the idle ones; `None` while it has a request in progress.
    idle: Mutex<Option<u64>>,
    evicted: CancellationToken,
}

impl Slots {
    pub(crate) fn new(max: usize) -> Self {
        Self { max, table: Mutex::default(), changed: Notify::new() }
    }

    /// Takes a place, and returns whether another connection had to give way. `None`: the source
    /// has its share of requests in progress. Waits while all places are in use.
    pub(crate) async fn take(self: &Arc<Self>, address: IpAddr) -> Option<(Slot, bool)> {
        loop {
            let changed = self.changed.notified();
            match self.try_take(address) {
                Place::Taken(slot, has_evicted) => return Some((slot, has_evicted)),
                Place::Refused => return None,
                Place::Full => changed.await,
            }
        }
    }

    fn try_take(self: &Arc<Self>, address: IpAddr) -> Place {
        let source = Source::of(address);
        let evicted = CancellationToken::new();
        let mut table = lock(&self.table);
        let busy = table.sources.get(&source).map_or(0, |its| its.taken - its.idle.len());
        if busy >= (self.max / 4).max(MIN_SHARE) {
            return Place::Refused;
        }
        let is_full = table.taken >= self.max;
        if is_full && !table.evict() {
            return Place::Full;
        }
        let number = table.number();
        table.taken += 1;
        let connections = table.sources.entry(source).or_default();
        connections.taken += 1;
        connections.idle.insert(number, evicted.clone());
        drop(table);
        Place::Taken(Slot { slots: Arc::clone(self), source, idle: Mutex::new(Some(number)), evicted }, is_full)
    }
}

impl Table {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn evict(&mut self) -> bool {
        let with_idle = self.sources.iter_mut().filter(|(_, connections)| !connections.idle.is_empty());
        let Some((&source, connections)) = with_idle.max_by_key(|(_, connections)| connections.taken) else {
            return false;
        };
        let Some((_, evicted)) = connections.idle.pop_first() else { return false };
        evicted.cancel();
        self.free(source);
        true
    }

    fn free(&mut self, source: Source) {
        self.taken -= 1;
        if let Some(connections) = self.sources.get_mut(&source) {
            connections.taken -= 1;
            if connections.taken == 0 {
                self.sources.remove(&source);
            }
        }
    }
}

impl Source {
    fn of(address: IpAddr) -> Self {
        Self(match address {
            IpAddr::V4(address) => u128::from(address.to_bits() >> 8),
            // Never equal to an IPv4 source, which has 24 bits.
            IpAddr::V6(address) => address.to_bits() >> 72 | 1 << 64,
        })
    }
}

impl Slot {
    /// Returns when the connection has to give way.
    pub(crate) async fn evicted(&self) {
        self.evicted.cancelled().await;
    }

    /// A request is in progress, so the connection keeps its place.
    pub(crate) fn set_busy(&self) {
        if let Some(number) = lock(&self.idle).take()
            && let Some(connections) = lock(&self.slots.table).sources.get_mut(&self.source)
        {
            connections.idle.remove(&number);
        }
    }

    /// No request is in progress any more.
    pub(crate) fn set_idle(&self) {
        let mut idle = lock(&self.idle);
        let mut table = lock(&self.slots.table);
        let number = table.number();
        if let Some(connections) = table.sources.get_mut(&self.source)
            && !self.evicted.is_cancelled()
        {
            connections.idle.insert(number, self.evicted.clone());
            *idle = Some(number);
        }
        drop(table);
        self.slots.changed.notify_one();
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let idle = lock(&self.idle).take();
        let mut table = lock(&self.slots.table);
        // An evicted connection has lost its place already.
        if !self.evicted.is_cancelled() {
            if let Some(number) = idle
                && let Some(connections) = table.sources.get_mut(&self.source)
            {
                connections.idle.remove(&number);
            }
            table.free(self.source);
        }
        drop(table);
        self.slots.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// Returns the place that it gets, and whether another gave way.
    fn take_now(slots: &Arc<Slots>, text: &str) -> (Slot, bool) {
        let Place::Taken(slot, has_evicted) = slots.try_take(address(text)) else { panic!("{text} gets no place") };
        (slot, has_evicted)
    }

    #[test]
    fn a_source_with_slow_requests_has_its_share_and_no_more() {
        let slots = Arc::new(Slots::new(40));
        let mut held = Vec::new();
        for host in 0..10 {
            let (slot, _) = take_now(&slots, &format!("192.0.2.{host}"));
            slot.set_busy();
            held.push(slot);
        }
        assert!(matches!(slots.try_take(address("192.0.2.99")), Place::Refused));
        assert!(slots.take(address("192.0.2.99")).now_or_never().unwrap().is_none());
        drop(take_now(&slots, "198.51.100.1"));
        held[0].set_idle();
        drop(take_now(&slots, "192.0.2.99"));
    }

    fn is_evicted(slot: &Slot) -> bool {
        slot.evicted.is_cancelled()
    }

    #[test]
    fn the_newest_take_the_places_of_the_longest_idle() {
        let slots = Arc::new(Slots::new(2));
        let take = || take_now(&slots, "192.0.2.1").0;
        let (one, two) = (take(), take());
        // It was used since.
        one.set_busy();
        one.set_idle();
        let (three, has_evicted) = take_now(&slots, "192.0.2.1");
        assert!(has_evicted && is_evicted(&two) && !is_evicted(&one) && !is_evicted(&three));
        drop(two);
        // One in progress keeps its place.
        one.set_busy();
        let four = take();
        assert!(is_evicted(&three) && !is_evicted(&one) && !is_evicted(&four));
        four.set_busy();
        let mut waiting = Box::pin(slots.take(address("192.0.2.2")));
        assert!((&mut waiting).now_or_never().is_none(), "all places are in use");
        one.set_idle();
        let five = waiting.now_or_never().unwrap().unwrap().0;
        assert!(is_evicted(&one));
        drop((one, three, four, five));
        let table = lock(&slots.table);
        assert!(table.taken == 0 && table.sources.is_empty());
    }

    #[test]
    fn a_source_with_many_connections_gives_way_before_others() {
        let slots = Arc::new(Slots::new(10));
        let others = ["198.51.100.1", "2001:db8::1"].map(|other| take_now(&slots, other).0);
        let many: Vec<_> = (0..100).map(|host| take_now(&slots, &format!("192.0.2.{host}")).0).collect();
        assert!(!others.iter().any(is_evicted));
        assert_eq!(many.iter().filter(|slot| !is_evicted(slot)).count(), 8);
        let (third, _) = take_now(&slots, "2001:db8:0:100::1");
        assert!(!others.iter().any(is_evicted) && !is_evicted(&third));
    }

    #[test]
    fn sources_are_prefixes() {
        let is_same = |one: &str, other: &str| Source::of(address(one)) == Source::of(address(other));
        assert!(is_same("192.0.2.1", "192.0.2.255") && !is_same("192.0.2.1", "192.0.3.1"));
        assert!(is_same("2001:db8::1", "2001:db8:0:ff::1") && !is_same("2001:db8::1", "2001:db8:0:100::1"));
        assert!(!is_same("0.0.1.0", "::1"));
    }
}
