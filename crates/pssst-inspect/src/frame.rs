//! The UDP datagram in a captured frame.

use std::net::{IpAddr, SocketAddr};

use etherparse::{EtherType, IpNumber, LaxIpPayloadSlice, LaxNetSlice, LaxSlicedPacket};
use pcap_parser::Linktype;

/// Contents of a frame.
#[derive(Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "readers match every case")]
pub enum Content<'f> {
    /// A UDP datagram, or the first fragment of one.
    Datagram(Datagram<'f>),
    /// A piece of a UDP datagram that does not show its ports.
    LaterFragment,
    /// Anything else.
    Other,
    /// The link type is not supported.
    UnknownLink,
}

/// A UDP datagram, or its beginning.
#[derive(Debug, PartialEq, Eq)]
pub struct Datagram<'f> {
    /// The address and port that sent it.
    pub source: SocketAddr,
    /// The address and port that it was sent to.
    pub destination: SocketAddr,
    /// The payload, as far as it is there.
    pub payload: &'f [u8],
    /// Length of the payload when it was sent, in bytes.
    pub length: usize,
    /// Whether this is the first fragment of it.
    pub is_fragment: bool,
}

/// Finds the datagram in a frame of this link type.
pub fn content(link: Linktype, data: &[u8]) -> Content<'_> {
    if !LINKS.contains(&link.0) {
        return Content::UnknownLink;
    }
    packet(link, data).and_then(|packet| udp(&packet)).unwrap_or(Content::Other)
}

/// Length of a UDP header, in bytes.
const UDP_HEADER_LEN: usize = 8;

/// The link types that [`packet`] reads.
const LINKS: [i32; 10] = [0, 1, 12, 14, 101, 108, 113, 228, 229, 276];

/// Numbers are those of <https://www.tcpdump.org/linktypes.html>.
fn packet(link: Linktype, data: &[u8]) -> Option<LaxSlicedPacket<'_>> {
    match link.0 {
        // Ethernet
        1 => LaxSlicedPacket::from_ethernet(data).ok(),
        // BSD loopback: an address family in the byte order of some machine, then IP, which says
        // its version itself.
        0 | 108 => LaxSlicedPacket::from_ip(data.get(4..)?).ok(),
        // IP: raw, under its three numbers, IPv4 alone and IPv6 alone
        12 | 14 | 101 | 228 | 229 => LaxSlicedPacket::from_ip(data).ok(),
        // Linux cooked, version 1
        113 => ether_payload(data, 14, 16),
        // Linux cooked, version 2
        276 => ether_payload(data, 0, 20),
        _ => None,
    }
}

/// Returns a frame with its protocol's number at one place and its payload from another.
fn ether_payload(data: &[u8], protocol_at: usize, payload_at: usize) -> Option<LaxSlicedPacket<'_>> {
    let protocol = EtherType(u16::from_be_bytes(*data.get(protocol_at..)?.first_chunk()?));
    Some(LaxSlicedPacket::from_ether_type(protocol, data.get(payload_at..)?))
}

fn udp<'f>(packet: &LaxSlicedPacket<'f>) -> Option<Content<'f>> {
    let (payload, source, destination, fragment_offset): (&LaxIpPayloadSlice<'f>, IpAddr, IpAddr, u16) =
        match packet.net.as_ref()? {
            LaxNetSlice::Ipv4(ip) => {
                let header = ip.header();
                let offset = header.fragments_offset().value();
                (ip.payload(), header.source_addr().into(), header.destination_addr().into(), offset)
            }
            LaxNetSlice::Ipv6(ip) => {
                let offset = ipv6_fragment_offset(ip.extensions().first_header(), ip.extensions().slice());
                let header = ip.header();
                (ip.payload(), header.source_addr().into(), header.destination_addr().into(), offset.unwrap_or(0))
            }
            LaxNetSlice::Arp(_) => return None,
        };
    if payload.ip_number != IpNumber::UDP {
        return None;
    }
    if fragment_offset != 0 {
        return Some(Content::LaterFragment);
    }
    let (header, rest) = payload.payload.split_first_chunk::<UDP_HEADER_LEN>()?;
    let [source_high, source_low, to_high, to_low, length_high, length_low, _, _] = *header;
    let length = match u16::from_be_bytes([length_high, length_low]) {
        // A jumbogram: its length is in an IPv6 option.
        0 => rest.len(),
        length => usize::from(length).checked_sub(UDP_HEADER_LEN)?,
    };
    Some(Content::Datagram(Datagram {
        source: (source, u16::from_be_bytes([source_high, source_low])).into(),
        destination: (destination, u16::from_be_bytes([to_high, to_low])).into(),
        payload: rest.get(..length).unwrap_or(rest),
        length,
        is_fragment: payload.fragmented,
    }))
}

