//! The directory's time, which replaces a wrong system clock.

use jiff::Timestamp;
use tokio::time::Instant;

use crate::{Clock, KeySet};

/// How the time is known while a document is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TrustedClock {
    /// The time by the system clock, which agrees with the document.
    Clock,
    /// The clock is wrong, and may be corrected at any time: the time that has passed since this
    /// one.
    Since { time: Timestamp, at: Instant },
}

impl TrustedClock {
    /// For a document that has just come. (It may have been issued a while ago, if it was cached on
    /// its way: so a clock that shows a time within its term is as good as any.)
    pub(super) fn from_fetched(document: &KeySet, clock: Timestamp) -> Self {
        if Self::is_plausible(document, clock) { Self::Clock } else { Self::since(document) }
    }

    /// Returns whether a clock shows a time between issue and refresh of a document.
    pub(super) fn is_plausible(document: &KeySet, clock: Timestamp) -> bool {
        (document.issued..=document.refresh_at).contains(&clock)
    }

    /// For a document from the disk, which may be old. A document cannot be from the future.
    pub(super) fn from_stored(document: &KeySet, clock: Timestamp) -> Self {
        if document.issued <= clock { Self::Clock } else { Self::since(document) }
    }

    pub(super) fn now(&self, clock: &Clock) -> Timestamp {
        match *self {
            Self::Clock => clock.now(),
            Self::Since { time, at } => time.checked_add(at.elapsed()).unwrap_or(Timestamp::MAX),
        }
    }

    fn since(document: &KeySet) -> Self {
        Self::Since { time: document.issued, at: Instant::now() }
    }
}
