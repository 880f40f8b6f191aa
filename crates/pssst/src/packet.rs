//! The packet's layout: header, flags, lengths (specification, section 2). Only the wire format.

pub(crate) use lengths::{CIPHERTEXT_LEN, CLAIM_LEN, FRESH_VALUE_LEN, PROOF_LEN};
pub use lengths::{EXCHANGE_VALUE_LEN, HEADER_LEN, TAG_LEN, TRANSACTION_ID_LEN};

use crate::{Error, Refusal, Suite};

pub(crate) mod lengths;

///
const FLAG_REPLY: u16 = 0x8000;
///
const FLAG_CLIENT_AUTH: u16 = 0x4000;
///
const FLAG_PADDED: u16 = 0x2000;
///
const FLAG_PSK: u16 = 0x1000;
///
const FLAG_FRESH: u16 = 0x0800;
/// The flags that a request and its reply have in common.
const COPIED_FLAGS: u16 = FLAG_CLIENT_AUTH | FLAG_PSK | FLAG_FRESH;

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
        self.has(FLAG_REPLY)
    }

    /// Returns whether the packet is marked as authenticated.
    pub const fn has_client_auth(self) -> bool {
        self.has(FLAG_CLIENT_AUTH)
    }

    /// Returns whether the packet is marked as padded. Suite 1 has no such flag.
    pub const fn is_padded(self) -> bool {
        self.has(FLAG_PADDED)
    }

    /// Returns whether a pre-shared key is marked as used. Suite 1 has no such flag.
    pub const fn has_psk(self) -> bool {
        self.has(FLAG_PSK)
    }

    /// Returns whether a fresh reply is asked for, or given. Suite 1 has no such flag.
    pub const fn is_fresh(self) -> bool {
        self.has(FLAG_FRESH)
    }

    /// Returns the flags that must be zero: what they are depends on the suite.
    pub const fn reserved_bits(self) -> u16 {
        self.reserved_bits_under(self.suite)
    }

    const fn reserved_bits_under(self, suite: u16) -> u16 {
        const SUITE_1: u16 = Suite::X25519AesGcm128.number();
        const ENROLLMENT: u16 = Suite::X25519Aes256GcmSivEnrollment.number();
        let allowed = match suite {
            SUITE_1 => FLAG_REPLY | FLAG_CLIENT_AUTH,
            ENROLLMENT => FLAG_REPLY | FLAG_CLIENT_AUTH | FLAG_PADDED | FLAG_FRESH,
            // A pre-shared key is a client's.
            _ if !self.has_client_auth() => FLAG_REPLY | FLAG_PADDED | FLAG_FRESH,
            _ => FLAG_REPLY | FLAG_CLIENT_AUTH | FLAG_PADDED | FLAG_PSK | FLAG_FRESH,
        };
        self.flags & !allowed
    }

    /// Returns the suite's number, which [`Suite`](crate::Suite) may not know.
    pub const fn suite_number(self) -> u16 {
        self.suite
    }

    /// Returns the length in bytes of the shortest packet with this header. That of an unknown
    /// suite is taken for one of suite 1, whose proof is not seen before decryption.
    pub fn min_packet_len(self) -> usize {
        let suite = Suite::from_number(self.suite).unwrap_or(Suite::X25519AesGcm128);
        if self.is_reply() {
            suite.reply_overhead(self.is_fresh())
        } else {
            suite.request_overhead(self.has_client_auth() && suite.has_claim())
        }
    }

    const fn has(self, flag: u16) -> bool {
        self.flags & flag != 0
    }

    /// Returns the header of an anonymous request under this suite.
    pub(crate) const fn request(suite: Suite) -> Self {
        Self { flags: 0, suite: suite.number() }
    }

    pub(crate) const fn with_reply(self, yes: bool) -> Self {
        self.with(FLAG_REPLY, yes)
    }

    pub(crate) const fn with_client_auth(self, yes: bool) -> Self {
        self.with(FLAG_CLIENT_AUTH, yes)
    }

    pub(crate) const fn with_padding(self, yes: bool) -> Self {
        self.with(FLAG_PADDED, yes)
    }

    pub(crate) const fn with_psk(self, yes: bool) -> Self {
        self.with(FLAG_PSK, yes)
    }

    pub(crate) const fn with_fresh_reply(self, yes: bool) -> Self {
        self.with(FLAG_FRESH, yes)
    }

    const fn with(self, flag: u16, yes: bool) -> Self {
        Self { flags: if yes { self.flags | flag } else { self.flags & !flag }, suite: self.suite }
    }

    /// Returns the header of an unpadded reply to a request with this header.
    pub(crate) const fn into_reply(self) -> Self {
        Self { flags: self.flags & COPIED_FLAGS | FLAG_REPLY, suite: self.suite }
    }

    /// Refuses the flags that must be zero under this suite: the packet's own at a server, that of
    /// the request at a client.
    pub(crate) const fn refuse_reserved_bits(self, suite: u16) -> Result<(), Refusal> {
        match self.reserved_bits_under(suite) {
            0 => Ok(()),
            bits => Err(Refusal::ReservedFlags { bits }),
        }
    }
}

