//! Helpers that the tests of the server share: keys, and a client that is as plain as can be.

#![allow(dead_code, reason = "each test program uses some of it")]

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use pssst_net::pssst::{Client, PendingReply, SecretKey, Suite, SysRng};
use pssst_net::{DatagramOutcome, Handler, Reply, Request, Server, ServerBuilder, ServerConfig, Stats};
pub(crate) use pssst_test::PATIENCE;
use tokio::sync::watch;

/// Long enough for what must not arrive, on loopback.
pub(crate) const SILENCE: Duration = Duration::from_millis(200);

pub(crate) fn server_secret() -> SecretKey {
    SecretKey::from_bytes([7; 32])
}

pub(crate) fn identity() -> SecretKey {
    SecretKey::from_bytes([9; 32])
}

pub(crate) fn builder() -> ServerBuilder {
    Server::builder().workers(1)
}

pub(crate) fn config(handler: Handler) -> ServerConfig {
    ServerConfig::new(server_secret(), handler)
}

pub(crate) fn client(suite: Suite) -> Client {
    Client::new(server_secret().public_key()).unwrap().with_suite(suite).unwrap()
}

/// The suites of X25519 keys.
pub(crate) const SUITES: [Suite; 2] = [Suite::X25519AesGcm128, Suite::X25519Aes256GcmSiv];

/// A client of suite 1, the suite that the runtime does most about.
pub(crate) fn anonymous() -> Client {
    client(Suite::X25519AesGcm128)
}

pub(crate) fn authenticated() -> Client {
    anonymous().with_identity(&identity()).unwrap()
}

pub(crate) fn echo() -> Handler {
    Handler::from_fn(|request: Request<&[u8]>| Some(Reply::copy_from(request.message())))
}

/// An echo that answers nothing until it is released.
pub(crate) fn held() -> (Handler, watch::Sender<bool>) {
    let (release, released) = watch::channel(false);
    let handler = Handler::from_service(tower::service_fn(move |request: Request| {
        let mut released = released.clone();
        async move {
            released.wait_for(|released| *released).await?;
            Ok::<_, watch::error::RecvError>(Some(Reply::from(request.into_message())))
        }
    }));
    (handler, release)
}

pub(crate) fn sealed(client: &Client, message: &[u8]) -> (Vec<u8>, PendingReply) {
    client.seal_request_to_vec(&mut SysRng, message).unwrap()
}

/// A socket on any port of an address, on which nothing is waited for endlessly.
pub(crate) fn socket(address: impl Into<IpAddr>) -> UdpSocket {
    let socket = UdpSocket::bind((address.into(), 0)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// The next datagram.
#[track_caller]
pub(crate) fn receive(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut buffer = vec![0; 65_535];
    loop {
        match socket.recv_from(&mut buffer) {
            Ok((len, peer)) => return (buffer[..len].to_vec(), peer),
            // As when the machine is suspended.
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => panic!("nothing arrived: {error}"),
        }
    }
}

/// Nothing arrives, as long as is waited for it.
#[track_caller]
pub(crate) fn expect_silence(socket: &UdpSocket) {
    socket.set_read_timeout(Some(SILENCE)).unwrap();
    assert!(socket.recv(&mut [0; 100]).is_err(), "something arrived");
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
}

/// Sends a message from a socket, and returns the reply's message and its sender.
#[track_caller]
pub(crate) fn ask(socket: &UdpSocket, server: SocketAddr, client: &Client, message: &[u8]) -> (Vec<u8>, SocketAddr) {
    let (packet, pending) = sealed(client, message);
    socket.send_to(&packet, server).unwrap();
    let (mut reply, from) = receive(socket);
    (pending.open(&mut reply).unwrap().to_vec(), from)
}

/// Waits until the server's figures are as they should be.
#[track_caller]
pub(crate) fn wait_for(server: &Server, what: impl Fn(&Stats) -> bool) -> Stats {
    pssst_test::wait_for_value("the server's figures", || {
        let stats = server.stats();
        if what(&stats) { Ok(stats) } else { Err(nonzero(&stats)) }
    })
}

/// How datagrams ended, without the ways in which none did.
pub(crate) fn nonzero(stats: &Stats) -> Vec<(DatagramOutcome, u64)> {
    stats.outcomes().filter(|(_, count)| *count > 0).collect()
}

/// Bytes of this process that are in memory.
#[cfg(target_os = "linux")]
pub(crate) fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_ascii_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}
