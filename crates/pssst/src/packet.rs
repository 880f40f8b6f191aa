//! The packet's layout: header, flags, sizes (specification, section 2). Only the wire format.

use crate::{Error, Refusal};

/// Length of the header in bytes: two of flags, two of suite.
pub const HEADER_LEN: usize = 4;
/// Length of the exchange value in bytes. It follows the header.
pub const EXCHANGE_VALUE_LEN: usize = 32;
/// Length of the authentication tag in bytes. It ends the packet.
pub const TAG_LEN: usize = 16;
/// Length of a client's proof in bytes: client key and ephemeral secret. It begins the plaintext of
/// an authenticated request.
pub const PROOF_LEN: usize = 64;
/// Overhead of an anonymous request and of every reply, in bytes.
pub const OVERHEAD: usize = HEADER_LEN + EXCHANGE_VALUE_LEN + TAG_LEN;
/// Overhead of an authenticated request in bytes.
pub const AUTHENTICATED_OVERHEAD: usize = OVERHEAD + PROOF_LEN;
/// Offset of the message in a reply, in bytes.
pub const REPLY_MESSAGE_OFFSET: usize = HEADER_LEN + EXCHANGE_VALUE_LEN;

///
const FLAG_REPLY: u16 = 0x8000;
///
const FLAG_CLIENT_AUTH: u16 = 0x4000;

/// A packet's first four bytes, unchanged: any value can be held, also one that both ends would
/// refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Header {
    flags: u16,
    suite: u16,
}

impl Header {
    /// Reads the header of a packet of any kind.
    ///
    /// # Errors
    /// [`Refusal::Truncated`] when the packet is shorter than a header.
    pub fn parse(packet: &[u8]) -> Result<Self, Refusal> {
        packet.first_chunk().map(Self::from_bytes).ok_or(Refusal::Truncated)
    }

    /// Reads a header.
    pub const fn from_bytes(bytes: &[u8; HEADER_LEN]) -> Self {
        let [flags_high, flags_low, suite_high, suite_low] = *bytes;
        Self { flags: u16::from_be_bytes([flags_high, flags_low]), suite: u16::from_be_bytes([suite_high, suite_low]) }
    }

    /// Writes the header.
    pub const fn to_bytes(self) -> [u8; HEADER_LEN] {
        let [flags_high, flags_low] = self.flags.to_be_bytes();
        let [suite_high, suite_low] = self.suite.to_be_bytes();
        [flags_high, flags_low, suite_high, suite_low]
    }

    /// Returns whether the packet is marked as a reply.
    pub const fn is_reply(self) -> bool {
        self.flags & FLAG_REPLY != 0
    }

    /// Returns whether the packet is marked as authenticated.
    pub const fn has_client_auth(self) -> bool {
        self.flags & FLAG_CLIENT_AUTH != 0
    }

    /// Returns the flags that must be zero.
    pub const fn reserved_bits(self) -> u16 {
        self.flags & !(FLAG_REPLY | FLAG_CLIENT_AUTH)
    }

    /// Returns the suite's number, which [`Suite`](crate::Suite) may not know.
    pub const fn suite_number(self) -> u16 {
        self.suite
    }

    /// Returns the header of a request under the suite of this number.
    pub(crate) const fn request(suite: u16, client_auth: bool) -> Self {
        Self { flags: if client_auth { FLAG_CLIENT_AUTH } else { 0 }, suite }
    }

    /// Returns the header of the reply to a request with this header.
    pub(crate) const fn into_reply(self) -> Self {
        Self { flags: self.flags | FLAG_REPLY, suite: self.suite }
    }

    /// Returns the header of the request that a reply with this header is for.
    pub(crate) const fn into_request(self) -> Self {
        Self { flags: self.flags & !FLAG_REPLY, suite: self.suite }
    }

    ///
    pub(crate) const fn refuse_reserved_bits(self) -> Result<(), Refusal> {
        match self.reserved_bits() {
            0 => Ok(()),
            bits => Err(Refusal::ReservedFlags { bits }),
        }
    }
}

/// Returns the exchange value of a packet. A client with several pending requests finds the one of
/// a reply by it.
///
/// # Errors
/// [`Refusal::Truncated`] when the packet is shorter than any packet can be (52 bytes).
pub fn exchange_value(packet: &[u8]) -> Result<&[u8; EXCHANGE_VALUE_LEN], Refusal> {
    if packet.len() < OVERHEAD {
        return Err(Refusal::Truncated);
    }
    packet.get(HEADER_LEN..).and_then(<[u8]>::first_chunk).ok_or(Refusal::Truncated)
}

