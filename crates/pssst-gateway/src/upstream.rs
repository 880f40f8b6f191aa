//! Upstreams: locations of services, and the meaning of their answers.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::str::FromStr;

use pssst_net::Reply;
use pssst_support::host_port;
use reqwest::Url;
use tokio::net::TcpStream;

use crate::error::Error;
use crate::stats::ExchangeOutcome;

pub(crate) mod http;
pub(crate) mod stream;
pub(crate) mod udp;

/// The location of a service behind a gateway.
///
/// `http://HOST/PATH` and `https://HOST/PATH`, `udp://HOST:PORT`, `tcp://HOST:PORT`, `unix:/PATH`.
/// Over TCP and Unix sockets a message has its length before it, in two bytes, the higher first, as
/// for DNS over TCP (RFC 1035, section 4.2.2).
///
/// ```
/// use pssst_gateway::Upstream;
///
/// let upstream: Upstream = "udp://localhost:53".parse()?;
/// assert_eq!(upstream.to_string(), "udp://localhost:53");
/// assert!("ftp://localhost".parse::<Upstream>().is_err());
/// # Ok::<(), pssst_gateway::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream(pub(crate) Location);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Location {
    Http(Url),
    /// Host and port.
    Udp(String),
    /// Host and port.
    Tcp(String),
    Unix(PathBuf),
}

/// Length of a socket's path in the system's interfaces, in bytes, with the zero that ends it.
const MAX_SOCKET_PATH: usize = 108;

/// An upstream's answer.
#[derive(Debug)]
pub(crate) enum Answer {
    Reply(Reply),
    Delivered,
    /// A status that is not a reply.
    Status {
        /// Whether the outcome is a failure of the upstream itself.
        is_failure: bool,
    },
}

/// Why an upstream gave no answer.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) outcome: ExchangeOutcome,
    /// The cause in words.
    pub(crate) cause: Option<String>,
}

impl Failure {
    pub(crate) const fn new(outcome: ExchangeOutcome) -> Self {
        Self { outcome, cause: None }
    }

    /// Returns the failure of an operation on a socket. What this machine lacks is not the fault of
    /// the upstream.
    pub(crate) fn of_io(error: &io::Error, otherwise: ExchangeOutcome) -> Self {
        let outcome = if is_local_shortage(error) { ExchangeOutcome::LocalShortage } else { otherwise };
        Self { outcome, cause: Some(error.to_string()) }
    }
}

/// Returns whether this machine lacks descriptors, ports or buffers.
#[cfg(unix)]
pub(crate) fn is_local_shortage(error: &io::Error) -> bool {
    use nix::errno::Errno;
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(errno, Some(Errno::EMFILE | Errno::ENFILE | Errno::EADDRNOTAVAIL | Errno::ENOBUFS | Errno::ENOMEM))
}

#[cfg(not(unix))]
pub(crate) fn is_local_shortage(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AddrNotAvailable | io::ErrorKind::OutOfMemory)
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            Some(cause) => write!(f, "{}: {cause}", self.outcome.name()),
            None => f.write_str(self.outcome.name()),
        }
    }
}

impl std::error::Error for Failure {}

impl Upstream {
    /// Opens a connection to the service and closes it, without a request. Of a UDP service it only
    /// finds the addresses. Returns the address that took the connection, or the first one.
    ///
    /// # Errors
    /// Those of the system: the name is unknown, or nothing listens there.
    pub async fn check_reachable(&self) -> io::Result<String> {
        let connect = async |host: String, port: u16| {
            let stream = TcpStream::connect((host, port)).await?;
            Ok(stream.peer_addr()?.to_string())
        };
        match &self.0 {
            Location::Http(url) => {
                // An IPv6 address is in brackets.
                let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
                connect(host.to_owned(), url.port_or_known_default().unwrap_or_default()).await
            }
            Location::Tcp(address) => {
                let (host, port) = host_port::target(address)?;
                connect(host.trim_matches(['[', ']']).to_owned(), port).await
            }
            Location::Udp(address) => {
                let mut found = tokio::net::lookup_host(address.clone()).await?;
                let found = found.next().ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "it has no address"))?;
                Ok(found.to_string())
            }
            #[cfg(unix)]
            Location::Unix(path) => {
                tokio::net::UnixStream::connect(path).await?;
                Ok(path.display().to_string())
            }
            #[cfg(not(unix))]
            Location::Unix(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Returns whether connections are opened to it, so that [`check_reachable`] tells whether
    /// something listens.
    ///
    /// [`check_reachable`]: Self::check_reachable
    pub const fn has_connections(&self) -> bool {
        !matches!(self.0, Location::Udp(_))
    }
}

impl FromStr for Upstream {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        // A text that cannot be parsed may contain a password.
        let refused = || if text.contains('@') { Error::Credentials } else { Error::InvalidUpstream };
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.starts_with('/') && path.len() < MAX_SOCKET_PATH {
                Ok(Self(Location::Unix(path.into())))
            } else {
                Err(refused())
            };
        }
        if let Some((scheme @ ("udp" | "tcp"), address)) = text.split_once("://") {
            let address = address.strip_suffix('/').unwrap_or(address);
            host_port::target(address).map_err(|_| refused())?;
            let address = address.to_owned();
            return Ok(Self(if scheme == "udp" { Location::Udp(address) } else { Location::Tcp(address) }));
        }
        let url = Url::parse(text).map_err(|_| refused())?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Error::Credentials);
        }
        // The parser takes `http:/HOST` as well.
        let is_http = text.contains("://") && matches!(url.scheme(), "http" | "https") && url.fragment().is_none();
        let has_host = url.host_str().is_some_and(|host| !host.is_empty());
        if is_http && has_host { Ok(Self(Location::Http(url))) } else { Err(refused()) }
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Location::Http(url) => url.fmt(f),
            Location::Udp(address) => write!(f, "udp://{address}"),
            Location::Tcp(address) => write!(f, "tcp://{address}"),
            Location::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_are_read_and_shown() {
        for text in [
            "http://localhost/",
            "http://127.0.0.1:8080/readings?from=gateway",
            "https://[::1]:8443/",
            "udp://127.0.0.1:53",
            "tcp://[::1]:9",
            "udp://dns.example:53",
            "udp://[fe80::1%eth0]:53",
            "tcp://[fe80::1%2]:53",
            "unix:/run/service",
        ] {
            assert_eq!(text.parse::<Upstream>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn other_locations_are_refused() {
        for text in [
            "",
            "localhost:53",
            "ftp://localhost",
            "http://",
            "http:/127.0.0.1",
            "http:localhost",
            "http://localhost/#part",
            "udp://localhost",
            "udp://localhost:0",
            "udp://localhost:70000",
            "udp://localhost:53/path",
            "udp://localhost:53?query",
            "tcp://:53",
            "udp://::1:53",
            "udp://[fe80::1%]:53",
            "http://[fe80::1%eth0]:8080/",
            "unix:",
            "unix:relative",
            &format!("unix:/{}", "a".repeat(107)),
        ] {
            assert!(matches!(text.parse::<Upstream>(), Err(Error::InvalidUpstream)), "{text}");
        }
        for text in [
            "http://user:secret@localhost/",
            "udp://secret@localhost:53",
            "http://user:secret@",
            "user:secret@localhost",
            "ftp://user:secret@localhost",
        ] {
            assert!(matches!(text.parse::<Upstream>(), Err(Error::Credentials)), "{text}");
        }
    }
}
