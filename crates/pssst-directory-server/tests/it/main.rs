//! The directory and its clients, over TLS on loopback.

mod admin;
mod common;
mod connections;
mod device;
mod enrollment;
mod forged;
mod renewal;