/// Returns the offset of an IPv6 fragment in units of 8 bytes (RFC 8200, section 4.5), if there is
/// a fragment header. Not by etherparse's iterator, which reads past the end of extension headers
/// that are cut short.
fn ipv6_fragment_offset(first: Option<IpNumber>, mut rest: &[u8]) -> Option<u16> {
    let mut number = first?;
    loop {
        let [next, length, offset_high, offset_low, ..] = *rest else { return None };
        let len = match number {
            IpNumber::IPV6_FRAGMENTATION_HEADER => return Some(u16::from_be_bytes([offset_high, offset_low]) >> 3),
            IpNumber::AUTHENTICATION_HEADER => 4 * (usize::from(length) + 2),
            IpNumber::IPV6_HEADER_HOP_BY_HOP | IpNumber::IPV6_ROUTE_HEADER | IpNumber::IPV6_DESTINATION_OPTIONS => {
                8 * (usize::from(length) + 1)
            }
            _ => return None,
        };
        (number, rest) = (IpNumber(next), rest.get(len..)?);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pssst_test::captures::{ethernet, ipv4_fragment, udp4, udp6, vlan};

    const CLIENT: &str = "10.0.0.1:40000";
    const SERVER: &str = "10.0.0.2:45678";

    fn expected<'f>(source: &str, destination: &str, payload: &'f [u8]) -> Content<'f> {
        Content::Datagram(Datagram {
            source: source.parse().unwrap(),
            destination: destination.parse().unwrap(),
            payload,
            length: payload.len(),
            is_fragment: false,
        })
    }

    #[test]
    fn every_link_type_leads_to_the_datagram() {
        let four = udp4(CLIENT, SERVER, b"hello");
        let six = udp6("[fd00::1]:40000", "[fd00::2]:45678", b"hello");
        let prefixed = |prefix: &[u8], packet: &[u8]| [prefix, packet].concat();
        // Linux cooked: packet type, hardware, address, protocol; in version 2 the protocol stands
        // first.
        let mut cooked = vec![0; 16];
        cooked[14..].copy_from_slice(&[8, 0]);
        let mut cooked2 = vec![0; 20];
        cooked2[..2].copy_from_slice(&[0x86, 0xdd]);

        let from_four = expected(CLIENT, SERVER, b"hello");
        let from_six = expected("[fd00::1]:40000", "[fd00::2]:45678", b"hello");
        for (link, frame, wanted) in [
            (1, ethernet(0x0800, &four), &from_four),
            (1, ethernet(0x86dd, &six), &from_six),
            (1, ethernet(0x8100, &vlan(0x0800, &four)), &from_four),
            (1, ethernet(0x88a8, &vlan(0x8100, &vlan(0x86dd, &six))), &from_six),
            (101, four.clone(), &from_four),
            (12, six.clone(), &from_six),
            (228, four.clone(), &from_four),
            (229, six.clone(), &from_six),
            (0, prefixed(&[2, 0, 0, 0], &four), &from_four),
            (0, prefixed(&[0, 0, 0, 30], &six), &from_six),
            (108, prefixed(&[0, 0, 0, 2], &four), &from_four),
            (113, prefixed(&cooked, &four), &from_four),
            (276, prefixed(&cooked2, &six), &from_six),
        ] {
            assert_eq!(&content(Linktype(link), &frame), wanted, "link type {link}");
            // Ethernet pads short frames; the padding does not belong to the datagram.
            assert_eq!(&content(Linktype(link), &prefixed(&frame, &[0; 9])), wanted, "link type {link}, padded");
            // However much is missing: no panic.
            for length in 0..frame.len() {
                let content = content(Linktype(link), &frame[..length]);
                assert!(content == Content::Other || length >= 28, "{content:?}");
            }
        }
        assert_eq!(content(Linktype(147), &four), Content::UnknownLink);
        assert!(LINKS.iter().all(|link| content(Linktype(*link), &four) != Content::UnknownLink));
    }

    /// Found by fuzzing: etherparse's iterator read past the end of them.
    #[test]
    fn ipv6_extension_headers_that_are_cut_short_are_not_read_beyond_their_end() {
        let packet = udp6("[fd00::1]:40000", "[fd00::2]:45678", b"hello");
        for extension in [0, 43, 44, 51, 60] {
            for (cut, length) in [(0, 0), (1, 0), (7, 0), (8, 255), (40, 255)] {
                let mut header = vec![0; cut];
                header.get_mut(1).into_iter().for_each(|byte| *byte = length);
                // Behind a whole one, of hop-by-hop options.
                let whole = [extension, 0, 0, 0, 0, 0, 0, 0];
                let mut packet = [&packet[..40], &whole, &header].concat();
                packet[6] = 0;
                let content = content(Linktype(101), &packet);
                assert!(!matches!(content, Content::Datagram(_)), "{extension}, {cut} bytes: {content:?}");
            }
        }
    }

    #[test]
    fn what_is_missing_is_told_from_what_was_never_sent() {
        let packet = udp4(CLIENT, SERVER, &[7; 100]);
        let Content::Datagram(cut) = content(Linktype(101), &packet[..packet.len() - 60]) else { panic!() };
        assert_eq!((cut.payload.len(), cut.length, cut.is_fragment), (40, 100, false));
    }

    #[test]
    fn fragments_are_noticed() {
        let [first, later] = [0, 1].map(|which| ipv4_fragment(&udp4(CLIENT, SERVER, &[7; 200]), 64, which));
        let Content::Datagram(begun) = content(Linktype(101), &first) else { panic!() };
        assert_eq!((begun.payload.len(), begun.length, begun.is_fragment), (56, 200, true));
        assert_eq!(content(Linktype(101), &later), Content::LaterFragment);
    }
}
