//! The frame of every service: options from flags, environment and a file, all checked at once; a
//! reload of all of it or nothing; metrics and health over HTTP; a log; traces; notifications to a
//! service manager of what happens; and a stop that finishes what was accepted.
//!
//! A service is a type that implements [`Service`], and [`run`] runs it to its end. The crate knows
//! nothing of what services do.
//!
//! # Features
//!
//! | feature | adds |
//! |---|---|
//! | `otel` (default) | traces of requests, sent to an OpenTelemetry collector |

// They panic when nobody reads: write to standard output and handle the error, or use `stderr`.
#![warn(clippy::print_stderr, clippy::print_stdout)]

pub use config::{ConfigFile, Configured, Invocation};
pub use failure::Failure;
pub use program::Program;
pub use service::{FixedOptions, LiveOptions, Service, check, run};
pub use telemetry::{MetricsWriter, Monitored, seconds_since_1970, stuck};
pub use traces::TraceOptions;

pub mod durations;
pub mod runtime;
pub mod stderr;
pub mod traces;

mod config;
mod failure;
mod file_watcher;
mod log;
mod program;
mod service;
mod signals;
mod systemd;
mod telemetry;