/// Returns the first eight bytes after a packet's header. A client with several pending requests
/// finds those that a reply may be for by them: requests with other values are not meant.
///
/// # Errors
/// [`Refusal::Truncated`] when the packet is shorter than any packet can be (28 bytes).
pub fn transaction_id(packet: &[u8]) -> Result<&[u8; TRANSACTION_ID_LEN], Refusal> {
    if packet.len() < HEADER_LEN + TRANSACTION_ID_LEN + TAG_LEN {
        return Err(Refusal::Truncated);
    }
    packet.get(HEADER_LEN..).and_then(<[u8]>::first_chunk).ok_or(Refusal::Truncated)
}

/// Returns the front of the exchange value.
pub(crate) fn front(exchange_value: &[u8; EXCHANGE_VALUE_LEN]) -> &[u8; TRANSACTION_ID_LEN] {
    const { assert!(TRANSACTION_ID_LEN < EXCHANGE_VALUE_LEN) };
    exchange_value.first_chunk().unwrap_or(&[0; TRANSACTION_ID_LEN])
}

/// The parts of a request in its buffer.
pub(crate) struct RequestParts<'p> {
    pub(crate) header: &'p mut [u8; HEADER_LEN],
    pub(crate) exchange_value: &'p mut [u8; EXCHANGE_VALUE_LEN],
    /// Only with a suite that has a ciphertext.
    pub(crate) ciphertext: Option<&'p mut [u8; CIPHERTEXT_LEN]>,
    /// M and t, only in an authenticated request of a suite that has them outside the body.
    pub(crate) claim: Option<&'p mut [u8; CLAIM_LEN]>,
    pub(crate) body: &'p mut [u8],
    pub(crate) tag: &'p mut [u8; TAG_LEN],
}

impl<'p> RequestParts<'p> {
    /// Cuts a packet into its parts. No index here can be out of bounds.
    pub(crate) fn split(packet: &'p mut [u8], suite: Suite, client_auth: bool) -> Result<Self, Refusal> {
        let (header, rest) = packet.split_first_chunk_mut().ok_or(Refusal::Truncated)?;
        let (exchange_value, rest) = rest.split_first_chunk_mut().ok_or(Refusal::Truncated)?;
        let (ciphertext, rest) = take_if(suite.has_ciphertext(), rest)?;
        let (claim, rest) = take_if(client_auth && suite.has_claim(), rest)?;
        let (body, tag) = rest.split_last_chunk_mut().ok_or(Refusal::Truncated)?;
        Ok(Self { header, exchange_value, ciphertext, claim, body, tag })
    }
}

