//! A gateway that lets PSSST clients call existing services, and a proxy that lets existing UDP
//! clients call PSSST servers.
//!
//! A [`Gateway`] answers requests with the answers of an existing service, over HTTP, UDP, TCP or a
//! Unix socket. It is a [`Handler`](pssst_net::Handler) for a [`pssst_net::Server`]. A [`Proxy`] is
//! the other end: it takes plain datagrams from programs on its own machine, sends each as a
//! request, and hands the reply back. `docs/gateway.md` in the repository lists what both promise.
//!
//! ```
//! use pssst_gateway::{Gateway, Proxy};
//! use pssst_net::pssst::{SecretKey, Suite, SysRng};
//! use pssst_net::{Client, Server, ServerConfig};
//! use tokio::net::UdpSocket;
//!
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! // A service that answers in capital letters.
//! let service = UdpSocket::bind("127.0.0.1:0").await?;
//! let upstream = format!("udp://{}", service.local_addr()?);
//! tokio::spawn(async move {
//!     let mut buffer = [0; 2048];
//!     while let Ok((len, peer)) = service.recv_from(&mut buffer).await {
//!         drop(service.send_to(&buffer[..len].to_ascii_uppercase(), peer).await);
//!     }
//! });
//!
//! // A gateway in front of it, and a proxy in front of that.
//! let secret = SecretKey::generate(&mut SysRng)?;
//! let server_key = secret.public_key();
//! let gateway = Gateway::builder(upstream.parse()?).build()?;
//! let config = ServerConfig::new(secret, gateway.handler());
//! let server = Server::builder().bind("127.0.0.1:0")?.serve(config)?;
//! let client = Client::builder(server_key)
//!     .connect(server.local_addr().to_string())
//!     .await?;
//! let proxy = Proxy::builder(client).bind(&["127.0.0.1:0".parse()?])?;
//! let address = proxy.local_addrs()[0];
//! let proxy = proxy.serve()?;
//!
//! // A program that speaks plain UDP.
//! let program = UdpSocket::bind("127.0.0.1:0").await?;
//! program.send_to(b"hello", address).await?;
//! let mut answer = [0; 2048];
//! let (len, _) = program.recv_from(&mut answer).await?;
//! assert_eq!(&answer[..len], b"HELLO");
//! # drop(proxy);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # What it is not
//!
//! * **Not a balancer**: a gateway has one upstream. Put a balancer behind it for more.
//! * **Not a tunnel**: a message and its answer are one datagram each. A connection, a stream or a
//!   large body does not pass.

pub use circuit::CircuitBreaker;
pub use error::Error;
pub use gateway::Gateway;
pub use options::GatewayBuilder;
pub use proxy::{BoundProxy, Proxy, ProxyBuilder, ProxyDrop, ProxyStats};
pub use pssst;
pub use stats::{ExchangeOutcome, GatewayStats};
pub use upstream::Upstream;
pub use upstream::http::{HttpVersion, StatusRule};

mod admission_control;
mod circuit;
mod client_id;
mod error;
mod failure_log;
mod gateway;
mod options;
mod proxy;
mod stats;
mod upstream;
