//! A rate limit for each source, in a table that does not grow.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use pssst::PublicKey;

/// A limit of requests per second for each source, which is a prefix of addresses.
///
/// Sources of UDP datagrams can be forged, so the table of sources has a fixed size, 8 bytes for
/// each bucket; a table with an entry for each address seen would be a way to fill the server's
/// memory. Each prefix falls into one bucket, by a hash that attackers cannot predict, and
/// **prefixes that share a bucket share its allowance**.
///
/// So it limits a source that sends too much, but not an attacker who forges addresses: forging a
/// prefix uses up that prefix's limit, and forging all of them everyone's.
///
/// ```
/// use pssst_net::RateLimit;
///
/// // 100 requests a second from each /24 or /48, or 500 at once after five quiet seconds.
/// let limit = RateLimit::new(100).with_burst(500).with_ipv6_prefix_len(48);
/// # let _ = limit;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    requests_per_second: u32,
    burst: u32,
    ipv4_prefix_len: u8,
    ipv6_prefix_len: u8,
    buckets: usize,
}

impl RateLimit {
    /// Returns a limit of this many requests per second and source, with a burst of the same size.
    /// Sources are IPv4 /24 and IPv6 /56, in 65,536 buckets (512 KiB).
    ///
    /// The time between two requests is rounded up to whole nanoseconds. With 0 nothing is
    /// admitted, whatever the burst.
    pub fn new(requests_per_second: u32) -> Self {
        Self {
            requests_per_second,
            burst: requests_per_second,
            ipv4_prefix_len: 24,
            ipv6_prefix_len: 56,
            buckets: 65_536,
        }
    }

    /// Returns the limit with this burst: requests at once after an idle time. 0 counts as 1.
    #[must_use]
    pub fn with_burst(self, burst: u32) -> Self {
        Self { burst, ..self }
    }

    /// Returns the limit with this many leading bits of an IPv4 address for its source. Above 32
    /// counts as 32, and 0 makes all of IPv4 one source. IPv4 addresses mapped into IPv6
    /// (`::ffff:a.b.c.d`) count as IPv4.
    #[must_use]
    pub fn with_ipv4_prefix_len(self, ipv4_prefix_len: u8) -> Self {
        Self { ipv4_prefix_len, ..self }
    }

    /// Returns the limit with this many leading bits of an IPv6 address for its source. Above 128
    /// counts as 128, and 0 makes all of IPv6 one source.
    #[must_use]
    pub fn with_ipv6_prefix_len(self, ipv6_prefix_len: u8) -> Self {
        Self { ipv6_prefix_len, ..self }
    }

    /// Returns the limit with this many buckets of 8 bytes. 0 counts as 1.
    #[must_use]
    pub fn with_buckets(self, buckets: usize) -> Self {
        Self { buckets, ..self }
    }
}

/// A [`RateLimit`] at work, shared by all who admit requests. The server has one of its own.
///
/// It is the generic cell rate algorithm: a bucket holds the time at which its next request is due,
/// were they evenly spaced, and a request may come before that by as much as the burst allows.
/// Refusing writes nothing.
///
/// ```
/// use std::time::Instant;
/// use pssst_net::{RateLimit, RateLimiter};
///
/// let limiter = RateLimiter::new(RateLimit::new(1).with_burst(2));
/// let (source, now) = ("192.0.2.1".parse().unwrap(), Instant::now());
/// assert!(limiter.admits(source, now) && limiter.admits(source, now));
/// assert!(!limiter.admits(source, now));
/// ```
pub struct RateLimiter {
    limit: RateLimit,
    hasher: RandomState,
    created: Instant,
    /// Nanoseconds between two requests. `None` admits nothing.
    interval: Option<u64>,
    /// Nanoseconds that a request may be early.
    tolerance: u64,
    ipv4_mask: u32,
    ipv6_mask: u128,
    /// When the next request is due, in nanoseconds since `created`.
    due: Box<[AtomicU64]>,
}

