//! The program as its users run it: its command line, and real processes on loopback.

mod bench;
mod commands;
#[cfg(unix)]
mod end_to_end;
#[cfg(unix)]
mod fleet;
mod pages;
