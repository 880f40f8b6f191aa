//! Commands that run until they are stopped.

pub(crate) mod directory;
pub(crate) mod echo;
pub(crate) mod gateway;
pub(crate) mod proxy;

mod client_metrics;
mod server;
