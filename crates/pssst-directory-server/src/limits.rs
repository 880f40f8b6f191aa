//! Rate limits for each source and for all together.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use pssst_net::{RateLimit, RateLimiter};

/// A limit for each source, and one for all. The first request of a source in a second counts for
/// the limit of newcomers instead, so that a few busy sources do not shut out the others.
#[derive(Debug)]
pub(super) struct Limits {
    each: RateLimiter,
    all: RateLimiter,
    is_newcomer: RateLimiter,
    newcomers: RateLimiter,
}

impl Limits {
    pub(super) fn new(each: RateLimit, all: RateLimit) -> Self {
        let [all, newcomers] = [(); 2].map(|()| RateLimiter::new(all.with_buckets(1)));
        let is_newcomer = RateLimiter::new(RateLimit::new(1));
        Self { each: RateLimiter::new(each), all, is_newcomer, newcomers }
    }

    /// Returns whether a request is admitted. The excess of one source does not count for the
    /// others.
    pub(super) fn admit(&self, source: IpAddr) -> bool {
        self.admit_at(source, Instant::now())
    }

    fn admit_at(&self, source: IpAddr, now: Instant) -> bool {
        let any = Ipv4Addr::UNSPECIFIED.into();
        self.each.admits(source, now)
            && (self.is_newcomer.admits(source, now) && self.newcomers.admits(any, now) || self.all.admits(any, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits::new(RateLimit::new(1).with_burst(50), RateLimit::new(10).with_burst(100))
    }

    #[test]
    fn one_source_cannot_use_up_what_is_for_all() {
        let (limits, now) = (limits(), Instant::now());
        let admitted = |source: &str| (0..500).filter(|_| limits.admit_at(source.parse().unwrap(), now)).count();
        assert_eq!(admitted("192.0.2.1"), 50);
        assert_eq!(admitted("198.51.100.1"), 50);
    }

    /// Ten prefixes at the limit of each.
    #[test]
    fn few_sources_do_not_shut_out_others() {
        let (limits, now) = (limits(), Instant::now());
        let admit = |source: u8, host: u8| limits.admit_at(Ipv4Addr::new(192, 0, source, host).into(), now);
        let admitted = (0..10).flat_map(|source| (0..100).map(move |host| (source, host)));
        let admitted = admitted.filter(|&(source, host)| admit(source, host)).count();
        assert_eq!(admitted, 100 + 10, "all that is for all, and the first of each");
        assert!((10..100).all(|source| admit(source, 1)), "others come for the first time");
        assert!(!(100..120).any(|source| admit(source, 1)), "and are limited too");
    }
}
