//! Hints that something has changed.

use tokio::sync::watch;

/// The sending end, with which a store notifies receivers. Cheap to clone; all clones share one
/// state.
#[derive(Clone, Debug, Default)]
pub struct ChangeSignal(watch::Sender<()>);

/// Hints that something has changed in a store. Several changes may give one hint.
#[derive(Clone, Debug)]
pub struct ChangeReceiver(watch::Receiver<()>);

impl ChangeSignal {
    /// Hints that something has changed.
    pub fn notify(&self) {
        self.0.send_replace(());
    }

    /// Returns a receiver of all changes from now on.
    pub fn subscribe(&self) -> ChangeReceiver {
        ChangeReceiver(self.0.subscribe())
    }
}

impl ChangeReceiver {
    /// Waits for the next hint. Returns `false` when the store was dropped: no further hint will
    /// come.
    pub async fn changed(&mut self) -> bool {
        self.0.changed().await.is_ok()
    }

    /// Ignores the changes so far.
    pub fn clear(&mut self) {
        self.0.mark_unchanged();
    }
}
