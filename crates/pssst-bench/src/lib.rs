//! Load for a server, and how well it bears it.
//!
//! One thread sends and receives everything. Sealing is done before the clock starts; what remains
//! are batches of system calls, a look into a table and one opened reply for each transaction. It
//! knows no command line; `pssst bench` does.

mod clock;
mod connection;
mod counters;
mod format;
mod load;
mod plan;
mod plot;
mod pool;
mod progress;
mod report;
mod request_source;
mod schedule;

pub use counters::{Counters, Outcome};
pub use load::{run, share};
pub use plan::{Error, Plan};
pub use plot::picture;
pub use pool::{Pool, Workload};
pub use report::{Quantiles, Report};