/// The four parts of a packet in its buffer.
pub(crate) struct Parts<'p> {
    pub(crate) header: &'p mut [u8; HEADER_LEN],
    pub(crate) exchange_value: &'p mut [u8; EXCHANGE_VALUE_LEN],
    pub(crate) body: &'p mut [u8],
    pub(crate) tag: &'p mut [u8; TAG_LEN],
}

impl<'p> Parts<'p> {
    /// Cuts a packet into its parts. No index here can be out of bounds.
    pub(crate) fn split(packet: &'p mut [u8]) -> Result<Self, Refusal> {
        let (header, rest) = packet.split_first_chunk_mut().ok_or(Refusal::Truncated)?;
        let (exchange_value, rest) = rest.split_first_chunk_mut().ok_or(Refusal::Truncated)?;
        let (body, tag) = rest.split_last_chunk_mut().ok_or(Refusal::Truncated)?;
        Ok(Self { header, exchange_value, body, tag })
    }
}

/// Returns the front of the caller's buffer, as long as a packet with these sizes.
pub(crate) fn message_slot(buffer: &mut [u8], overhead: usize, message_len: usize) -> Result<&mut [u8], Error> {
    let needed = overhead.saturating_add(message_len);
    buffer.get_mut(..needed).ok_or(Error::BufferTooSmall { needed })
}

#[cfg(test)]
mod tests {
    use std::{vec, vec::Vec};

    use super::*;

    #[test]
    fn overhead_is_52_and_116_bytes() {
        //
        assert_eq!((OVERHEAD, AUTHENTICATED_OVERHEAD), (52, 116));
    }

    #[test]
    fn headers_are_big_endian() {
        //
        let request = Header::request(0xf001, true);
        assert_eq!(request.to_bytes(), [0x40, 0x00, 0xf0, 0x01]);
        assert_eq!(request.into_reply().to_bytes(), [0xc0, 0x00, 0xf0, 0x01]);
        assert_eq!(request.into_reply().into_request(), request);
        let request = Header::request(0x0001, false);
        assert_eq!(request.to_bytes(), [0x00, 0x00, 0x00, 0x01]);
        assert_eq!(request.into_reply().to_bytes(), [0x80, 0x00, 0x00, 0x01]);
    }

    #[test]
    fn every_header_survives_reading_and_writing() {
        for flags in 0..=u16::MAX {
            let bytes = [flags.to_be_bytes(), 0x1234u16.to_be_bytes()].concat();
            let header = Header::parse(&bytes).unwrap();
            assert_eq!(header.to_bytes()[..], bytes);
            assert_eq!(header.is_reply(), flags >> 15 == 1);
            assert_eq!(header.has_client_auth(), flags >> 14 & 1 == 1);
            assert_eq!(header.reserved_bits(), flags & 0x3fff);
            assert_eq!(header.suite_number(), 0x1234);
            //
            assert_eq!(header.refuse_reserved_bits().is_ok(), header.reserved_bits() == 0);
        }
    }

    #[test]
    fn packets_below_52_bytes_have_no_parts() {
        //
        for len in 0..OVERHEAD {
            assert!(matches!(Parts::split(&mut vec![0; len]), Err(Refusal::Truncated)));
            assert_eq!(exchange_value(&vec![0; len]), Err(Refusal::Truncated));
        }
        assert!(Parts::split(&mut [0; OVERHEAD]).unwrap().body.is_empty());
    }

    #[test]
    fn exchange_value_is_the_32_bytes_after_the_header() {
        let packet: Vec<u8> = (0..60).collect();
        assert_eq!(exchange_value(&packet).unwrap()[..], packet[4..36]);
        assert_eq!(exchange_value(&packet[..OVERHEAD]).unwrap()[..], packet[4..36]);
    }

    #[test]
    fn a_buffer_too_small_says_how_much_is_needed() {
        assert_eq!(message_slot(&mut [0; 60], OVERHEAD, 9), Err(Error::BufferTooSmall { needed: 61 }));
        assert_eq!(message_slot(&mut [0; 61], OVERHEAD, 9).unwrap().len(), 61);
        assert_eq!(message_slot(&mut [], OVERHEAD, usize::MAX), Err(Error::BufferTooSmall { needed: usize::MAX }));
    }
}
