//! A fleet from its beginning: keys, directory, tokens, devices, servers, all as processes of the
//! program on loopback.

mod backup;
mod configuration;
mod crash;
mod day;
mod doctor;
mod examples;
mod fallback;
mod json;
mod kinds;
mod limits;
mod links;
mod manager;
mod metrics;
mod mistakes;
mod pool;
mod process;
mod reload;
mod renewal;
mod rotation;
mod secrets;
mod stalled_log;
mod stores;
mod terminal;
mod top;
#[cfg(feature = "otel")]
mod traces;
mod waiting;
mod walkthrough;
mod wiping;
