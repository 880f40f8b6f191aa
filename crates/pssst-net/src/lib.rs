//! PSSST over UDP on tokio: a client for networks that lose packets, and a server that uses every
//! core.
//!
//! The protocol is in the crate [`pssst`], which has no sockets and no clock; this crate gives it
//! both.
//!
//! ```
//! use pssst_net::pssst::{SecretKey, SysRng};
//! use pssst_net::{Client, Handler, Reply, Request, Server, ServerConfig};
//!
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! // The server's key pair. The public key reaches clients by another, heavier channel.
//! let secret = SecretKey::generate(&mut SysRng)?;
//! let server_key = secret.public_key();
//!
//! let handler = Handler::from_fn(|request: Request<&[u8]>| match request.message() {
//!     b"valve 7?" => Some(Reply::from("open")),
//!     // No reply is sent.
//!     _ => None,
//! });
//! let server = Server::builder().bind("127.0.0.1:0")?.serve(ServerConfig::new(secret, handler))?;
//!
//! let client = Client::builder(server_key).connect(server.local_addr().to_string()).await?;
//! assert_eq!(client.request("valve 7?").await?, "open");
//!
//! server.shutdown(std::time::Duration::from_secs(5)).await;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # The client
//!
//! A [`Client`] holds any number of requests over one socket. Until a reply arrives, it sends the
//! same bytes again with growing timeouts, later from another port, and to other addresses if the
//! server's name has several. Late, repeated, forged and unrelated packets have no effect. Every
//! request ends by its deadline. [`blocking::Client`] does this for programs without async.
//!
//! # The server
//!
//! A [`Server`] has one worker thread per core, each with its own socket. A worker receives all
//! waiting datagrams, opens them together (much cheaper than one at a time:
//! [`pssst::Server::open_batch`]), hands the requests to the [`Handler`], and sends all replies at
//! once. It never waits for a batch to fill.
//!
//! A handler is a function, or a [`Service`] (the trait of tower) with whatever layers it needs.
//!
//! **Read what [`Request`] says about one request and one answer before you write a handler.**
//!
//! Everything is bounded: under overload, the newest requests are dropped and counted. [`Stats`]
//! counts every datagram by its outcome, including those that the kernel dropped.
//!
//! # What it is not
//!
//! * **Not a stream**: a request is one datagram and so is its reply. Nothing is split.
//! * **Not a delivery guarantee**: a request that timed out may have been handled all the same.
//! * **Not runtime-agnostic**: it needs tokio. The crate [`pssst`] needs no runtime.
//!
//! # What it logs
//!
//! Events of [`tracing`], never with messages or secret keys. Each warning, mostly about sockets,
//! is logged at most once a minute; single packets are logged at the levels debug and trace.
//! Counters have the rest.

pub use pssst;
pub use pssst_link;
pub use tower_service::Service;

pub use client::{Client, ClientBuilder, ClientStats, Credentials, Retry};
pub use error::Error;
pub use rate_limit::{RateLimit, RateLimiter};
pub use server::{BoundServer, DatagramOutcome, Handler, Reply, Request, Server, ServerBuilder, ServerConfig, Stats};
pub use stats::Histogram;
pub use udp::BufferShortfall;

/// The examples of the book are tests.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/library.md")]
struct Book;

pub mod blocking;
#[doc(hidden)]
pub mod runtime;
pub mod udp;
mod wiping;

mod client;
mod error;
#[cfg(test)]
mod log_capture;
mod rate_limit;
mod reply_cache;
mod server;
#[cfg(test)]
mod simulation;
mod stats;
mod time;
