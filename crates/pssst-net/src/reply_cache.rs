//! The reply cache: the same bytes again for a request that comes again.

use std::collections::HashSet;
use std::hash::{BuildHasher, BuildHasherDefault, RandomState};
use std::sync::{Arc, Mutex};

use pssst_support::sync::lock;

use fingerprints::Fingerprints;
use key::{Hashed, Key};
use pssst::TAG_LEN;
use ring::Ring;

mod fingerprints;
mod key;
mod ring;

/// Recent sealed replies by the exchange value of their requests, in memory of a fixed size, shared
/// by all workers.
///
/// A client that gets no reply sends the same bytes again, and so can anyone who saw them. Under
/// suite 1 two different answers to one request are sealed under the same key and nonce, which
/// reveals the difference of the messages and the authentication key. While the cache remembers,
/// the handler is not asked a second time.
///
/// A forgotten reply leaves a fingerprint, its tag of 16 bytes, for several times as long. Asked
/// again, the handler may give the same answer; another one is refused.
///
/// It narrows that flaw and does not remove it: a cache forgets (the oldest reply first, and
/// sometimes one before its turn), another server of the pool has another cache, and a restart
/// empties it. It is not protocol state: losing entries costs work, never a transaction.
///
/// An exchange value identifies its request, because only its creator can seal a request under it.
/// A lookup before the request was opened would save the X25519 of a repeat, and would let anyone
/// who copies the value onto junk delay the true request until that junk has been refused. A client
/// that seals two messages under one exchange value, which none may, gets the first one's reply
/// twice.
///
/// Sources are hostile, so the places in the tables depend on a secret of this process.
pub(crate) struct ReplyCache {
    hasher: RandomState,
    /// A power of two. Each has its own allocation, so workers that use different ones share no
    /// cache line.
    shards: Box<[Arc<Mutex<Shard>>]>,
}

/// Decision of the cache about a request.
pub(crate) enum Entry<R> {
    /// The request is new: handle it, and finish the entry with its reply.
    New(PendingEntry),
    /// It was answered, and this was made of the reply.
    Repeated(R),
    /// It is being handled: drop this copy. The reply to the first one answers both.
    InProgress,
}

/// The sole right to handle a request. Dropped, it gives the right back, so that a resend is
/// handled.
#[must_use = "dropped, it lets the next copy of the request be handled"]
pub(crate) struct PendingEntry {
    shard: Arc<Mutex<Shard>>,
    key: Key,
}

impl ReplyCache {
    /// Returns a cache in at most `capacity` bytes for the replies and their index, allocated here
    /// and never again. (The system may lend the pages only as they are first written.) Half of it
    /// is for fingerprints, one for each 25 bytes; in the other half about one reply of 84 bytes is
    /// kept for each 136 bytes.
    ///
    /// Requests in progress come on top, about 50 bytes for each: their number is for the caller to
    /// bound. Too small a capacity, such as 0, keeps no replies; requests in progress are still
    /// distinguished.
    pub(crate) fn new(capacity: usize) -> Self {
        let mut shards = MAX_SHARDS;
        while shards > 1 && capacity / shards < MIN_SHARD_BYTES {
            shards /= 2;
        }
        let shard = |_| Arc::new(Mutex::new(Shard::new(capacity / shards)));
        Self { hasher: RandomState::new(), shards: (0..shards).map(shard).collect() }
    }

    /// Looks a request up, and adds an entry if it is new. Of several threads with the same value
    /// one gets the entry.
    ///
    /// `repeat` copies the sealed reply out. It runs under a lock: it should do no more than that.
    pub(crate) fn lookup<R>(&self, exchange_value: &[u8; 32], repeat: impl FnOnce(&[u8]) -> R) -> Entry<R> {
        let key = Key { hash: self.hasher.hash_one(exchange_value), exchange_value: *exchange_value };
        let mutex = &self.shards[key.shard() & (self.shards.len() - 1)];
        let mut shard = lock(mutex);
        if let Some(reply) = shard.replies.find(&key) {
            Entry::Repeated(repeat(reply))
        } else if shard.in_progress.insert(key) {
            Entry::New(PendingEntry { shard: Arc::clone(mutex), key })
        } else {
            Entry::InProgress
        }
    }
}

