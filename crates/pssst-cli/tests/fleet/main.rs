//! A fleet from its beginning: keys, directory, tokens, devices, servers, all as processes of the program on loopback.
#![cfg(unix)]

mod crash;
mod process;
mod rotation;
mod stores;
mod story;