/// The parts of a reply in its buffer.
pub(crate) struct ReplyParts<'p> {
    pub(crate) header: &'p mut [u8; HEADER_LEN],
    /// X, or as much of it as the suite repeats.
    pub(crate) exchange_value: &'p mut [u8],
    /// Y, only in a fresh reply.
    pub(crate) fresh_value: Option<&'p mut [u8; FRESH_VALUE_LEN]>,
    pub(crate) body: &'p mut [u8],
    pub(crate) tag: &'p mut [u8; TAG_LEN],
}

impl<'p> ReplyParts<'p> {
    /// Cuts a packet into its parts. No index here can be out of bounds.
    pub(crate) fn split(packet: &'p mut [u8], suite: Suite, fresh: bool) -> Result<Self, Refusal> {
        let (header, rest) = packet.split_first_chunk_mut().ok_or(Refusal::Truncated)?;
        let (exchange_value, rest) =
            rest.split_at_mut_checked(suite.repeated_exchange_value_len()).ok_or(Refusal::Truncated)?;
        let (fresh_value, rest) = take_if(fresh && suite.has_claim(), rest)?;
        let (body, tag) = rest.split_last_chunk_mut().ok_or(Refusal::Truncated)?;
        Ok(Self { header, exchange_value, fresh_value, body, tag })
    }
}

type Taken<'p, const N: usize> = (Option<&'p mut [u8; N]>, &'p mut [u8]);

/// Takes the first `N` bytes, if they are there by `is_there`.
fn take_if<const N: usize>(is_there: bool, bytes: &mut [u8]) -> Result<Taken<'_, N>, Refusal> {
    if !is_there {
        return Ok((None, bytes));
    }
    let (taken, rest) = bytes.split_first_chunk_mut().ok_or(Refusal::Truncated)?;
    Ok((Some(taken), rest))
}

/// Returns the front of the caller's buffer, as long as the packet.
pub(crate) fn slot(buffer: &mut [u8], needed: usize) -> Result<&mut [u8], Error> {
    buffer.get_mut(..needed).ok_or(Error::BufferTooSmall { needed })
}

/// Ends a padded message: `80`, then zeros to the end of the body.
pub(crate) fn pad(body: &mut [u8], message_len: usize) {
    if let Some((mark, zeros)) = body.get_mut(message_len..).and_then(<[u8]>::split_first_mut) {
        *mark = 0x80;
        zeros.fill(0);
    }
}

/// Returns the length in bytes of the message in an opened body that was padded.
pub(crate) fn unpadded_len(body: &[u8]) -> Result<usize, Refusal> {
    let mark = body.iter().rposition(|byte| *byte != 0).ok_or(Refusal::BadPadding)?;
    if body.get(mark) == Some(&0x80) { Ok(mark) } else { Err(Refusal::BadPadding) }
}

#[cfg(test)]
mod tests {
    use std::{vec, vec::Vec};

    use super::*;

    const SUITE_1: Suite = Suite::X25519AesGcm128;
    const F002: Suite = Suite::X25519Aes256GcmSiv;

    #[test]
    fn headers_are_big_endian() {
        //
        let request = Header::request(F002).with_client_auth(true).with_psk(true).with_padding(true);
        assert_eq!(request.to_bytes(), [0x70, 0x00, 0xf0, 0x02]);
        assert_eq!(request.into_reply().to_bytes(), [0xd0, 0x00, 0xf0, 0x02]);
        let request = Header::request(SUITE_1);
        assert_eq!(request.to_bytes(), [0x00, 0x00, 0x00, 0x01]);
        assert_eq!(request.into_reply().to_bytes(), [0x80, 0x00, 0x00, 0x01]);
        let request = Header::request(F002).with_fresh_reply(true);
        assert_eq!(request.into_reply().to_bytes(), [0x88, 0x00, 0xf0, 0x02]);
    }

