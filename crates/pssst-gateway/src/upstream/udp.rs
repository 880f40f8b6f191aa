//! Upstreams that answer a datagram with a datagram.

use std::io;
use std::net::SocketAddr;
use std::sync::Mutex;

use bytes::Bytes;
use pssst_net::udp::Resolver;
use pssst_net::{Reply, udp};
use pssst_support::sync::lock;

use super::{Answer, Failure};
use crate::stats::ExchangeOutcome;

/// An upstream, and where a worker receives its answers, one after another.
///
/// A message leaves from a socket of its own, and the first datagram that comes back is the answer.
/// A socket for each request costs some microseconds. In return a late answer never reaches another
/// request, which may be another client's, and the port is unpredictable.
#[derive(Debug)]
pub(crate) struct UdpUpstream {
    addresses: Resolver,
    /// One byte longer than the longest answer, which reveals longer ones.
    buffer: Mutex<Box<[u8]>>,
}

impl UdpUpstream {
    pub(crate) fn new(addresses: Resolver, max_reply: usize) -> Self {
        Self { addresses, buffer: Mutex::new(vec![0; max_reply + 1].into()) }
    }

    pub(crate) async fn call(&self, message: &[u8], is_one_way: bool) -> Result<Answer, Failure> {
        let address =
            self.addresses.address().await.map_err(|error| Failure::of_io(&error, ExchangeOutcome::Unreachable))?;
        let guard = self.addresses.suspect(Some(address));
        let outcome = self.exchange(address, message, is_one_way).await.map_err(|error| failure(&error));
        if !matches!(outcome, Err(Failure { outcome: ExchangeOutcome::Unreachable, .. })) {
            guard.clear();
        }
        outcome?.ok_or(Failure::new(ExchangeOutcome::TooLarge))
    }

    /// `None` if the answer is too long.
    async fn exchange(&self, address: SocketAddr, message: &[u8], is_one_way: bool) -> io::Result<Option<Answer>> {
        let socket = udp::connect_async(address)?;
        socket.send(message).await?;
        if is_one_way {
            return Ok(Some(Answer::Delivered));
        }
        loop {
            udp::readable(&socket).await?;
            let mut buffer = lock(&self.buffer);
            match udp::try_receive(&socket, &mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                outcome => {
                    let answer = buffer.get(..outcome?).filter(|answer| answer.len() < buffer.len());
                    return Ok(answer.map(|answer| Answer::Reply(Reply::from(Bytes::copy_from_slice(answer)))));
                }
            }
        }
    }
}

fn failure(error: &io::Error) -> Failure {
    let outcome = match error.raw_os_error().map(|_| error.kind()) {
        Some(io::ErrorKind::ConnectionRefused | io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable) => {
            ExchangeOutcome::Unreachable
        }
        _ if udp::is_too_large(error) => ExchangeOutcome::TooLarge,
        _ => ExchangeOutcome::Broken,
    };
    Failure::of_io(error, outcome)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::net::UdpSocket;

    use super::*;

    /// Like a machine without power: no answer, and no error of the network.
    #[tokio::test]
    async fn an_address_that_says_nothing_is_left_for_another() {
        let dead = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let alive = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let addresses = {
            let all = vec![dead.local_addr().unwrap(), alive.local_addr().unwrap()];
            Resolver::with_lookup(move || std::future::ready(Ok(all.clone())))
        };
        let upstream = UdpUpstream::new(addresses, 100);
        let lost = tokio::time::timeout(Duration::from_millis(100), upstream.call(b"hello", false)).await;
        assert!(lost.is_err());
        let answer = async {
            let mut message = [0; 100];
            let (len, peer) = alive.recv_from(&mut message).await.unwrap();
            alive.send_to(&message[..len], peer).await.unwrap();
        };
        let both = async { tokio::join!(upstream.call(b"hello", false), answer).0 };
        let asked = tokio::time::timeout(Duration::from_secs(20), both).await.unwrap();
        assert!(matches!(asked, Ok(Answer::Reply(reply)) if &reply.message()[..] == b"hello"));
    }
}
