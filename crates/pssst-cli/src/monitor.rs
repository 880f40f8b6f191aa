//! A running service as its own metrics show it.

pub(crate) mod endpoint;
pub(crate) mod history;
pub(crate) mod reading;
pub(crate) mod report;
pub(crate) mod view;
mod warnings;
