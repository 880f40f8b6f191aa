//! Ports that stay reserved while no process listens on them.

use std::fs::{self, File};
use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::ops::Range;

/// Below the ports that systems hand out by themselves.
const PORTS: Range<u16> = 10_000..32_000;

/// A port of the loopback interface, for TCP and UDP, that this process alone uses until the value
/// is dropped.
///
/// Neither the system nor another test takes it meanwhile, so that a server can be stopped and find
/// its port free again.
#[derive(Debug)]
pub struct ReservedPort {
    number: u16,
    /// Held by a lock on this file, which ends with the process.
    _lock: File,
}

impl ReservedPort {
    /// Reserves a port.
    ///
    /// # Panics
    /// When all are taken.
    pub fn new() -> Self {
        let folder = std::env::temp_dir().join("pssst-test-ports");
        fs::create_dir_all(&folder).expect("the folder of reserved ports is made");
        let width = u64::from(PORTS.end - PORTS.start);
        for _ in 0..width {
            let drawn = u16::try_from(RandomState::new().hash_one(()) % width).expect("less than the width");
            let number = PORTS.start + drawn;
            let lock = File::options().create(true).truncate(false).write(true).open(folder.join(number.to_string()));
            if let Ok(lock) = lock
                && lock.try_lock().is_ok()
                && TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok()
                && UdpSocket::bind((Ipv4Addr::LOCALHOST, number)).is_ok()
            {
                return Self { number, _lock: lock };
            }
        }
        panic!("no port is free");
    }

    /// Returns its number.
    pub const fn number(&self) -> u16 {
        self.number
    }
}

impl Default for ReservedPort {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_ports_differ_and_are_free() {
        let ports: Vec<_> = (0..100).map(|_| ReservedPort::new()).collect();
        let mut numbers: Vec<_> = ports.iter().map(ReservedPort::number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), 100);
        for number in numbers {
            assert!(PORTS.contains(&number));
            drop(TcpListener::bind((Ipv4Addr::LOCALHOST, number)).unwrap());
        }
    }
}
