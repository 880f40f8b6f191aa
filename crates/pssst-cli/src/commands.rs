//! Commands that do one thing and end.

pub(crate) mod audit;
pub(crate) mod bench;
pub(crate) mod clients;
pub(crate) mod compat;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod demo;
pub(crate) mod doctor;
pub(crate) mod enroll;
pub(crate) mod inspect;
pub(crate) mod keygen;
pub(crate) mod keys;
pub(crate) mod link;
pub(crate) mod man;
pub(crate) mod operator;
pub(crate) mod precompute;
pub(crate) mod pubkey;
pub(crate) mod renew;
pub(crate) mod request;
pub(crate) mod status;
pub(crate) mod token;
pub(crate) mod top;
