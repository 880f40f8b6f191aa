//! Upstreams that answer a datagram with a datagram.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use pssst_net::Reply;
use tokio::io::Interest;
use tokio::net::UdpSocket;

use crate::guard::{Answer, Failure};
use crate::stats::GatewayOutcome;
use crate::target::Target;

/// Sends a message from a socket of its own, and takes the first datagram that comes back.
///
/// A socket for each request costs some microseconds, and a late answer to one request can then never be taken for the answer to
/// another, which may be somebody else's. Its port is one that nobody can foresee.
pub(crate) async fn ask(
    target: &Arc<Target>,
    message: &Bytes,
    max_reply: usize,
    is_one_way: bool,
) -> Result<Answer, Failure> {
    let address = target.address().await.map_err(|_| Failure(GatewayOutcome::Unreachable))?;
    let outcome = exchange(address, message, max_reply, is_one_way).await.map_err(|error| failure(&error));
    if matches!(outcome, Err(Failure(GatewayOutcome::Unreachable))) {
        target.avoid(address);
    }
    outcome?.ok_or(Failure(GatewayOutcome::TooLarge))
}

/// `None` if the answer is too long.
async fn exchange(
    address: SocketAddr,
    message: &[u8],
    max_reply: usize,
    is_one_way: bool,
) -> io::Result<Option<Answer>> {
    let any: IpAddr = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(address).await?;
    socket.send(message).await?;
    if is_one_way {
        return Ok(Some(Answer::Delivered));
    }
    // One byte more shows what is too long.
    let mut answer = vec![0; max_reply + 1];
    let len = receive(&socket, &mut answer).await?;
    if len > max_reply {
        return Ok(None);
    }
    Ok(Some(Answer::Reply(Reply::from(Bytes::copy_from_slice(answer.get(..len).unwrap_or_default())))))
}

/// The next datagram, or what the network has to report. Tokio's own `recv` would sleep on where there is only an error to tell.
async fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        socket.ready(Interest::READABLE | Interest::ERROR).await?;
        let error = || Err(socket.take_error()?.unwrap_or_else(|| io::ErrorKind::WouldBlock.into()));
        let outcome = match socket.try_io(Interest::ERROR, error) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => socket.try_recv(buffer),
            outcome => outcome,
        };
        match outcome {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            outcome => return outcome,
        }
    }
}

fn failure(error: &io::Error) -> Failure {
    tracing::debug!(%error, "the upstream's network reports");
    match error.raw_os_error().map(|_| error.kind()) {
        Some(io::ErrorKind::ConnectionRefused | io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable) => {
            Failure(GatewayOutcome::Unreachable)
        }
        _ if is_too_long(error) => Failure(GatewayOutcome::TooLarge),
        _ => Failure(GatewayOutcome::Broken),
    }
}

/// Whether the system refuses a datagram for its length.
fn is_too_long(error: &io::Error) -> bool {
    // EMSGSIZE, which has no kind of its own.
    cfg!(target_os = "linux") && error.raw_os_error() == Some(90)
}
