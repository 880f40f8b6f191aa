//! Tests that measure or disturb their own process. Each takes the lock, so that one runs at a
//! time.
#![cfg(target_os = "linux")]

#[path = "../it/common.rs"]
mod common;
mod memory;
mod noise;

use std::sync::{Mutex, MutexGuard};

/// Waits until no other test of this program runs.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    pssst_support::sync::lock(&ALONE)
}
