//! The server and the client over sockets of the system.

mod client;
mod common;
mod config;
#[cfg(feature = "tower")]
mod handlers;
mod load;
mod server;
