//! Whether the client's path carries the long packets of suite 0xf003.

use std::sync::Mutex;
use std::time::Duration;

use pssst::Suite;
use pssst_support::sync::lock;
use tokio::time::Instant;

/// Requests in a row that only short packets got a reply to, until the path counts as narrow: a
/// single one may just have lost its long packets.
const EVIDENCE: u32 = 2;
/// Time after which a request tries long packets again.
const PAUSE: Duration = Duration::from_secs(600);

/// What requests have shown of the path.
#[derive(Default)]
pub(super) struct LongPath(Mutex<State>);

#[derive(Default)]
struct State {
    /// Requests in a row that only short packets got a reply to.
    evidence: u32,
    /// When long packets are tried again.
    narrow_until: Option<Instant>,
}

impl LongPath {
    /// Returns whether requests begin with short packets.
    pub(super) fn is_narrow(&self) -> bool {
        lock(&self.0).narrow_until.is_some_and(|until| Instant::now() < until)
    }

    /// Takes note of a request that got its reply under this suite after some long packets.
    pub(super) fn replied(&self, suite: Suite) {
        let mut state = lock(&self.0);
        if suite == Suite::XWingAes256GcmSiv {
            if state.narrow_until.is_some() {
                tracing::info!("the network carries the packets of suite 0xf003 again");
            }
            *state = State::default();
            return;
        }
        state.evidence = state.evidence.saturating_add(1);
        if state.evidence >= EVIDENCE {
            state.mark();
        }
    }

    /// Takes note that the system cannot send long packets.
    pub(super) fn refused(&self) {
        lock(&self.0).mark();
    }
}

impl State {
    fn mark(&mut self) {
        if self.narrow_until.is_none() {
            tracing::warn!(
                "the network does not carry the packets of suite 0xf003: falling back to suite 0xf002 with the \
                 pre-shared key"
            );
        }
        self.narrow_until = Some(Instant::now() + PAUSE);
    }
}
