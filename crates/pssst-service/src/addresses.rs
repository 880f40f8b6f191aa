//! The parser of addresses of this machine, for options.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use pssst_support::host_port;

/// Parses the address and port of a listener: `192.0.2.7:45678`, `[::]:45678`, `localhost:45678`
/// (127.0.0.1) or `[fe80::7%eth0]:45678`.
///
/// # Errors
/// What to give instead.
pub fn listen(text: &str) -> Result<SocketAddr, String> {
    const EXPECTED: &str = "give an address of this machine and a port, such as 127.0.0.1:45678, or [::]:45678 for all \
                            addresses";
    let (host, port) = host_port::split(text).map_err(|_| EXPECTED)?;
    if host == "localhost" {
        return Ok((Ipv4Addr::LOCALHOST, port).into());
    }
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok((ip, port).into());
    }
    if !host.contains('%') {
        return Err(format!("{host} is a name; {EXPECTED}"));
    }
    let addresses = host_port::resolve(&format!("[{host}]:1"));
    let addresses = addresses.map_err(|_| "this machine has no such network interface".to_owned())?;
    let mut address = addresses.into_iter().next().ok_or(EXPECTED)?;
    address.set_port(port);
    Ok(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_this_machine_are_read() {
        for (text, expected) in [
            ("127.0.0.1:0", "127.0.0.1:0"),
            ("[::]:45678", "[::]:45678"),
            ("localhost:45678", "127.0.0.1:45678"),
            #[cfg(target_os = "linux")]
            ("[fe80::1%lo]:0", "[fe80::1%1]:0"),
        ] {
            assert_eq!(listen(text).map(|address| address.to_string()).as_deref(), Ok(expected));
        }
        for (text, expected) in [
            (":45678", "such as 127.0.0.1:45678"),
            ("45678", "such as 127.0.0.1:45678"),
            ("127.0.0.1", "such as 127.0.0.1:45678"),
            ("pool.example:45678", "pool.example is a name"),
            ("[fe80::1%nosuch]:7", "no such network interface"),
        ] {
            assert!(listen(text).unwrap_err().contains(expected), "{text}");
        }
    }
}