impl PendingEntry {
    /// Ends the entry with the sealed reply, which is kept for repeats unless it is larger than a
    /// shard. Returns `false` if another reply was given to this request before: this one must not
    /// be sent.
    #[must_use]
    pub(crate) fn finish(self, reply: &[u8]) -> bool {
        // The tag depends on the whole message, and on nothing but the message for one request.
        let fingerprint = reply.last_chunk::<TAG_LEN>().copied().unwrap_or_default();
        let mut shard = lock(&self.shard);
        let agrees = shard.fingerprints.agrees(&self.key, fingerprint);
        if agrees {
            shard.replies.store(&self.key, reply);
        }
        drop(shard);
        // Dropped only now: at no moment is the request neither in progress nor answered.
        agrees
    }
}

impl Drop for PendingEntry {
    fn drop(&mut self) {
        lock(&self.shard).in_progress.remove(&self.key);
    }
}

const MAX_SHARDS: usize = 16;
/// Room for the largest datagram; fewer shards rather than smaller ones.
const MIN_SHARD_BYTES: usize = 256 * 1024;
/// Requests in progress, for each shard, before its set of them must grow.
const IN_PROGRESS_RESERVE: usize = 32;

struct Shard {
    replies: Ring,
    fingerprints: Fingerprints,
    in_progress: HashSet<Key, BuildHasherDefault<Hashed>>,
}

