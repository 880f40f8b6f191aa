//! Addresses and plain sockets.

use std::io;
use std::net::SocketAddr;

use pssst_service::Failure;
use pssst_support::host_port;

pub(crate) fn resolve(server: &str) -> Result<Vec<SocketAddr>, Failure> {
    host_port::resolve(server).map_err(|error| cannot_find(server, &error))
}

/// Returns whether this may be a server's name and port. Name servers are not asked.
pub(crate) fn check_server(server: &str) -> Result<(), Failure> {
    host_port::target(server).map(drop).map_err(|error| cannot_find(server, &error).of_option("server"))
}

/// Returns an address to be told to others, as it is.
pub(crate) fn address(text: &str) -> io::Result<String> {
    host_port::target(text).map(|_| text.to_owned())
}

/// Returns where clients reach a service: at its public address if it has one, else where it
/// listens, if that is a single address.
pub(crate) fn reachable_at(public_address: Option<&str>, local: SocketAddr) -> Option<String> {
    match public_address {
        Some(address) => Some(address.to_owned()),
        None => (!local.ip().is_unspecified()).then(|| local.to_string()),
    }
}

/// Why a server's name is of no use.
pub(crate) fn cannot_find(server: &str, error: &io::Error) -> Failure {
    if error.kind() == io::ErrorKind::InvalidInput {
        let remedy = "give a name or address and a port, as in localhost:45678, 192.0.2.7:45678 or [2001:db8::7]:45678";
        Failure::usage(format!("{server} is not a server address: {error}"), remedy)
    } else {
        let remedy =
            "check the spelling of the name, and that this machine's name servers know it (`getent hosts NAME`)";
        Failure::new(format!("cannot find {server}: {error}"), remedy)
    }
}

/// Returns what to do when an address cannot be listened at.
pub(crate) fn listen_remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "choose another port; `ss -lnptu` shows which process has this one",
        io::ErrorKind::AddrNotAvailable => "choose an address of this machine; `ip address` shows those that it has",
        io::ErrorKind::PermissionDenied => "ports below 1024 need root, or CAP_NET_BIND_SERVICE in the unit",
        _ => "check the address and the port",
    }
}

/// Returns whether receiving ended without a packet and without a fault.
pub(crate) fn is_silence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}
