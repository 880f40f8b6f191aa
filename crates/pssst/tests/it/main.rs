//! Tests of the protocol through its public interface.

mod batches;
mod common;
mod goals;
mod keys;
mod properties;
mod recorded;
mod server;
mod two_answers;
mod vectors;
#[cfg(target_os = "linux")]
mod wiping;