impl Shard {
    fn new(capacity: usize) -> Self {
        let in_progress = HashSet::with_capacity_and_hasher(IN_PROGRESS_RESERVE, BuildHasherDefault::default());
        Self { replies: Ring::new(capacity - capacity / 2), fingerprints: Fingerprints::new(capacity / 2), in_progress }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::ring::{BYTES_PER_SET, EXPECTED_RECORD, RECORD_HEADER};
    use super::*;

    fn value(number: u64) -> [u8; 32] {
        let mut value = [0x5a; 32];
        value[..8].copy_from_slice(&number.to_le_bytes());
        value
    }

    fn lookup(cache: &ReplyCache, number: u64) -> Entry<Vec<u8>> {
        cache.lookup(&value(number), <[u8]>::to_vec)
    }

    fn new_entry(cache: &ReplyCache, number: u64) -> PendingEntry {
        match lookup(cache, number) {
            Entry::New(entry) => entry,
            Entry::Repeated(_) => panic!("{number} was answered"),
            Entry::InProgress => panic!("{number} is in progress"),
        }
    }

    /// Returns the reply that the cache repeats. Leaves nothing in progress that was not.
    fn repeated(cache: &ReplyCache, number: u64) -> Option<Vec<u8>> {
        match lookup(cache, number) {
            Entry::Repeated(reply) => Some(reply),
            Entry::New(_) | Entry::InProgress => None,
        }
    }

    fn allocated(cache: &ReplyCache) -> usize {
        let bytes = |shard: &Arc<Mutex<Shard>>| {
            let shard = lock(shard);
            shard.replies.allocated() + shard.fingerprints.allocated()
        };
        cache.shards.iter().map(bytes).sum()
    }

    fn in_progress(cache: &ReplyCache) -> usize {
        cache.shards.iter().map(|shard| lock(shard).in_progress.len()).sum()
    }

    #[test]
    fn a_request_is_new_then_in_progress_then_repeated() {
        let cache = ReplyCache::new(1 << 20);
        let entry = new_entry(&cache, 1);
        assert!(matches!(lookup(&cache, 1), Entry::InProgress));
        assert!(matches!(lookup(&cache, 2), Entry::New(_)));
        assert!(entry.finish(b"sealed"));
        for _ in 0..3 {
            assert_eq!(repeated(&cache, 1).as_deref(), Some(&b"sealed"[..]));
        }
        assert_eq!(in_progress(&cache), 0);
    }

    #[test]
    fn a_dropped_claim_lets_a_resend_be_handled() {
        let cache = ReplyCache::new(1 << 20);
        drop(new_entry(&cache, 1));
        assert!(new_entry(&cache, 1).finish(b"second try"));
        assert_eq!(repeated(&cache, 1).as_deref(), Some(&b"second try"[..]));
    }

    #[test]
    fn a_claim_moves_into_a_task() {
        fn movable<T: Send + 'static>(_: &T) {}
        movable(&new_entry(&ReplyCache::new(0), 1));
    }

    #[test]
    fn an_empty_reply_is_repeated_as_such() {
        let cache = ReplyCache::new(1 << 20);
        assert!(new_entry(&cache, 1).finish(b""));
        assert_eq!(repeated(&cache, 1), Some(Vec::new()));
    }

    #[test]
    fn without_room_nothing_is_repeated_but_work_is_not_doubled() {
        for capacity in [0, 1, RECORD_HEADER, BYTES_PER_SET / 2] {
            let cache = ReplyCache::new(capacity);
            assert_eq!(allocated(&cache), 0);
            let entry_1 = new_entry(&cache, 1);
            assert!(matches!(lookup(&cache, 1), Entry::InProgress));
            assert!(entry_1.finish(b""));
            assert!(new_entry(&cache, 1).finish(b"sealed"));
            assert!(new_entry(&cache, 1).finish(b"sealed"));
        }
    }

    #[test]
    fn the_largest_datagram_fits_a_shard_of_a_memo_of_any_usual_size() {
        for capacity in [256 << 10, 1 << 20, 3 << 20, 64 << 20] {
            let cache = ReplyCache::new(capacity);
            assert!(new_entry(&cache, 1).finish(&vec![7; 65_507]));
            assert_eq!(repeated(&cache, 1), Some(vec![7; 65_507]), "{capacity}");
        }
    }

    #[test]
    fn a_second_answer_is_refused_long_after_the_first_was_forgotten() {
        let cache = ReplyCache::new(1 << 20);
        let (sealed, another) = ([1; 84], [2; 84]);
        assert!(new_entry(&cache, 1).finish(&sealed));
        for number in 2..8000 {
            assert!(new_entry(&cache, number).finish(&[1; 84]));
        }
        assert_eq!(repeated(&cache, 1), None);
        assert!(!new_entry(&cache, 1).finish(&another));
        assert_eq!((repeated(&cache, 1), in_progress(&cache)), (None, 0));
        assert!(new_entry(&cache, 1).finish(&sealed));
        assert_eq!(repeated(&cache, 1).as_deref(), Some(&sealed[..]));
    }

    #[test]
    fn most_of_what_the_ring_holds_is_found() {
        let cache = ReplyCache::new(1 << 20);
        let replies = (1 << 19) / (EXPECTED_RECORD as u64 + 16) * 9 / 10;
        // Long past the first lap, so that what counts is the steady state.
        for number in 0..5 * replies {
            assert!(new_entry(&cache, number).finish(&[1; 84]));
        }
        let found = (4 * replies..5 * replies).filter(|&number| repeated(&cache, number).is_some()).count();
        assert!(found as u64 > replies * 9 / 10, "{found} of {replies}");
    }

    #[test]
    fn memory_is_what_was_given_and_stays_so() {
        for capacity in [2 * BYTES_PER_SET, 100_000, 1 << 20, (16 << 20) + 12_345] {
            let cache = ReplyCache::new(capacity);
            let at_first = allocated(&cache);
            assert!(at_first <= capacity && at_first + MAX_SHARDS * 256 > capacity, "{at_first} of {capacity}");
            assert!(cache.shards.len().is_power_of_two());
            let reserve: Vec<_> = cache.shards.iter().map(|shard| lock(shard).in_progress.capacity()).collect();
            for number in 0..5000 {
                assert!(new_entry(&cache, number).finish(&vec![1; usize::try_from(number % 1000).unwrap()]));
            }
            let after: Vec<_> = cache.shards.iter().map(|shard| lock(shard).in_progress.capacity()).collect();
            assert_eq!((allocated(&cache), in_progress(&cache), after), (at_first, 0, reserve));
        }
    }

    #[test]
    fn a_panic_while_a_reply_is_copied_does_not_stop_the_memo() {
        let cache = ReplyCache::new(1 << 20);
        assert!(new_entry(&cache, 1).finish(b"sealed"));
        let copy = || cache.lookup(&value(1), |_| -> () { panic!("on purpose") });
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(copy)).is_err());
        assert_eq!(repeated(&cache, 1).as_deref(), Some(&b"sealed"[..]));
    }

    #[test]
    fn one_thread_at_a_time_handles_a_request() {
        const THREADS: usize = 4;
        const KEYS: u64 = 32;
        // With and without room for the replies: without, each request is handled again and again.
        for capacity in [0, 1 << 20] {
            let cache = ReplyCache::new(capacity);
            let handling: Vec<_> = (0..KEYS).map(|_| AtomicUsize::new(0)).collect();
            let handled = AtomicUsize::new(0);
            let barrier = Barrier::new(THREADS);
            thread::scope(|scope| {
                for _ in 0..THREADS {
                    scope.spawn(|| {
                        barrier.wait();
                        for turn in 0..20_000 {
                            let number = turn % KEYS;
                            let at = &handling[usize::try_from(number).unwrap()];
                            match lookup(&cache, number) {
                                Entry::New(entry) => {
                                    assert_eq!(at.fetch_add(1, Ordering::SeqCst), 0);
                                    handled.fetch_add(1, Ordering::SeqCst);
                                    thread::yield_now();
                                    at.fetch_sub(1, Ordering::SeqCst);
                                    // Every third handler gives up.
                                    if turn % 3 != 0 {
                                        assert!(entry.finish(&number.to_le_bytes()));
                                    }
                                }
                                Entry::Repeated(reply) => assert_eq!(reply, number.to_le_bytes()),
                                Entry::InProgress => {}
                            }
                        }
                    });
                }
            });
            assert_eq!(in_progress(&cache), 0);
            if capacity > 0 {
                assert!((0..KEYS).all(|number| repeated(&cache, number).is_some()));
            }
            assert!(handled.into_inner() >= usize::try_from(KEYS).unwrap());
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Enter(u64),
        Finish(usize),
        Drop(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        // Few keys, so that they come again.
        prop_oneof![
            4 => (0..60_u64).prop_map(Step::Enter),
            3 => any::<usize>().prop_map(Step::Finish),
            1 => any::<usize>().prop_map(Step::Drop),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

        /// Against a list of replies in the order of their arrival: what is repeated is what was
        /// stored last for that key, byte for byte, and no more is kept than the arena holds; the
        /// newest is always there.
        #[test]
        fn it_is_a_first_in_first_out_list(
            capacity in 2 * BYTES_PER_SET..8 * BYTES_PER_SET,
            steps in vec(step(), 1..400),
        ) {
            let cache = ReplyCache::new(capacity);
            prop_assert_eq!(cache.shards.len(), 1);
            let arena = lock(&cache.shards[0]).replies.arena_len();
            let mut stored: VecDeque<(u64, Vec<u8>)> = VecDeque::new();
            let mut entries: Vec<(u64, PendingEntry)> = Vec::new();
            for step in steps {
                match step {
                    Step::Enter(number) => {
                        let held = entries.iter().any(|(held, _)| *held == number);
                        match lookup(&cache, number) {
                            Entry::New(entry) => {
                                prop_assert!(!held);
                                entries.push((number, entry));
                            }
                            Entry::InProgress => prop_assert!(held),
                            Entry::Repeated(reply) => {
                                prop_assert!(!held);
                                let last = stored.iter().find(|(stored, _)| *stored == number);
                                prop_assert_eq!(Some(reply), last.map(|(_, reply)| reply.clone()));
                            }
                        }
                    }
                    Step::Finish(at) if !entries.is_empty() => {
                        let (number, entry) = entries.swap_remove(at % entries.len());
                        // A handler answers a request always alike. Replies from nothing to more
                        // than the arena.
                        let length = usize::try_from(number).unwrap() * if number % 8 == 0 { 40 } else { 2 };
                        let reply: Vec<u8> = number.to_le_bytes().into_iter().cycle().take(length).collect();
                        prop_assert!(entry.finish(&reply));
                        let fits = RECORD_HEADER + length <= arena;
                        prop_assert_eq!(repeated(&cache, number), fits.then(|| reply.clone()));
                        if fits {
                            stored.push_front((number, reply));
                        }
                        // The list forgets what cannot be in the arena any more.
                        let mut bytes = 0;
                        let kept = stored.iter().take_while(|(_, reply)| {
                            bytes += RECORD_HEADER + reply.len();
                            bytes <= arena
                        });
                        stored.truncate(kept.count());
                    }
                    Step::Drop(at) if !entries.is_empty() => {
                        drop(entries.swap_remove(at % entries.len()));
                    }
                    Step::Finish(_) | Step::Drop(_) => {}
                }
                prop_assert_eq!(in_progress(&cache), entries.len());
            }
        }
    }
}
