//! Commands that run until they are stopped.

pub(crate) mod directory;
pub(crate) mod echo;
pub(crate) mod gateway;
pub(crate) mod needs;
pub(crate) mod proxy;

mod client_metrics;
mod server;

/// Files that any service may open beside what its options say: logs, metrics, a database.
const OTHER_FILES: u64 = 256;
