//! One bounded HTTP/1.1 listener, for health, metrics and directories.
//!
//! Everything has a limit: connections, bytes of a head and of a body, and the time for a
//! handshake, a head, an answer and a connection as a whole. Connections over the limit wait in the
//! backlog of the system. Events are counted, and a stop lets requests in flight end.
//!
//! ```
//! use std::time::Duration;
//!
//! use pssst_http::hyper::Response;
//! use pssst_http::{Bytes, Full, Listener};
//!
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).await?.max_connections(64);
//! let server = listener.serve(|peer| {
//!     move |_request| async move { Response::new(Full::new(Bytes::from(format!("hello {}\n", peer.address)))) }
//! });
//! println!("listening at {}", server.local_addr());
//!
//! server.shutdown(Duration::from_secs(5)).await;
//! # Ok::<(), std::io::Error>(()) })
//! # ?; Ok::<(), std::io::Error>(())
//! ```
//!
//! # What it is not
//!
//! * **Not a framework**: there are no routes. Pass requests on to a router, such as that of
//!   `axum`.
//! * **Not for HTTP/2**, which none of the callers need.
//!
//! # Features
//!
//! | feature | adds |
//! |---|---|
//! | `tls` | [`Tls`]: connections by TLS 1.3 only, with certificates that can be replaced while it serves |

mod answer;
mod connection;
mod listener;
mod server;
mod slots;
mod stats;
#[cfg(feature = "tls")]
mod tls;

pub use answer::{Answer, Peer, RequestBody};
pub use http_body_util::Full;
pub use hyper;
pub use hyper::body::Bytes;
pub use listener::Listener;
pub use server::Server;
pub use stats::{HttpEvent, HttpStats};
#[cfg(feature = "tls")]
pub use tls::Tls;
