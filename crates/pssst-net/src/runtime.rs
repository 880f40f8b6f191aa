//! Threads that each run one event loop: what a server's workers and a gateway's proxy have in common.

mod heartbeat;
mod log_throttle;
mod shutdown;
mod threads;

pub use heartbeat::{HEARTBEAT_INTERVAL, Heartbeat};
pub use log_throttle::LogThrottle;
pub use shutdown::Shutdown;
pub use threads::spawn;
