//! Rate limits for each source and for all together.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use pssst_net::{RateLimit, RateLimiter};

/// A limit for each source, and one for all.
#[derive(Debug)]
pub(super) struct Limits {
    each: RateLimiter,
    all: RateLimiter,
}

impl Limits {
    pub(super) fn new(each: RateLimit, all: RateLimit) -> Self {
        Self { each: RateLimiter::new(each), all: RateLimiter::new(all.with_buckets(1)) }
    }

    /// Returns whether a request is admitted. The excess of one source does not count for the
    /// others.
    pub(super) fn admit(&self, source: IpAddr) -> bool {
        self.admit_at(source, Instant::now())
    }

    fn admit_at(&self, source: IpAddr, now: Instant) -> bool {
        self.each.admits(source, now) && self.all.admits(Ipv4Addr::UNSPECIFIED.into(), now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_source_cannot_use_up_what_is_for_all() {
        let limits = Limits::new(RateLimit::new(1).with_burst(3), RateLimit::new(1).with_burst(5));
        let now = Instant::now();
        let admitted = |source: &str| (0..50).filter(|_| limits.admit_at(source.parse().unwrap(), now)).count();
        assert_eq!(admitted("192.0.2.1"), 3);
        assert_eq!(admitted("198.51.100.1"), 2);
        assert_eq!(admitted("203.0.113.1"), 0);
    }
}
