//! Tests of the protocol through its public interface.

mod batches;
mod common;
mod goals;
#[cfg(all(feature = "pem", feature = "std"))]
mod keys;
#[cfg(feature = "pem")]
mod properties;
#[cfg(feature = "std")]
mod recorded;
mod server;
mod two_answers;
mod vectors;
