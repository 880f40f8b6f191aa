//! Addresses of other machines as people write them: `HOST:PORT`.

use std::io;
use std::net::{Ipv6Addr, SocketAddr, ToSocketAddrs};

/// Splits a host and a port, as in `pool.example:45678`, `192.0.2.7:45678`, `[2001:db8::7]:45678`
/// and `[fe80::7%eth0]:45678` (RFC 4007, section 11). The host is returned without brackets.
///
/// # Errors
/// [`io::ErrorKind::InvalidInput`] for any other text.
///
/// ```
/// use pssst_support::host_port;
///
/// assert_eq!(host_port::split("[fe80::7%eth0]:45678")?, ("fe80::7%eth0", 45678));
/// assert!(host_port::split("pool.example").is_err());
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn split(text: &str) -> io::Result<(&str, u16)> {
    parse(text).ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidInput, "expected HOST:PORT, with brackets around an IPv6 address")
    })
}

fn parse(text: &str) -> Option<(&str, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    // A number may begin with a sign for `parse`.
    let port = if port.bytes().all(|byte| byte.is_ascii_digit()) { port.parse().ok()? } else { return None };
    if let Some(address) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        let (ip, zone) = address.split_once('%').map_or((address, None), |(ip, zone)| (ip, Some(zone)));
        let is_zone = zone.is_none_or(|zone| !zone.is_empty() && zone.chars().all(is_of_a_name));
        return (is_zone && ip.parse::<Ipv6Addr>().is_ok()).then_some((address, port));
    }
    (!host.is_empty() && host.chars().all(is_of_a_name)).then_some((host, port))
}

fn is_of_a_name(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '-' | '.' | '_')
}

/// Splits a host and a port that can be sent to.
///
/// # Errors
/// [`io::ErrorKind::InvalidInput`], also for port 0.
pub fn target(text: &str) -> io::Result<(&str, u16)> {
    match split(text)? {
        (_, 0) => Err(io::Error::new(io::ErrorKind::InvalidInput, "nothing can be sent to port 0")),
        target => Ok(target),
    }
}

/// Asks the system for the addresses of `HOST:PORT`. Blocks.
///
/// # Errors
/// The errors of [`target`] and of the system; [`io::ErrorKind::NotFound`] for a name without
/// addresses.
pub fn resolve(text: &str) -> io::Result<Vec<SocketAddr>> {
    let (host, port) = target(text)?;
    let addresses: Vec<_> = (host, port).to_socket_addrs()?.collect();
    if addresses.is_empty() { Err(io::Error::new(io::ErrorKind::NotFound, "it has no address")) } else { Ok(addresses) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports_are_split() {
        for (text, expected) in [
            ("localhost:1", ("localhost", 1)),
            ("192.0.2.7:0", ("192.0.2.7", 0)),
            ("bücher.example:65535", ("bücher.example", 65535)),
            ("[::1]:2", ("::1", 2)),
            ("[fe80::1%eth0.7]:3", ("fe80::1%eth0.7", 3)),
            ("[fe80::1%2]:3", ("fe80::1%2", 3)),
        ] {
            assert_eq!(split(text).unwrap(), expected);
        }
        for text in [
            "",
            ":1",
            "a",
            "a:",
            "a:b",
            "a:+1",
            "a:65536",
            "::1:1",
            "[::1]",
            "[a]:1",
            "[::1%]:1",
            "[::1%a b]:1",
            "a b:1",
            "[::1:1",
            "::1]:1",
            "user@a:1",
            "a/b:1",
            "fe80::1%eth0:1",
        ] {
            assert_eq!(split(text).unwrap_err().kind(), io::ErrorKind::InvalidInput, "{text}");
        }
    }

    /// Loopback is an interface of every machine; on Linux it has this name and number.
    #[cfg(target_os = "linux")]
    #[test]
    fn zones_have_names_and_numbers() {
        for text in ["[fe80::1%lo]:7", "[fe80::1%1]:7"] {
            let [SocketAddr::V6(address)] = resolve(text).unwrap()[..] else { panic!("{text}") };
            assert_eq!((address.scope_id(), address.port()), (1, 7), "{text}");
        }
        assert!(resolve("[fe80::1%nosuch]:7").is_err());
        assert!(resolve("127.0.0.1:0").is_err());
        assert_eq!(resolve("127.0.0.1:7").unwrap(), ["127.0.0.1:7".parse().unwrap()]);
    }
}
