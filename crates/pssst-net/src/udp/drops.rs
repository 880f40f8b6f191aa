//! Counts of datagrams that the kernel dropped before the server could receive them.

use std::io;
use std::net::UdpSocket;

/// The sockets whose drops are counted. They are kept open, so that there is an answer after the
/// workers have ended.
#[derive(Debug)]
pub(crate) struct KernelDrops {
    sockets: Vec<UdpSocket>,
    /// The count when the sockets were closed.
    last: Option<u64>,
    /// Drops from before this process had the sockets.
    before: u64,
}

impl KernelDrops {
    pub(crate) fn of(sockets: &[UdpSocket]) -> io::Result<Self> {
        let sockets = sockets.iter().map(UdpSocket::try_clone).collect::<io::Result<_>>()?;
        let mut drops = Self { sockets, last: None, before: 0 };
        drops.before = drops.count().unwrap_or_default();
        Ok(drops)
    }

    /// Closes the sockets, and keeps the answer.
    pub(crate) fn close(&mut self) {
        self.last = self.count();
        self.sockets.clear();
    }
}

#[cfg(target_os = "linux")]
impl KernelDrops {
    /// Datagrams dropped for want of room in the sockets' buffers, since we have them.
    pub(crate) fn count(&self) -> Option<u64> {
        if self.sockets.is_empty() {
            return self.last;
        }
        let inodes: Vec<_> = self.sockets.iter().filter_map(inode).collect();
        let tables = ["/proc/self/net/udp", "/proc/self/net/udp6"];
        let tables: Vec<_> = tables.iter().filter_map(|table| std::fs::read_to_string(table).ok()).collect();
        let rows = tables.iter().flat_map(|table| table.lines()).filter_map(row);
        let mut found = rows.filter(|(inode, _)| inodes.contains(inode)).map(|(_, drops)| drops);
        let drops = found.next()? + found.sum::<u64>();
        Some(drops - self.before.min(drops))
    }
}

/// Returns the number that the kernel has given to a socket.
#[cfg(target_os = "linux")]
fn inode(socket: &UdpSocket) -> Option<u64> {
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::MetadataExt;

    Some(std::fs::metadata(format!("/proc/self/fd/{}", socket.as_raw_fd())).ok()?.ino())
}

/// Returns the inode and the drops of a line of the kernel's table of UDP sockets.
#[cfg(target_os = "linux")]
fn row(line: &str) -> Option<(u64, u64)> {
    let mut fields = line.split_ascii_whitespace();
    Some((fields.nth(9)?.parse().ok()?, fields.next_back()?.parse().ok()?))
}

#[cfg(not(target_os = "linux"))]
impl KernelDrops {
    pub(crate) fn count(&self) -> Option<u64> {
        None
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    #[test]
    fn drops_of_our_sockets_are_counted_and_no_others() {
        let quiet = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let sender = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).unwrap();
        let full = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).unwrap();
        let [of_full, of_both, of_quiet, of_none] =
            [std::slice::from_ref(&full), &[quiet.try_clone().unwrap(), full.try_clone().unwrap()], &[quiet], &[]]
                .map(|sockets| KernelDrops::of(sockets).unwrap());
        let sent = 20_000;
        for _ in 0..sent {
            sender.send_to(&[0; 1000], full.local_addr().unwrap()).unwrap();
        }
        full.set_nonblocking(true).unwrap();
        let mut received = 0;
        while full.recv(&mut [0; 1000]).is_ok() {
            received += 1;
        }
        assert!(received < sent);
        assert_eq!((of_full.count(), of_both.count()), (Some(sent - received), Some(sent - received)));
        assert_eq!((of_quiet.count(), of_none.count()), (Some(0), None));
        // A process that takes the socket over starts at zero.
        assert_eq!(KernelDrops::of(&[full]).unwrap().count(), Some(0));
        let mut closed = of_full;
        closed.close();
        assert_eq!(closed.count(), Some(sent - received));
    }
}
