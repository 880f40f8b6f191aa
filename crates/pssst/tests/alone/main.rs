//! Tests that read the memory of their process, which other tests would reuse meanwhile.
#![cfg(target_os = "linux")]

#[path = "../it/common/mod.rs"]
#[allow(dead_code, reason = "these tests use a part of it")]
mod common;
mod wiping;
