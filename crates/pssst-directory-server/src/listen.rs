//! HTTPS connections: how many, how long, and how they end.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service;

use super::certificate::ServerCertificate;
use super::stats::{Counters, DirectoryEvent};
use crate::Error;
use pssst_directory::Pin;

const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// For the head of a request, from the end of the one before: so it is also how long a connection may be idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// For a request from its head on, until its answer begins.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
/// No connection is older, whatever it does: this also ends those that do not read their answers.
const MAX_AGE: Duration = Duration::from_mins(2);
/// For the request at hand when a connection is to end.
const LAST_REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of a head at most, kept for each connection.
const MAX_HEAD_LEN: usize = 16 * 1024;
/// After failures to accept: a second at most.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Who is at the other end, for handlers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer {
    pub(super) address: IpAddr,
    /// Of its certificate, which the authority of the operators has signed.
    pub(super) certificate: Option<Pin>,
}

/// How connections end.
#[derive(Clone, Debug, Default)]
pub(super) struct Ending {
    /// No further connection or request, please.
    pub(super) stop: CancellationToken,
    /// Nothing more at all.
    pub(super) abort: CancellationToken,
    pub(super) tasks: TaskTracker,
}

/// A socket that listens, and what it serves.
pub(super) struct Listener {
    pub(super) socket: TcpListener,
    pub(super) tls: Arc<ServerConfig>,
    pub(super) router: Router,
    pub(super) max_connections: usize,
}

/// Listens.
pub(super) async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), Error> {
    let listen = async {
        let socket = TcpListener::bind(address).await?;
        let address = socket.local_addr()?;
        Ok((socket, address))
    };
    listen.await.map_err(|error| Error::Listen(address, error))
}

/// TLS 1.3 for HTTP/1.1 with this certificate.
pub(super) fn tls(
    certificate: &ServerCertificate,
    clients: Arc<dyn ClientCertVerifier>,
) -> Result<Arc<ServerConfig>, Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(Error::certificate)?
        .with_client_cert_verifier(clients)
        .with_cert_resolver(certificate.resolver());
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // Every handshake is a whole one, and so shows the certificates of the day: devices come once an hour.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// Asks nobody for a certificate.
pub(super) fn no_clients() -> Arc<dyn ClientCertVerifier> {
    WebPkiClientVerifier::no_client_auth()
}

impl Listener {
    /// Accepts connections until it is told to stop. Those that are too many wait in the backlog of the system.
    pub(super) async fn run(self, counters: Arc<Counters>, ending: Ending) {
        let Self { socket, tls, router, max_connections } = self;
        let (permits, acceptor) = (Arc::new(Semaphore::new(max_connections)), TlsAcceptor::from(tls));
        let mut pause = FIRST_PAUSE;
        loop {
            let accepted = async {
                let permit = Arc::clone(&permits).acquire_owned().await.map_err(io::Error::other)?;
                Ok::<_, io::Error>((permit, socket.accept().await?))
            };
            match ending.stop.run_until_cancelled(accepted).await {
                None => return,
                Some(Ok((permit, (stream, address)))) => {
                    pause = FIRST_PAUSE;
                    counters.add(DirectoryEvent::Connected);
                    let connection = Connection {
                        router: router.clone(),
                        acceptor: acceptor.clone(),
                        address: address.ip().to_canonical(),
                        counters: Arc::clone(&counters),
                        stop: ending.stop.clone(),
                        _permit: permit,
                    };
                    let abort = ending.abort.clone();
                    ending.tasks.spawn(async move { abort.run_until_cancelled(connection.serve(stream)).await });
                }
                // The connection's own fault, not the system's.
                Some(Err(error)) if is_of_one_connection(&error) => counters.add(DirectoryEvent::AcceptFailed),
                Some(Err(error)) => {
                    counters.add(DirectoryEvent::AcceptFailed);
                    if pause == FIRST_PAUSE {
                        tracing::warn!(%error, "no connection can be accepted");
                    }
                    sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }
}

struct Connection {
    router: Router,
    acceptor: TlsAcceptor,
    address: IpAddr,
    counters: Arc<Counters>,
    stop: CancellationToken,
    /// One of as many connections as there may be.
    _permit: OwnedSemaphorePermit,
}

impl Connection {
    async fn serve(self, stream: TcpStream) {
        // Answers are small, and written at once.
        drop(stream.set_nodelay(true));
        let handshake = timeout(HANDSHAKE_TIMEOUT, self.acceptor.accept(stream));
        let stream = match self.stop.run_until_cancelled(handshake).await {
            Some(Ok(Ok(stream))) => stream,
            Some(Ok(Err(error))) => {
                self.counters.add(DirectoryEvent::HandshakeFailed);
                tracing::debug!(address = %self.address, %error, "no TLS handshake");
                return;
            }
            Some(Err(_)) => return self.counters.add(DirectoryEvent::HandshakeTimedOut),
            None => return,
        };
        let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let peer = Peer { address: self.address, certificate: certificate.and_then(|it| Pin::of(it).ok()) };

        let answer = service_fn(|request| self.answer(peer, request));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(MAX_HEAD_LEN)
            .serve_connection(TokioIo::new(stream), answer);
        let mut connection = pin!(connection);
        let outcome = tokio::select! {
            outcome = connection.as_mut() => outcome,
            () = async { drop(timeout(MAX_AGE, self.stop.cancelled()).await) } => {
                connection.as_mut().graceful_shutdown();
                timeout(LAST_REQUEST_TIMEOUT, connection).await.unwrap_or(Ok(()))
            }
        };
        if let Err(error) = outcome {
            tracing::debug!(address = %self.address, %error, "a connection ended early");
        }
    }

    async fn answer(&self, peer: Peer, request: hyper::Request<Incoming>) -> Result<Response, Infallible> {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(peer);
        // A router is always ready.
        let answer = self.router.clone().call(request);
        let Ok(response) = timeout(REQUEST_TIMEOUT, answer).await else {
            self.counters.add(DirectoryEvent::RequestTimedOut);
            let close = [(header::CONNECTION, HeaderValue::from_static("close"))];
            return Ok((StatusCode::REQUEST_TIMEOUT, close).into_response());
        };
        response
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
