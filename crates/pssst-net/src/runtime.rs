//! Threads that each run one event loop: what a server's workers and a gateway's proxy have in
//! common.
//!
//! A detail of the crates of PSSST, which do not promise that it stays as it is.

pub use heartbeat::Heartbeat;
pub use log_throttle::LogThrottle;
pub use shutdown::Shutdown;
pub use threads::Threads;

mod heartbeat;
mod log_throttle;
mod shutdown;
mod threads;
