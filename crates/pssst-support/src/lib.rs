//! Helpers that the crates of PSSST share: files that are followed, replaced or kept secret,
//! secrets as PEM, backoff, locks, enums with names and grouped numbers; and with the feature
//! `tls`, the one configuration of their clients of TLS.
//!
//! It needs the standard library, and `zeroize` to wipe what was read.
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
//!
//! # What it is not
//!
//! * **Not an interface**: it is internal to the crates of PSSST, and changes in any version.
//! * **Not the protocol**: it does not depend on the crate `pssst`.

pub use backoff::Backoff;
pub use contents::{Contents, Source};
pub use file_error::{FileError, FileErrorCause};
pub use file_watcher::{Candidate, FileWatcher, Polled, SETTLE};
pub use grouped::grouped;
pub use watch_health::{WatchHealth, WatchStatus};
pub use watched_file::{Change, WatchError, WatchedFile};

pub mod atomic_file;
mod backoff;
pub mod byte_order_mark;
mod contents;
mod file_error;
mod file_watcher;
mod grouped;
pub mod host_port;
mod named_enum;
pub mod secret_file;
pub mod secret_pem;
pub mod strict_modes;
pub mod sync;
#[cfg(feature = "tls")]
pub mod tls;
mod watch_health;
mod watched_file;
