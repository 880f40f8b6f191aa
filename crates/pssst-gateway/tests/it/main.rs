//! Gateways before real services, good and bad, on loopback.

mod common;
mod faults;
mod http;
mod packets;
mod program;
mod streams;