    #[test]
    fn every_header_survives_reading_and_writing() {
        for suite in [0x0001, 0xf002, 0xf003, 0xf0e1, 0x1234] {
            for flags in 0..=u16::MAX {
                let bytes = [flags.to_be_bytes(), u16::to_be_bytes(suite)].concat();
                let header = Header::parse(&bytes).unwrap();
                assert_eq!(header.to_bytes()[..], bytes);
                assert_eq!(header.is_reply(), flags >> 15 == 1);
                assert_eq!(header.has_client_auth(), flags >> 14 & 1 == 1);
                assert_eq!(header.is_padded(), flags >> 13 & 1 == 1);
                assert_eq!(header.has_psk(), flags >> 12 & 1 == 1);
                assert_eq!(header.is_fresh(), flags >> 11 & 1 == 1);
                assert_eq!(header.suite_number(), suite);
                //
                let without_client = if header.has_client_auth() { 0 } else { 0x1000 };
                let reserved = match suite {
                    0x0001 => 0x3fff,
                    0xf0e1 => 0x17ff,
                    _ => 0x07ff | without_client,
                };
                assert_eq!(header.reserved_bits(), flags & reserved, "{suite:#06x} {flags:#06x}");
                assert_eq!(header.refuse_reserved_bits(suite).is_ok(), header.reserved_bits() == 0);
            }
        }
    }

    #[test]
    fn the_shortest_packets_have_no_body() {
        //
        for suite in Suite::ALL {
            for client_auth in [false, true] {
                let proof = if suite == SUITE_1 && client_auth { PROOF_LEN } else { 0 };
                let overhead = suite.request_overhead(client_auth) - proof;
                let shortest = &mut vec![0; overhead];
                assert!(RequestParts::split(shortest, suite, client_auth).unwrap().body.is_empty());
                let short = &mut vec![0; overhead - 1];
                assert!(matches!(RequestParts::split(short, suite, client_auth), Err(Refusal::Truncated)));
                let header = Header::request(suite).with_client_auth(client_auth);
                assert_eq!(header.min_packet_len(), overhead);
            }
            for fresh in [false, true] {
                let overhead = suite.reply_overhead(fresh);
                assert!(ReplyParts::split(&mut vec![0; overhead], suite, fresh).unwrap().body.is_empty());
                let short = &mut vec![0; overhead - 1];
                assert!(matches!(ReplyParts::split(short, suite, fresh), Err(Refusal::Truncated)));
                let header = Header::request(suite).with_fresh_reply(fresh).into_reply();
                assert_eq!(header.min_packet_len(), overhead);
            }
        }
        let unknown = Header::from_bytes(&[0x40, 0, 0xf0, 0x01]);
        assert_eq!(unknown.min_packet_len(), 52);
    }

    #[test]
    fn the_transaction_id_is_the_8_bytes_after_the_header() {
        let packet: Vec<u8> = (0..60).collect();
        assert_eq!(transaction_id(&packet).unwrap()[..], packet[4..12]);
        assert_eq!(transaction_id(&packet[..28]).unwrap()[..], packet[4..12]);
        assert_eq!(transaction_id(&packet[..27]), Err(Refusal::Truncated));
    }

    #[test]
    fn a_buffer_too_small_says_how_much_is_needed() {
        assert_eq!(slot(&mut [0; 60], 61), Err(Error::BufferTooSmall { needed: 61 }));
        assert_eq!(slot(&mut [0; 61], 61).unwrap().len(), 61);
    }

    ///
    #[test]
    fn padding_is_found_from_the_end() {
        for message in [&b""[..], b"a", b"\x80", b"\x80\0\0", b"a\x80\0"] {
            for padding in 1..5 {
                let mut body = [message, &vec![0xff; padding]].concat();
                pad(&mut body, message.len());
                assert_eq!(unpadded_len(&body), Ok(message.len()));
            }
        }
        for bad in [&b""[..], b"\0", b"\0\0", b"a", b"\x80a", b"\x81\0"] {
            assert_eq!(unpadded_len(bad), Err(Refusal::BadPadding), "{bad:?}");
        }
    }
}
