//! Decision whether a client is served.

use jiff::Timestamp;

use crate::state::State;

/// The part of a client's status that decides whether it is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Authorization {
    pub(crate) state: State,
    /// From when on it is refused, in seconds since 1970.
    pub(crate) expires: Option<u32>,
    /// Whether it must use its pre-shared key.
    pub(crate) requires_psk: bool,
}

impl Authorization {
    pub(crate) fn is_expired(self, now: Timestamp) -> bool {
        self.expires.is_some_and(|expires| i64::from(expires) <= now.as_second())
    }
}
