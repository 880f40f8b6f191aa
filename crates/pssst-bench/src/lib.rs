//! A load generator for PSSST servers: requests in a closed or an open loop, and the latencies and
//! losses of what came back.
//!
//! One thread sends and receives everything. Requests are sealed before the clock starts, so that
//! the load itself costs batches of system calls, a look into a table and one opened reply for each
//! transaction. `pssst bench` is its command line.
//!
//! ```
//! use std::sync::atomic::AtomicBool;
//! use std::time::Duration;
//!
//! use pssst_bench::{Monitor, Plan, Report, Workload, run};
//! use pssst_net::pssst::{Client, SecretKey, Suite, SysRng};
//! use pssst_net::{Handler, Reply, Request, Server, ServerConfig};
//!
//! let secret = SecretKey::generate(&mut SysRng)?;
//! let anonymous = Client::new(secret.public_key())?;
//! let echo = Handler::from_fn(|request: Request<&[u8]>| {
//!     Some(Reply::copy_from(request.message()))
//! });
//! let server = Server::builder().bind("127.0.0.1:0")?.serve(ServerConfig::new(secret, echo))?;
//!
//! let plan = Plan {
//!     connections: 1,
//!     concurrency: 8,
//!     prepared: 64,
//!     authenticated_share: 0.0,
//!     junk_per_request: 0.0,
//!     size: 16,
//!     suite: Suite::default(),
//!     rate: None,
//!     warmup: Duration::ZERO,
//!     duration: Duration::from_millis(50),
//!     timeout: Duration::from_secs(1),
//! };
//! let workload =
//!     Workload { anonymous, authenticated: None, authenticated_share: 0.0, message_len: 16 };
//! let monitor = Monitor { show: None, stop: &AtomicBool::new(false) };
//! let outcome = run(&plan, &workload, server.local_addr(), Vec::new(), monitor)?;
//! let report = Report::new(&plan, outcome);
//! println!("{} replies, median latency {} us", report.replies, report.latency_us.p50);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What it is not
//!
//! * **Not a benchmark of the network**: it shows what a server does with packets that reach it.
//! * **Not a client**: it sends nothing again, and opens replies only to count them.

#![allow(clippy::exhaustive_structs, reason = "internal to the program, and changes in any version")]

mod clock;
mod connection;
mod counters;
pub mod format;
mod load;
mod monitor;
mod plan;
mod plot;
mod pool;
mod progress;
mod report;
mod request_source;
mod schedule;

pub use counters::{Counters, Outcome};
pub use load::{run, share};
pub use monitor::Monitor;
pub use plan::{Error, Plan};
pub use plot::picture;
pub use pool::{Pool, Workload};
pub use report::{Quantiles, Report};
