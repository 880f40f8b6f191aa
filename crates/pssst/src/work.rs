//! Counts the costly steps of a test's thread: what `server/observer.rs` compares.

use core::cell::Cell;

use std::thread_local;

/// How often each step was taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Work {
    /// X25519 of any point.
    pub(crate) multiplications: usize,
    /// Checks of the order of a client key.
    pub(crate) classifications: usize,
    pub(crate) decapsulations: usize,
    /// H of suites 0xf002, 0xf003 and 0xf0e1.
    pub(crate) hashes: usize,
    /// Derivations of a pre-shared key.
    pub(crate) psks: usize,
    /// Decryptions, whether the tag holds or not.
    pub(crate) openings: usize,
}

thread_local! {
    static DONE: Cell<Work> = Cell::default();
}

/// Adds to the work of this thread.
pub(crate) fn add(change: impl FnOnce(&mut Work)) {
    let mut work = DONE.get();
    change(&mut work);
    DONE.set(work);
}

/// Returns the work that the closure did.
pub(crate) fn of(task: impl FnOnce()) -> Work {
    DONE.set(Work::default());
    task();
    DONE.get()
}

impl Work {
    /// Returns the work of so many packets.
    pub(crate) const fn times(self, count: usize) -> Self {
        Self {
            multiplications: self.multiplications * count,
            classifications: self.classifications * count,
            decapsulations: self.decapsulations * count,
            hashes: self.hashes * count,
            psks: self.psks * count,
            openings: self.openings * count,
        }
    }
}
