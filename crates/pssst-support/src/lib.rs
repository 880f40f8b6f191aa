//! What the crates of PSSST share, on the standard library alone; and with the feature `tls`, the one
//! configuration of their clients of TLS.
//!
//! This crate is a detail of the others, which do not promise that it stays as it is. It knows
//! nothing of the protocol.
//!
//! ```
//! use std::time::Duration;
//!
//! use pssst_support::Backoff;
//!
//! let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));
//! let delay = backoff.next_delay();
//! assert!(delay >= Duration::from_millis(500) && delay <= Duration::from_secs(1));
//! ```

pub use backoff::Backoff;

pub mod atomic_file;
mod backoff;
mod named_enum;
pub mod secret_file;
pub mod sync;
#[cfg(feature = "tls")]
pub mod tls;
