//! Addresses and plain sockets.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

use pssst_service::Failure;

pub(crate) fn resolve(server: &str) -> Result<Vec<SocketAddr>, Failure> {
    let addresses: Vec<_> = server.to_socket_addrs().map_err(|error| cannot_find(server, &error))?.collect();
    if addresses.is_empty() {
        return Err(cannot_find(server, &io::Error::new(io::ErrorKind::NotFound, "it has no address")));
    }
    Ok(addresses)
}

/// Returns whether this may be a server's name and port. Name servers are not asked.
pub(crate) fn check_server(server: &str) -> Result<(), Failure> {
    let is_one = server.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
    let wrong = || io::Error::new(io::ErrorKind::InvalidInput, "expected a host, a colon and a port");
    if is_one { Ok(()) } else { Err(cannot_find(server, &wrong()).of_option("server")) }
}

/// Why a server's name is of no use.
pub(crate) fn cannot_find(server: &str, error: &io::Error) -> Failure {
    let remedy =
        "--server takes a name or address and a port, as in localhost:45678, 192.0.2.7:45678 or [2001:db8::7]:45678";
    if error.kind() == io::ErrorKind::InvalidInput {
        Failure::usage(format!("{server} is not a server address: {error}"), remedy)
    } else {
        Failure::new(format!("cannot find {server}: {error}"), remedy)
    }
}

/// Returns whether receiving ended without a packet and without a fault.
pub(crate) fn is_silence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}
