//! The frame of every service of the program: it reads options from flags, the environment and a
//! file, reloads all of them or none, serves metrics and health checks over HTTP, logs, traces,
//! notifies systemd, and finishes accepted requests before it stops.
//!
//! A service is a type that implements [`Service`]; [`run`] runs it to its end. This crate does not
//! know what a service does.
//!
//! ```
//! use pssst_service::durations;
//!
//! // Every option that is a span of time reads the same forms.
//! assert_eq!(durations::span("500ms")?, std::time::Duration::from_millis(500));
//! # Ok::<(), String>(())
//! ```
//!
//! # What it is not
//!
//! * **Not a framework for others**: it is internal to the program `pssst`, and changes in any
//!   version.
//! * **Not a supervisor**: it ends with an exit code, and a service manager restarts it.
//!
//! # Features
//!
//! | feature | adds |
//! |---|---|
//! | `otel` (default) | traces of requests, sent to an OpenTelemetry collector |

// They panic when nobody reads: write to standard output and handle the error, or use `stderr`.
#![warn(clippy::print_stderr, clippy::print_stdout)]

pub use config::{
    ConfigFile, Configured, InForce, Invocation, Kind, Setting, Source, StandIn, unknown_variables, variable,
};
pub use failure::Failure;
pub use followed_file::FollowedFile;
pub use program::Program;
pub use service::{FixedOptions, LiveOptions, Service, check, fixed_options, read_options, run};
pub use signals::stop_flag;
pub use telemetry::{MetricsWriter, Monitored, seconds_since_1970, stuck};
pub use traces::TraceOptions;

pub mod addresses;
pub mod durations;
pub mod metrics_page;
pub mod process;
pub mod runtime;
pub mod stderr;
pub mod traces;

mod config;
mod failure;
mod file_watcher;
mod followed_file;
mod log;
mod program;
mod service;
mod signals;
mod systemd;
mod telemetry;
