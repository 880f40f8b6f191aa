//! Ports of this machine, and the processes that have them.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};

/// The protocol of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    Udp,
    Tcp,
}

impl Transport {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
        }
    }
}

/// Takes a port and releases it, to see whether a service could have it.
pub(super) fn take(transport: Transport, address: SocketAddr) -> io::Result<()> {
    match transport {
        Transport::Udp => UdpSocket::bind(address).map(drop),
        Transport::Tcp => TcpListener::bind(address).map(drop),
    }
}

/// Returns the processes that have a port, as far as this user may see them: names and numbers.
#[cfg(target_os = "linux")]
pub(super) fn holders(transport: Transport, address: SocketAddr) -> Vec<String> {
    let tables = match transport {
        Transport::Udp => ["/proc/net/udp", "/proc/net/udp6"],
        Transport::Tcp => ["/proc/net/tcp", "/proc/net/tcp6"],
    };
    let tables = tables.into_iter().filter_map(|table| std::fs::read_to_string(table).ok());
    let sockets: Vec<_> = tables.flat_map(|table| inodes(&table, transport, address.port())).collect();
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut numbers: Vec<u32> = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    numbers.sort_unstable();
    let has_it = |number: &u32| {
        let files = std::fs::read_dir(format!("/proc/{number}/fd")).into_iter().flatten().flatten();
        files.filter_map(|file| std::fs::read_link(file.path()).ok()).any(|target| {
            target.to_str().is_some_and(|target| sockets.iter().any(|socket| format!("socket:[{socket}]") == target))
        })
    };
    let named = numbers.into_iter().filter(has_it).filter_map(|number| {
        let name = std::fs::read_to_string(format!("/proc/{number}/comm")).ok()?;
        Some(format!("{} (process {number})", name.trim()))
    });
    named.collect()
}

#[cfg(not(target_os = "linux"))]
pub(super) fn holders(_: Transport, _: SocketAddr) -> Vec<String> {
    Vec::new()
}

/// Returns the sockets of a table that have this local port; for TCP, those that listen.
#[cfg(any(target_os = "linux", test))]
fn inodes(table: &str, transport: Transport, port: u16) -> Vec<String> {
    const LISTEN: &str = "0A";
    let lines = table.lines().skip(1).filter_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let &[_, local, _, state, _, _, _, _, _, inode, ..] = fields.as_slice() else { return None };
        let is_it = local.rsplit_once(':').is_some_and(|(_, digits)| u16::from_str_radix(digits, 16) == Ok(port));
        (is_it && (transport == Transport::Udp || state == LISTEN)).then(|| inode.to_owned())
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_found_by_their_port() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
                     0: 0100007F:B26E 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 3977 2 0 0\n\
                     1: 0100007F:B26F 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 3978 2 0 0\n";
        assert_eq!(inodes(table, Transport::Udp, 45_678), ["3977"]);
        assert!(inodes(table, Transport::Tcp, 45_678).is_empty());
        assert_eq!(inodes(table, Transport::Tcp, 45_679), ["3978"]);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_process_that_has_a_port_is_named() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        assert_eq!(take(Transport::Udp, address).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        let found = holders(Transport::Udp, address);
        let own = format!("(process {})", std::process::id());
        assert!(found.iter().any(|holder| holder.ends_with(&own)), "{found:?}");
        drop(socket);
        take(Transport::Udp, address).unwrap();
    }
}
