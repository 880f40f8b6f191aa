//! Helpers that the tests and benchmarks of all crates share: waiting, processes, ports, keys,
//! PostgreSQL and nginx, and pictures of what was measured.
//!
//! Everything that is started ends when its value is dropped, or at the latest with the test's
//! process. Functions panic with a message for the reader of a failed test.
//!
//! ```
//! use pssst_test::Process;
//! use std::process::Command;
//!
//! let mut process = Process::spawn(Command::new("sh").args(["-c", "echo listening on 9; read rest"]));
//! assert_eq!(process.value_of("listening on "), "9");
//! process.kill();
//! ```

pub use keys::{random_secret, secret};
#[cfg(unix)]
pub use nginx::Nginx;
pub use ports::ReservedPort;
#[cfg(unix)]
pub use postgres::Postgres;
pub use process::{Process, output};
pub use wait::{PATIENCE, until, wait_for, wait_for_value};

pub mod bar_chart;
pub mod captures;
mod keys;
#[cfg(unix)]
mod nginx;
mod ports;
#[cfg(unix)]
mod postgres;
mod process;
mod wait;
