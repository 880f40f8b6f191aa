//! Accepting connections.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use pssst_support::Backoff;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use crate::answer::{Answer, Peer};
use crate::connection::{self, Context};
use crate::server::Server;
use crate::slots::{Slot, Slots};
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
    is_for_probes: bool,
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
            is_for_probes: false,
            #[cfg(feature = "tls")]
            tls: None,
        })
    }

    /// Returns the address at which it listens.
    pub const fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Sets the number of connections at a time: 64 by default, at least 1.
    ///
    /// A new one takes the place of the one that has been idle for the longest time, of the source
    /// (IPv4 /24, IPv6 /56) with the most connections. It waits while all have a request in
    /// progress. A source with requests in progress in a quarter of all is refused.
    pub fn max_connections(self, max_connections: usize) -> Self {
        Self { max_connections: max_connections.max(1), ..self }
    }

    /// Serves one request for each connection, within seconds: for health checks, which must be
    /// answered whatever others hold open.
    pub fn for_probes(self) -> Self {
        Self { is_for_probes: true, ..self }
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
            slots: Arc::new(Slots::new(self.max_connections)),
            connections: Arc::new(Connections {
                connect,
                #[cfg(feature = "tls")]
                tls: self.tls,
                context: Context {
                    max_body_len: self.max_body_len,
                    is_for_probes: self.is_for_probes,
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
    slots: Arc<Slots>,
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
                    let (stream, address) = self.socket.accept().await?;
                    let address = address.ip().to_canonical();
                    Ok::<_, io::Error>((stream, address, self.slots.take(address).await))
                };
                let Some(accepted) = stop.run_until_cancelled(accepted).await else { return };
                match accepted {
                    // Closed without a word: it would cost more to tell.
                    Ok((_, _, None)) => self.connections.context.counters.add(HttpEvent::SourceRefused),
                    Ok((stream, address, Some((slot, has_evicted)))) => {
                        is_failing = false;
                        backoff.reset();
                        self.connections.context.counters.add(HttpEvent::Connected);
                        if has_evicted {
                            self.connections.context.counters.add(HttpEvent::Evicted);
                        }
                        let (connections, abort) = (Arc::clone(&self.connections), abort.clone());
                        tasks.spawn(async move {
                            tokio::select! {
                                () = connections.serve(stream, address, &slot) => {}
                                () = slot.evicted() => {}
                                () = abort.cancelled() => {}
                            }
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
    async fn serve(&self, stream: TcpStream, address: IpAddr, slot: &Slot) {
        let peer = Peer::new(address);
        let address = peer.address;
        // Responses are small, and written at once.
        drop(stream.set_nodelay(true));
        #[cfg(feature = "tls")]
        let outcome = match &self.tls {
            None => connection::serve(stream, (self.connect)(peer), &self.context, slot).await,
            Some(tls) => {
                let Some((stream, certificates)) = tls.accept(stream, address, &self.context).await else { return };
                let peer = Peer { certificates, ..peer };
                connection::serve(stream, (self.connect)(peer), &self.context, slot).await
            }
        };
        #[cfg(not(feature = "tls"))]
        let outcome = connection::serve(stream, (self.connect)(peer), &self.context, slot).await;
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
