//! Errors of a client.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use pssst::ServerKey;

use crate::udp;

/// Errors of a client.
///
/// A server never answers what it refuses, so a wrong server key, a suite that the server does not
/// accept and a server that is not there all look alike: [`Error::Timeout`].
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The request timed out.
    Timeout {
        /// Packets sent, including retransmissions.
        sent: u32,
        /// Length of the last of them, in bytes. The network may not carry such packets.
        packet_len: usize,
        /// Packets refused as its reply: forged or damaged.
        refused: u32,
        /// The last error that the network reported, for instance that the port is closed. Anyone
        /// can forge it.
        last_network_error: Option<io::Error>,
    },
    /// The message does not fit into the longest datagram that the client may send.
    TooLarge {
        /// Length of the message, in bytes.
        message_len: usize,
        /// Length of the longest message, in bytes.
        /// [`ClientBuilder::max_datagram`](crate::ClientBuilder::max_datagram) raises it.
        limit: usize,
    },
    /// No packet of suite 0xf003 fits into the longest datagram that the client may send, and it
    /// has no [`fallback`](crate::ClientBuilder::fallback).
    MaxDatagramTooSmall {
        /// Length of the shortest packet, in bytes.
        needed: usize,
        /// Length of the longest datagram, in bytes.
        limit: usize,
    },
    /// The system, or the network on the way, does not take packets as long as the message's, to
    /// any known address of the server.
    ///
    /// Anyone can forge the reports of the network. So it takes two in a row, and a reply that
    /// comes before them counts.
    PathTooNarrow {
        /// The last address that was tried.
        address: SocketAddr,
        /// Length of the packet, in bytes.
        packet_len: usize,
        /// The MTU of the path to that address, if the system knows it: the length of the longest
        /// IP packet, with 28 bytes (IPv4) or 48 bytes (IPv6) of headers.
        path_mtu: Option<usize>,
    },
    /// The client was closed.
    Closed,
    /// No address of the server is known or can be sent to.
    Network(io::Error),
    /// The client does not hold its secret key, and its
    /// [`Credentials`](crate::Credentials) have no shared secret for this key of the server.
    /// A renewal at the pool's directory gives it.
    NoSharedSecret(Box<ServerKey>),
    /// The protocol refused: [`WeakKey`](pssst::Refusal::WeakKey) for a server key that must not be
    /// used, or [`RandomnessUnavailable`](pssst::Error::RandomnessUnavailable).
    Protocol(pssst::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout { sent, packet_len: _, refused, last_network_error } => {
                write!(f, "no reply in time (packets sent {sent}, refused {refused}")?;
                if let Some(error) = last_network_error {
                    write!(f, ", last error: {error}")?;
                }
                write!(f, ")")
            }
            Self::TooLarge { message_len, limit } => write!(
                f,
                "the message has {message_len} bytes, but a datagram has room for {limit}: raise max_datagram if the \
                 network takes longer datagrams"
            ),
            Self::MaxDatagramTooSmall { needed, limit } => write!(
                f,
                "suite 0xf003 needs datagrams of {needed} bytes, but {limit} may be sent: raise max_datagram, or give the \
                 client a fallback to suite 0xf002"
            ),
            Self::PathTooNarrow { address, packet_len, path_mtu } => {
                write!(f, "the network does not carry packets of {packet_len} bytes to {address}")?;
                if let Some(mtu) = path_mtu {
                    let limit = mtu.saturating_sub(udp::headers_len(*address));
                    write!(f, ", only of {limit} (the path's MTU is {mtu})")?;
                }
                Ok(())
            }
            Self::Closed => write!(f, "the client was closed"),
            Self::Network(error) => write!(f, "the server cannot be reached: {error}"),
            Self::NoSharedSecret(key) => {
                write!(f, "the client holds no secret key, and no shared secret for the server's key {}", key.label())
            }
            Self::Protocol(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Timeout { last_network_error: Some(error), .. } | Self::Network(error) => Some(error),
            Self::Protocol(error) => Some(error),
            _ => None,
        }
    }
}

impl From<pssst::Error> for Error {
    fn from(error: pssst::Error) -> Self {
        Self::Protocol(error)
    }
}

/// Returns an error of the system's, as often as it is needed.
pub(crate) fn copy_of(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use pssst::Refusal;

    use super::*;

    const ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)), 45678);

    #[test]
    fn errors_say_what_to_do() {
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        let timeout = Error::Timeout { sent: 3, packet_len: 97, refused: 1, last_network_error: Some(refused()) };
        for (error, text, has_source) in [
            (timeout, "no reply in time (packets sent 3, refused 1, last error: connection refused)", true),
            (
                Error::Timeout { sent: 0, packet_len: 0, refused: 0, last_network_error: None },
                "no reply in time (packets sent 0, refused 0)",
                false,
            ),
            (
                Error::TooLarge { message_len: 2000, limit: 1180 },
                "the message has 2000 bytes, but a datagram has room for 1180: raise max_datagram if the network takes \
                 longer datagrams",
                false,
            ),
            (
                Error::NoSharedSecret(Box::new(ServerKey::from_slice(&[0x5e; 32]).unwrap())),
                "the client holds no secret key, and no shared secret for the server's key \
                 pssst1te09uhj7te09uhj7te09uhj7te09uhj7te09uhj7te09uhj7te0q5lgeac",
                false,
            ),
            (
                Error::PathTooNarrow { address: ADDRESS, packet_len: 1232, path_mtu: Some(1000) },
                "the network does not carry packets of 1232 bytes to 192.0.2.1:45678, only of 972 (the path's MTU is 1000)",
                false,
            ),
            (
                Error::PathTooNarrow { address: ADDRESS, packet_len: 1232, path_mtu: None },
                "the network does not carry packets of 1232 bytes to 192.0.2.1:45678",
                false,
            ),
            (Error::Closed, "the client was closed", false),
            (Error::Network(refused()), "the server cannot be reached: connection refused", true),
            (Error::Protocol(Refusal::WeakKey.into()), "a public key or exchange value has low order", true),
        ] {
            assert_eq!((error.to_string().as_str(), error.source().is_some()), (text, has_source));
        }
    }
}
