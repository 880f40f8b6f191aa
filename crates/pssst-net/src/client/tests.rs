//! The client on a network that does what a test tells it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use pssst::{PublicKey, SecretKey, Server};
use tokio::task::JoinHandle;

use super::{Client, ClientBuilder, ClientStats};
use crate::{Error, Retry};
use fake::{Fake, settle};

mod credentials;
mod fake;
mod fallback;
mod hints;
mod limits;
mod replies;
mod resends;
mod routes;
mod secrecy;

const A: SocketAddr = address(1);
const B: SocketAddr = address(2);
const C: SocketAddr = address(3);

const fn address(host: u8) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(192, 0, 2, host)), 45678)
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn server_secret() -> SecretKey {
    SecretKey::from_bytes([0x5e; 32])
}

/// For the server of [`server_secret`], with a minute for each request.
fn builder() -> ClientBuilder {
    Client::builder(server_secret().public_key()).timeout(seconds(60))
}

async fn connect(net: &Fake, builder: ClientBuilder) -> Client {
    builder.connect_on(Arc::new(net.clone()), "server.example:45678").await.unwrap()
}

/// Returns a client on a network where the server has these addresses.
async fn start(addresses: &[SocketAddr]) -> (Fake, Client) {
    let net = Fake::new(addresses);
    let client = connect(&net, builder()).await;
    (net, client)
}

/// Starts a request, up to where it waits.
async fn begin(client: &Client, message: impl AsRef<[u8]> + Send + 'static) -> JoinHandle<Result<Bytes, Error>> {
    let client = client.clone();
    let request = tokio::spawn(async move { client.request(message).await });
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    request
}

/// Returns the reply of a server with this key to a request: `message`, or the request's own.
fn answer(secret: &SecretKey, packet: &[u8], message: Option<&[u8]>) -> Vec<u8> {
    let mut packet = packet.to_vec();
    let server = Server::new(secret.clone());
    let request = server.open_request(&mut packet).unwrap();
    let message = message.unwrap_or_else(|| request.message()).to_vec();
    request.into_reply_sealer().seal_to_vec(&mut pssst::SysRng, &message).unwrap()
}

/// Returns the reply of the true server, which sends the message back.
fn echo(packet: &[u8]) -> Vec<u8> {
    answer(&server_secret(), packet, None)
}

/// Packets refused for a cause.
fn refused(stats: &ClientStats, cause: &str) -> u64 {
    stats.refused_by_cause().find(|(refusal, _)| refusal.name() == cause).unwrap().1
}

/// Returns a timeout's numbers, and the kind of its last error.
fn timeout(outcome: Result<Bytes, Error>) -> (u32, u32, Option<std::io::ErrorKind>) {
    match outcome {
        Err(Error::Timeout { sent, refused, last_network_error, .. }) => {
            (sent, refused, last_network_error.map(|error| error.kind()))
        }
        other => panic!("not a timeout: {other:?}"),
    }
}
