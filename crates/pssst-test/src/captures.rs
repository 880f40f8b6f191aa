//! Captures of packets, made byte by byte.

use std::net::{IpAddr, SocketAddr};

/// The order of bytes of a capture.
#[non_exhaustive]
#[derive(Clone, Copy, Debug)]
pub enum Endian {
    /// Least significant first.
    Little,
    /// Most significant first.
    Big,
}

/// 2026-01-02T03:04:05.000007Z, in microseconds. Every frame comes a second after the one before.
const START: u64 = 1_767_323_045_000_007;

/// Returns a capture in the format of libpcap.
///
/// # Panics
/// When a frame is longer than 4 GiB.
pub fn pcap(link: u16, frames: &[Vec<u8>], endian: Endian) -> Vec<u8> {
    let mut file = Fields(endian, Vec::new());
    file.u32(0xa1b2_c3d4).u16(2).u16(4).u32(0).u32(0).u32(0x4_0000).u32(link.into());
    for (frame, time) in frames.iter().zip((START..).step_by(1_000_000)) {
        let length = u32::try_from(frame.len()).unwrap();
        let (seconds, rest) = (time / 1_000_000, time % 1_000_000);
        file.u32(u32::try_from(seconds).unwrap())
            .u32(u32::try_from(rest).unwrap())
            .u32(length)
            .u32(length)
            .bytes(frame);
    }
    file.1
}

/// With a clock of nanoseconds that starts an hour late.
///
/// # Panics
/// When an address is not one, or a length does not fit.
pub fn pcapng(link: u16, frames: &[Vec<u8>], endian: Endian) -> Vec<u8> {
    let mut file = Fields(endian, Vec::new());
    file.block(0x0a0d_0d0a, |body| {
        body.u32(0x1a2b_3c4d).u16(1).u16(0).u32(u32::MAX).u32(u32::MAX);
    });
    file.block(1, |body| {
        body.u16(link).u16(0).u32(0);
        // if_tsresol, if_tsoffset, end of options
        body.u16(9).u16(1).bytes(&[9, 0, 0, 0]).u16(14).u16(8).u64(3600).u32(0);
    });
    for (frame, time) in frames.iter().zip((START..).step_by(1_000_000)) {
        let length = u32::try_from(frame.len()).unwrap();
        let ticks = (time - 3_600_000_000) * 1000;
        file.block(6, |body| {
            let (high, low) = (ticks >> 32, ticks & 0xffff_ffff);
            body.u32(0).u32(u32::try_from(high).unwrap()).u32(u32::try_from(low).unwrap()).u32(length).u32(length);
            body.bytes(frame).bytes(&vec![0; frame.len().next_multiple_of(4) - frame.len()]);
        });
    }
    file.1
}

/// Returns an IPv4 packet with a UDP datagram.
///
/// # Panics
/// When an address is not one, or a length does not fit.
pub fn udp4(source: &str, destination: &str, payload: &[u8]) -> Vec<u8> {
    let (udp, [from, to]) = udp(source, destination, payload);
    let mut packet = Fields(Endian::Big, vec![0x45, 0]);
    packet.u16(u16::try_from(20 + udp.len()).unwrap()).u16(0x1234).u16(0).bytes(&[64, 17, 0, 0]);
    packet.bytes(&from).bytes(&to).bytes(&udp);
    packet.1
}

/// Returns an IPv6 packet with a UDP datagram.
///
/// # Panics
/// When an address is not one, or a length does not fit.
pub fn udp6(source: &str, destination: &str, payload: &[u8]) -> Vec<u8> {
    let (udp, [from, to]) = udp(source, destination, payload);
    let mut packet = Fields(Endian::Big, vec![0x60, 0, 0, 0]);
    packet.u16(u16::try_from(udp.len()).unwrap()).bytes(&[17, 64]).bytes(&from).bytes(&to).bytes(&udp);
    packet.1
}

/// One of the fragments of an IPv4 packet, each with so many bytes of its payload, a multiple of 8.
///
/// # Panics
/// When an address is not one, or a length does not fit.
pub fn ipv4_fragment(packet: &[u8], length: usize, which: usize) -> Vec<u8> {
    let (header, payload) = packet.split_at(20);
    let piece = payload.chunks(length).nth(which).unwrap();
    let more = if (which + 1) * length < payload.len() { 0x2000 } else { 0 };
    let offset = u16::try_from(which * length / 8).unwrap();
    let mut fragment = header.to_vec();
    fragment[2..4].copy_from_slice(&u16::try_from(20 + piece.len()).unwrap().to_be_bytes());
    fragment[6..8].copy_from_slice(&(more | offset).to_be_bytes());
    [&fragment[..], piece].concat()
}

/// Returns an Ethernet frame.
pub fn ethernet(protocol: u16, payload: &[u8]) -> Vec<u8> {
    [&[2; 12][..], &protocol.to_be_bytes(), payload].concat()
}

/// Returns a VLAN's tag, without the number that announces it.
pub fn vlan(protocol: u16, payload: &[u8]) -> Vec<u8> {
    [&[0, 7][..], &protocol.to_be_bytes(), payload].concat()
}

/// Returns a UDP datagram, and the two addresses.
fn udp(source: &str, destination: &str, payload: &[u8]) -> (Vec<u8>, [Vec<u8>; 2]) {
    let [source, destination] = [source, destination].map(|text| text.parse::<SocketAddr>().unwrap());
    let mut datagram = Fields(Endian::Big, Vec::new());
    datagram.u16(source.port()).u16(destination.port()).u16(u16::try_from(8 + payload.len()).unwrap()).u16(0);
    datagram.bytes(payload);
    let octets = |address: SocketAddr| match address.ip() {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    (datagram.1, [octets(source), octets(destination)])
}

/// Fields in a row, in one byte order.
struct Fields(Endian, Vec<u8>);

impl Fields {
    fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.1.extend(bytes);
        self
    }

    fn u16(&mut self, value: u16) -> &mut Self {
        let (little, big) = (value.to_le_bytes(), value.to_be_bytes());
        self.ordered(&little, &big)
    }

    fn u32(&mut self, value: u32) -> &mut Self {
        let (little, big) = (value.to_le_bytes(), value.to_be_bytes());
        self.ordered(&little, &big)
    }

    fn u64(&mut self, value: u64) -> &mut Self {
        let (little, big) = (value.to_le_bytes(), value.to_be_bytes());
        self.ordered(&little, &big)
    }

    fn ordered(&mut self, little: &[u8], big: &[u8]) -> &mut Self {
        self.bytes(match self.0 {
            Endian::Little => little,
            Endian::Big => big,
        })
    }

    /// Returns a block of pcapng.
    fn block(&mut self, kind: u32, write: impl FnOnce(&mut Self)) {
        let mut body = Self(self.0, Vec::new());
        write(&mut body);
        let length = u32::try_from(body.1.len() + 12).unwrap();
        self.u32(kind).u32(length).bytes(&body.1).u32(length);
    }
}
