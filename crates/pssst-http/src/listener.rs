//! Accepting connections.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use pssst_support::Backoff;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::sleep;

use crate::answer::{Answer, Peer};
use crate::connection::{self, Context};
use crate::server::Server;
use crate::stats::HttpEvent;
#[cfg(feature = "tls")]
use crate::tls::Tls;

/// The first and the longest pause after failures to accept.
const ACCEPT_PAUSES: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// A socket that listens and is not served yet: connections wait.
#[derive(Debug)]
#[must_use]
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    max_connections: usize,
    max_body_len: usize,
    #[cfg(feature = "tls")]
    tls: Option<Tls>,
}

impl Listener {
    /// Binds a listener. Port 0 takes a free one.
    ///
    /// # Errors
    /// The errors of the system.
    pub async fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = TcpListener::bind(address).await?;
        Ok(Self {
            address: socket.local_addr()?,
            socket,
            max_connections: 64,
            max_body_len: 8 * 1024,
            #[cfg(feature = "tls")]
            tls: None,
        })
    }

    /// Returns the address at which it listens.
    pub const fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Sets the number of connections at a time: 64 by default, at least 1. More wait.
    pub fn max_connections(self, max_connections: usize) -> Self {
        Self { max_connections: max_connections.clamp(1, Semaphore::MAX_PERMITS), ..self }
    }

    /// Sets the number of bytes of a request's body: 8 KiB by default.
    pub fn max_body_len(self, max_body_len: usize) -> Self {
        Self { max_body_len, ..self }
    }

    /// Serves TLS 1.3, and nothing else.
    #[cfg(feature = "tls")]
    pub fn tls(self, tls: Tls) -> Self {
        Self { tls: Some(tls), ..self }
    }

    /// Serves from now on, in tasks of the runtime. `connect` is called for each connection, and
    /// returns the function that answers its requests.
    ///
    /// # Panics
    /// If called outside a tokio runtime.
    pub fn serve<C, A>(self, connect: C) -> Server
    where
        C: Fn(Peer) -> A + Send + Sync + 'static,
        A: Answer,
    {
        let server = Server::new(self.address);
        let accept = Accept {
            socket: self.socket,
            permits: Arc::new(Semaphore::new(self.max_connections)),
            connections: Arc::new(Connections {
                connect,
                #[cfg(feature = "tls")]
                tls: self.tls,
                context: Context {
                    max_body_len: self.max_body_len,
                    counters: Arc::clone(&server.counters),
                    stop: server.stop.clone(),
                },
            }),
        };
        accept.spawn(&server);
        server
    }
}

/// Accepts connections.
struct Accept<C> {
    socket: TcpListener,
    permits: Arc<Semaphore>,
    connections: Arc<Connections<C>>,
}

/// Serves each connection.
struct Connections<C> {
    connect: C,
    #[cfg(feature = "tls")]
    tls: Option<Tls>,
    context: Context,
}

impl<C, A> Accept<C>
where
    C: Fn(Peer) -> A + Send + Sync + 'static,
    A: Answer,
{
    fn spawn(self, server: &Server) {
        let (tasks, stop, abort) = (server.tasks.clone(), server.stop.clone(), server.abort.clone());
        server.tasks.spawn(async move {
            let mut backoff = Backoff::new(ACCEPT_PAUSES.0, ACCEPT_PAUSES.1);
            let mut is_failing = false;
            loop {
                let accepted = async {
                    let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(io::Error::other)?;
                    Ok::<_, io::Error>((permit, self.socket.accept().await?))
                };
                let Some(accepted) = stop.run_until_cancelled(accepted).await else { return };
                match accepted {
                    Ok((permit, (stream, address))) => {
                        is_failing = false;
                        backoff.reset();
                        self.connections.context.counters.add(HttpEvent::Connected);
                        let (connections, abort) = (Arc::clone(&self.connections), abort.clone());
                        tasks.spawn(async move {
                            abort.run_until_cancelled(connections.serve(stream, address.ip())).await;
                            drop(permit);
                        });
                    }
                    Err(error) => {
                        self.connections.context.counters.add(HttpEvent::AcceptFailed);
                        if is_of_one_connection(&error) {
                            continue;
                        }
                        if !is_failing {
                            tracing::warn!(%error, "cannot accept a connection");
                        }
                        is_failing = true;
                        stop.run_until_cancelled(sleep(backoff.next_delay())).await;
                    }
                }
            }
        });
        server.tasks.close();
    }
}

impl<C, A> Connections<C>
where
    C: Fn(Peer) -> A + Send + Sync + 'static,
    A: Answer,
{
    async fn serve(&self, stream: TcpStream, address: IpAddr) {
        let peer = Peer::new(address);
        let address = peer.address;
        // Responses are small, and written at once.
        drop(stream.set_nodelay(true));
        #[cfg(feature = "tls")]
        let outcome = match &self.tls {
            None => connection::serve(stream, (self.connect)(peer), &self.context).await,
            Some(tls) => {
                let Some((stream, certificates)) = tls.accept(stream, address, &self.context).await else { return };
                let peer = Peer { certificates, ..peer };
                connection::serve(stream, (self.connect)(peer), &self.context).await
            }
        };
        #[cfg(not(feature = "tls"))]
        let outcome = connection::serve(stream, (self.connect)(peer), &self.context).await;
        if let Err(error) = outcome {
            tracing::debug!(%address, %error, "a connection ended early");
        }
    }
}

/// Returns whether it concerns the connection alone, and not the system.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