impl RateLimiter {
    /// Returns a limiter, and allocates all of its memory.
    pub fn new(limit: RateLimit) -> Self {
        let interval = (limit.requests_per_second > 0).then(|| NANOSECONDS.div_ceil(limit.requests_per_second.into()));
        Self {
            limit,
            hasher: RandomState::new(),
            created: Instant::now(),
            interval,
            // At most 10^9 times 2^32, which fits.
            tolerance: interval.unwrap_or(0) * u64::from(limit.burst.saturating_sub(1)),
            ipv4_mask: u32::MAX.checked_shl(32_u32.saturating_sub(limit.ipv4_prefix_len.into())).unwrap_or(0),
            ipv6_mask: u128::MAX.checked_shl(128_u32.saturating_sub(limit.ipv6_prefix_len.into())).unwrap_or(0),
            due: (0..limit.buckets.max(1)).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// What it was made from.
    pub const fn limit(&self) -> RateLimit {
        self.limit
    }

    /// Returns whether to take a request from this source now, which then counts. A time before the
    /// limiter was made counts as that time.
    pub fn admits(&self, source: IpAddr, now: Instant) -> bool {
        self.admits_hash(self.hasher.hash_one(self.prefix(source)), now)
    }

    /// Returns whether to take a request of the client that proved this key, as
    /// [`admits`](Self::admits) does for a source. Clients that share a bucket share its allowance,
    /// so give the limit many more buckets than there are clients.
    pub fn admits_client(&self, key: &PublicKey, now: Instant) -> bool {
        self.admits_hash(self.hasher.hash_one(key), now)
    }

    fn admits_hash(&self, hash: u64, now: Instant) -> bool {
        let Some(interval) = self.interval else { return false };
        let now = u64::try_from(now.saturating_duration_since(self.created).as_nanos()).unwrap_or(u64::MAX);
        let next = |due: u64| {
            let early = due.saturating_sub(now);
            (early <= self.tolerance).then(|| due.max(now).saturating_add(interval))
        };
        // Nothing else is published through a bucket, so no order is needed.
        self.bucket(hash).fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).is_ok()
    }

    #[expect(clippy::cast_possible_truncation, reason = "less than the number of buckets, which is a usize")]
    fn bucket(&self, hash: u64) -> &AtomicU64 {
        &self.due[(hash % self.due.len() as u64) as usize]
    }

    fn prefix(&self, source: IpAddr) -> IpAddr {
        // On a socket for both families all of IPv4 shares the first 96 bits.
        match source.to_canonical() {
            IpAddr::V4(address) => Ipv4Addr::from_bits(address.to_bits() & self.ipv4_mask).into(),
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & self.ipv6_mask).into(),
        }
    }
}

impl fmt::Debug for RateLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimiter").field("buckets", &self.due.len()).finish_non_exhaustive()
    }
}

