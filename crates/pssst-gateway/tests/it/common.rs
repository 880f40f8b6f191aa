//! A client, a server with a gateway, and services behind it.

use std::time::Duration;

use pssst_gateway::{ExchangeOutcome, Gateway, GatewayBuilder, Upstream};
use pssst_net::pssst::{PublicKey, SecretKey};
use pssst_net::{Client, Error, Retry, Server, ServerConfig};
use pssst_test::{PATIENCE, random_secret, until, wait_for_value};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

/// How long something is waited for that must not happen.
const SILENCE: Duration = Duration::from_millis(400);

/// A client, and a server that asks a gateway.
pub(crate) struct Chain {
    pub(crate) gateway: Gateway,
    pub(crate) identity: PublicKey,
    pub(crate) server: Server,
    server_key: PublicKey,
    client: Client,
    anonymous: Client,
}

impl Chain {
    pub(crate) async fn new(builder: GatewayBuilder) -> Self {
        Self::with_workers(builder, 1).await
    }

    pub(crate) async fn with_workers(builder: GatewayBuilder, workers: usize) -> Self {
        let gateway = builder.build().unwrap();
        let [secret, identity] = [(); 2].map(|()| random_secret());
        let server_key = secret.public_key();
        let config = ServerConfig::new(secret, gateway.handler());
        let server = Server::builder()
            .workers(workers)
            .max_datagram(65_507)
            .bind("127.0.0.1:0")
            .unwrap()
            .serve(config.max_amplification(None).max_authenticated_amplification(None))
            .unwrap();
        let client = connect(&server, server_key, Some(&identity)).await;
        let anonymous = connect(&server, server_key, None).await;
        Self { gateway, identity: identity.public_key(), server, server_key, client, anonymous }
    }

    /// Returns the upstream's answer to the authenticated client.
    pub(crate) async fn ask(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        self.client.request_within(PATIENCE, message).await.map(Vec::from)
    }

    pub(crate) async fn ask_anonymously(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        self.anonymous.request_within(PATIENCE, message).await.map(Vec::from)
    }

    /// Whether a request stays without an answer.
    pub(crate) async fn is_silent(&self, message: &[u8]) -> bool {
        matches!(self.client.request_within(SILENCE, message).await, Err(Error::Timeout { .. }))
    }

    pub(crate) async fn send(&self, message: &[u8]) {
        self.client.send(message).await.unwrap();
    }

    /// Returns another client with a socket of its own, which may reach another worker.
    pub(crate) async fn another_client(&self) -> Client {
        connect(&self.server, self.server_key, None).await
    }

    /// Waits until so many requests are with the upstream.
    pub(crate) async fn until_in_flight(&self, requests: usize) {
        until("so many requests are in flight", async || self.gateway.stats().in_flight >= requests).await;
    }

    /// All outcomes so far, once so many requests have ended and none is with the upstream.
    #[track_caller]
    pub(crate) fn outcomes(&self, expected: &[(ExchangeOutcome, u64)]) {
        wait_for_value("the outcomes", || {
            let stats = self.gateway.stats();
            let outcomes: Vec<_> = stats.outcomes().filter(|(_, count)| *count > 0).collect();
            if outcomes == expected && stats.in_flight == 0 { Ok(()) } else { Err((outcomes, stats.in_flight)) }
        });
    }
}

async fn connect(server: &Server, key: PublicKey, identity: Option<&SecretKey>) -> Client {
    let mut builder =
        Client::builder(key).max_datagram(65_507).retry(Retry { initial_timeout: PATIENCE, max_retransmits: 0 });
    if let Some(identity) = identity {
        builder = builder.identity(identity);
    }
    builder.connect(server.local_addr().to_string()).await.unwrap()
}

pub(crate) fn gateway_to(upstream: impl AsRef<str>) -> GatewayBuilder {
    Gateway::builder(upstream.as_ref().parse::<Upstream>().unwrap()).timeout(PATIENCE)
}

/// A service over UDP: what each datagram is answered with, if it is.
pub(crate) async fn udp(mut answer: impl FnMut(&[u8]) -> Option<Vec<u8>> + Send + 'static) -> String {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let location = format!("udp://{}", socket.local_addr().unwrap());
    tokio::spawn(async move {
        let mut buffer = vec![0; 65_535];
        while let Ok((len, peer)) = socket.recv_from(&mut buffer).await {
            if let Some(answer) = answer(&buffer[..len]) {
                drop(socket.send_to(&answer, peer).await);
            }
        }
    });
    location
}

/// A service over TCP that handles each connection by itself.
pub(crate) async fn tcp<F: Future<Output = ()> + Send>(
    handle: impl Fn(TcpStream) -> F + Clone + Send + Sync + 'static,
) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            let handle = handle.clone();
            tokio::spawn(async move { handle(connection).await });
        }
    });
    address
}

/// Reads a message with its length before it; `None` at the end.
pub(crate) async fn read_frame(connection: &mut (impl AsyncReadExt + Unpin)) -> Option<Vec<u8>> {
    let len = connection.read_u16().await.ok()?;
    let mut message = vec![0; len.into()];
    connection.read_exact(&mut message).await.ok()?;
    Some(message)
}

pub(crate) async fn write_frame(connection: &mut (impl AsyncWriteExt + Unpin), message: &[u8]) {
    connection.write_u16(message.len().try_into().unwrap()).await.unwrap();
    connection.write_all(message).await.unwrap();
}

/// Reads the head and the body of a request over HTTP/1.1; `None` at the end.
pub(crate) async fn read_http(connection: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(connection.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    let len = head.lines().find_map(|line| line.strip_prefix("content-length: "))?.parse().unwrap();
    let mut body = vec![0; len];
    connection.read_exact(&mut body).await.ok()?;
    Some((head, body))
}
