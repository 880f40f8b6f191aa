//! PSSST for services and programs that know nothing of it.
//!
//! A [`Gateway`] answers requests with what an existing service says, over HTTP, UDP, TCP or a Unix
//! socket. It is a [`Handler`](pssst_net::Handler) for a [`pssst_net::Server`]. A [`Proxy`] is the
//! other end: it takes plain datagrams from programs on its own machine, carries each as a request,
//! and hands the reply back. `docs/gateway.md` says what both promise.
//!
//! ```
//! use pssst_gateway::{Gateway, Proxy};
//! use pssst_net::pssst::{SecretKey, Suite, SysRng};
//! use pssst_net::{Client, Server, ServerConfig};
//! use tokio::net::UdpSocket;
//!
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! // A service that shouts.
//! let service = UdpSocket::bind("127.0.0.1:0").await?;
//! let upstream = format!("udp://{}", service.local_addr()?);
//! tokio::spawn(async move {
//!     let mut buffer = [0; 2048];
//!     while let Ok((len, peer)) = service.recv_from(&mut buffer).await {
//!         drop(service.send_to(&buffer[..len].to_ascii_uppercase(), peer).await);
//!     }
//! });
//!
//! // A server of PSSST before it, and a proxy before that.
//! let secret = SecretKey::generate(&mut SysRng)?;
//! let server_key = secret.public_key();
//! let gateway = Gateway::builder(upstream.parse()?).build()?;
//! let config = ServerConfig::new(secret, gateway.handler());
//! let server = Server::builder().bind("127.0.0.1:0")?.serve(config)?;
//! let client = Client::builder(server_key)
//!     .suite(Suite::X25519Aes128GcmSiv)
//!     .connect(server.local_addr().to_string())
//!     .await?;
//! let proxy = Proxy::builder(client).bind(&["127.0.0.1:0".parse()?])?;
//! let address = proxy.local_addrs()[0];
//! let proxy = proxy.serve()?;
//!
//! // A program that knows of nothing.
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
mod error;
mod gateway;
mod options;
mod proxy;
mod stats;
mod upstream;