const NANOSECONDS: u64 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Duration;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn ip(address: &str) -> IpAddr {
        address.parse().unwrap()
    }

    /// Returns how many of these simultaneous requests are admitted.
    fn admitted(limiter: &RateLimiter, source: &str, now: Instant, requests: usize) -> usize {
        (0..requests).filter(|_| limiter.admits(ip(source), now)).count()
    }

    fn share(limiter: &RateLimiter, one: &str, other: &str) -> bool {
        limiter.prefix(ip(one)) == limiter.prefix(ip(other))
    }

    #[test]
    fn a_burst_and_then_the_steady_rate() {
        let limiter = RateLimiter::new(RateLimit::new(10).with_burst(5));
        let start = limiter.created + Duration::from_secs(1);
        assert_eq!(admitted(&limiter, "192.0.2.1", start, 100), 5);
        // One each 100 ms, not a nanosecond earlier, however often it is asked.
        for turn in 1..=50 {
            let early = start + Duration::from_nanos(100_000_000 * turn - 1);
            assert_eq!(admitted(&limiter, "192.0.2.1", early, 100), 0);
            assert_eq!(admitted(&limiter, "192.0.2.1", early + Duration::from_nanos(1), 100), 1);
        }
        // A quiet time gives the burst back, and no more than that.
        assert_eq!(
            admitted(&limiter, "192.0.2.1", start + Duration::from_secs(5) + Duration::from_millis(200), 100),
            2
        );
        assert_eq!(admitted(&limiter, "192.0.2.1", start + Duration::from_secs(86_400 * 365 * 500), 100), 5);
    }

    #[test]
    fn clients_have_allowances_of_their_own() {
        let limiter = RateLimiter::new(RateLimit::new(1).with_burst(2).with_buckets(1 << 20));
        let now = limiter.created;
        for key in [1, 2, 3].map(|byte| PublicKey::from_bytes([byte; 32])) {
            assert!(limiter.admits_client(&key, now) && limiter.admits_client(&key, now));
            assert!(!limiter.admits_client(&key, now));
        }
    }

    #[test]
    fn a_burst_is_one_second_by_default() {
        let limiter = RateLimiter::new(RateLimit::new(30));
        assert_eq!(admitted(&limiter, "192.0.2.1", limiter.created, 1000), 30);
        assert_eq!(admitted(&limiter, "192.0.2.1", limiter.created + Duration::from_secs(1), 1000), 29);
        // 29, for a thirtieth of a second is rounded up.
        assert_eq!(admitted(&limiter, "192.0.2.1", limiter.created + Duration::from_nanos(1_000_000_020), 1000), 1);
    }

    #[test]
    fn a_time_before_the_limiter_counts_as_its_first() {
        let limiter = RateLimiter::new(RateLimit::new(10).with_burst(2));
        let Some(before) = limiter.created.checked_sub(Duration::from_secs(5)) else { return };
        assert_eq!(admitted(&limiter, "192.0.2.1", before, 10), 2);
        assert_eq!(admitted(&limiter, "192.0.2.1", limiter.created, 10), 0);
    }

    #[test]
    fn a_late_clock_admits_no_more() {
        let limiter = RateLimiter::new(RateLimit::new(10).with_burst(5));
        let later = limiter.created + Duration::from_secs(10);
        assert_eq!(admitted(&limiter, "192.0.2.1", later, 10), 5);
        assert_eq!(admitted(&limiter, "192.0.2.1", limiter.created, 10), 0);
    }

    #[test]
    fn no_rate_admits_nothing() {
        let limiter = RateLimiter::new(RateLimit::new(0).with_burst(5));
        assert_eq!(admitted(&limiter, "192.0.2.1", limiter.created, 10), 0);
        assert_eq!(admitted(&limiter, "192.0.2.1", limiter.created + Duration::from_secs(1000), 10), 0);
    }

    #[test]
    fn no_burst_is_a_burst_of_one() {
        let limiter = RateLimiter::new(RateLimit::new(1).with_burst(0));
        assert_eq!(admitted(&limiter, "192.0.2.1", limiter.created, 10), 1);
        assert_eq!(admitted(&limiter, "192.0.2.1", limiter.created + Duration::from_secs(1), 10), 1);
    }

    #[test]
    fn the_largest_numbers_do_no_harm() {
        for limit in [RateLimit::new(u32::MAX), RateLimit::new(1).with_burst(u32::MAX)] {
            let limiter = RateLimiter::new(limit);
            let never = limiter.created + Duration::from_secs(1 << 60);
            for now in [limiter.created, never, limiter.created] {
                admitted(&limiter, "192.0.2.1", now, 1000);
            }
            let limiter = RateLimiter::new(limit);
            assert_eq!(admitted(&limiter, "192.0.2.1", limiter.created, 1000), 1000);
        }
    }

    #[test]
    fn a_source_is_its_prefix() {
        let limiter = RateLimiter::new(RateLimit::new(1));
        assert!(share(&limiter, "192.0.2.0", "192.0.2.255"));
        assert!(!share(&limiter, "192.0.2.255", "192.0.3.0"));
        assert!(share(&limiter, "2001:db8::", "2001:db8:0:ff:ffff:ffff:ffff:ffff"));
        assert!(!share(&limiter, "2001:db8::", "2001:db8:0:100::"));
        assert_eq!(admitted(&limiter, "192.0.2.1", limiter.created, 10), 1);
        assert_eq!(admitted(&limiter, "192.0.2.77", limiter.created, 10), 0);
    }

    #[test]
    fn prefix_lengths_are_clamped() {
        let none = RateLimiter::new(RateLimit::new(1).with_ipv4_prefix_len(0).with_ipv6_prefix_len(0));
        assert!(share(&none, "0.0.0.0", "255.255.255.255"));
        assert!(share(&none, "::", "ffff::ffff"));
        assert!(!share(&none, "0.0.0.0", "::"));
        for (ipv4, ipv6) in [(32, 128), (33, 129), (255, 255)] {
            let limit = RateLimit::new(1).with_ipv4_prefix_len(ipv4).with_ipv6_prefix_len(ipv6);
            let all = RateLimiter::new(limit);
            assert!(!share(&all, "192.0.2.0", "192.0.2.1"));
            assert!(!share(&all, "2001:db8::", "2001:db8::1"));
        }
        let one = RateLimiter::new(RateLimit::new(1).with_ipv4_prefix_len(1).with_ipv6_prefix_len(1));
        assert!(share(&one, "0.0.0.0", "127.255.255.255") && !share(&one, "127.255.255.255", "128.0.0.0"));
        assert!(share(&one, "::", "7fff::") && !share(&one, "7fff::", "8000::"));
    }

    #[test]
    fn mapped_addresses_are_ipv4() {
        let limiter = RateLimiter::new(RateLimit::new(3));
        assert!(share(&limiter, "::ffff:192.0.2.1", "192.0.2.200"));
        assert!(!share(&limiter, "::ffff:192.0.2.1", "::ffff:198.51.100.1"));
        assert_eq!(admitted(&limiter, "::ffff:192.0.2.1", limiter.created, 10), 3);
        assert_eq!(admitted(&limiter, "192.0.2.1", limiter.created, 10), 0);
    }

    #[test]
    fn sources_in_one_bucket_share_its_allowance() {
        for buckets in [0, 1] {
            let limiter = RateLimiter::new(RateLimit::new(10).with_buckets(buckets));
            assert_eq!(admitted(&limiter, "192.0.2.1", limiter.created, 7), 7);
            assert_eq!(admitted(&limiter, "2001:db8::", limiter.created, 7), 3);
        }
    }

    #[test]
    fn sources_spread_over_the_table_which_does_not_grow() {
        let limiter = RateLimiter::new(RateLimit::new(1));
        assert_eq!(size_of_val(&*limiter.due), 512 * 1024);
        let sources = 0..20_000_u32;
        let from = |source: u32| IpAddr::from(Ipv4Addr::from_bits(source << 8));
        let first = sources.clone().filter(|&source| limiter.admits(from(source), limiter.created)).count();
        // About 17,227 of 65,536 buckets are hit; the deviation is some 45.
        assert!((16_700..17_700).contains(&first), "{first}");
        assert_eq!(sources.filter(|&source| limiter.admits(from(source), limiter.created)).count(), 0);
        assert_eq!(size_of_val(&*limiter.due), 512 * 1024);
    }

    #[test]
    fn another_table_collides_elsewhere() {
        let collisions = || {
            let limiter = RateLimiter::new(RateLimit::new(1).with_buckets(64));
            let sources = (0..64).map(|source| Ipv4Addr::from_bits(source << 8).into());
            sources.map(|source| limiter.admits(source, limiter.created)).collect::<Vec<_>>()
        };
        assert_ne!(collisions(), collisions());
    }

    #[test]
    fn threads_together_get_no_more_than_the_allowance() {
        let limiter = RateLimiter::new(RateLimit::new(1000).with_burst(5000));
        for (second, expected) in [(0, 5000), (1, 1000), (2, 1000), (100, 5000)] {
            let now = limiter.created + Duration::from_secs(second);
            let ask = || admitted(&limiter, "192.0.2.1", now, 4000);
            let total: usize = thread::scope(|scope| {
                let threads: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).sum()
            });
            assert_eq!(total, expected, "second {second}");
        }
    }

    proptest! {
        /// Against a bucket of tokens in exact arithmetic: it fills by one token for each interval,
        /// up to the burst.
        #[test]
        fn it_is_a_token_bucket(
            rate in 1..2_000_u32,
            burst in 1..50_u32,
            pauses in vec(0..20_000_000_u64, 1..300),
        ) {
            let limiter = RateLimiter::new(RateLimit::new(rate).with_burst(burst));
            let interval = 1_000_000_000_u64.div_ceil(u64::from(rate));
            let full = interval * u64::from(burst);
            let mut level = full;
            let mut elapsed = 0;
            for pause in pauses {
                elapsed += pause;
                level = full.min(level + pause);
                let expected = level >= interval;
                if expected {
                    level -= interval;
                }
                let now = limiter.created + Duration::from_nanos(elapsed);
                prop_assert_eq!(limiter.admits(ip("192.0.2.1"), now), expected);
            }
        }
    }
}
