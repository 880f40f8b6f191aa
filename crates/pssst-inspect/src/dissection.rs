//! The parts of a packet that are visible without a key.

use pssst::{
    AUTHENTICATED_OVERHEAD, EXCHANGE_VALUE_LEN, HEADER_LEN, Header, OVERHEAD, PublicKey, Refusal, Suite, TAG_LEN,
};
use serde::{Serialize, Serializer};

/// The outer fields of a packet, and the verdicts of both ends.
#[derive(Debug, Serialize)]
pub struct Dissection {
    /// Length of the datagram, in bytes.
    pub length: usize,
    /// Bytes that were captured: fewer in a capture that cut it, and in a fragment.
    pub captured: usize,
    /// Request or reply.
    pub kind: Option<Kind>,
    /// Whether the request proves a client.
    pub authenticated: Option<bool>,
    /// The flags of the header.
    pub flags: Option<u16>,
    /// The names of the flags that are set.
    pub flag_names: Vec<&'static str>,
    /// The flags that must be zero.
    pub reserved_flags: Option<u16>,
    /// The number of the suite.
    pub suite: Option<u16>,
    /// The name of the suite, if it is known.
    pub suite_name: Option<&'static str>,
    /// The exchange value.
    #[serde(serialize_with = "hex")]
    pub exchange_value: Option<[u8; EXCHANGE_VALUE_LEN]>,
    /// The encoding of the exchange value.
    pub exchange_value_class: Option<PointEncoding>,
    /// Bytes between the exchange value and the tag.
    pub ciphertext_length: Option<usize>,
    /// The authentication tag.
    #[serde(serialize_with = "hex")]
    pub tag: Option<[u8; TAG_LEN]>,
    /// Bytes around the message: 52, or 116.
    pub overhead: Option<usize>,
    /// Absent, too, when an authenticated request has no room for its proof.
    pub message_length: Option<usize>,
    /// Verdict of a server.
    pub server: Verdict,
    /// Verdict of a client.
    pub client: Verdict,
}

/// The kind of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::exhaustive_enums, reason = "readers match every case")]
pub enum Kind {
    /// A request.
    Request,
    /// A reply.
    Reply,
}

/// What kind of point an exchange value encodes, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::exhaustive_enums, reason = "readers match every case")]
pub enum PointEncoding {
    /// As every honest client makes it.
    Canonical,
    /// The top bit is set, or the number is not below p.
    NonCanonical,
    /// Well encoded, and no multiple of the base point.
    OutsideSubgroup,
    /// Anyone can compute the shared secret.
    LowOrder,
}

/// What one end would say of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "readers match every case")]
pub enum Verdict {
    /// It passes all checks that need no key.
    Undecided,
    /// It is opened.
    Accepts,
    /// It is refused, for this cause.
    Refuses(Refusal),
}

impl Dissection {
    /// Looks at the first bytes of a datagram of `length` bytes; at all of them, if there are as
    /// many.
    pub fn of(captured: &[u8], length: usize) -> Self {
        let header = Header::parse(captured).ok();
        let has_parts = length >= OVERHEAD;
        let exchange_value = captured.get(HEADER_LEN..).filter(|_| has_parts).and_then(<[u8]>::first_chunk).copied();
        let form = exchange_value.as_ref().map(PointEncoding::of);
        let overhead = header.filter(|_| has_parts).map(overhead);
        let refusal = |wrong_kind, is_wrong: fn(Header) -> bool, weak| {
            if !has_parts {
                return Some(Refusal::Truncated);
            }
            let header = header?;
            if is_wrong(header) {
                return Some(wrong_kind);
            }
            match header.reserved_bits() {
                0 => Suite::from_number(header.suite_number())
                    .err()
                    .or_else(|| (form == Some(PointEncoding::LowOrder)).then_some(weak)),
                bits => Some(Refusal::ReservedFlags { bits }),
            }
        };
        Self {
            length,
            captured: captured.len(),
            kind: header.map(|header| if header.is_reply() { Kind::Reply } else { Kind::Request }),
            authenticated: header.map(Header::has_client_auth),
            flags: header.map(flags),
            flag_names: header.map(flag_names).unwrap_or_default(),
            reserved_flags: header.map(Header::reserved_bits),
            suite: header.map(Header::suite_number),
            suite_name: header.and_then(|header| Suite::from_number(header.suite_number()).ok()).map(Suite::name),
            exchange_value,
            exchange_value_class: form,
            ciphertext_length: header.and_then(|_| length.checked_sub(OVERHEAD)),
            tag: captured.last_chunk().filter(|_| has_parts && captured.len() == length).copied(),
            overhead,
            message_length: overhead.and_then(|overhead| length.checked_sub(overhead)),
            server: Verdict::from(refusal(Refusal::NotRequest, Header::is_reply, Refusal::WeakKey)),
            // No request has a weak exchange value.
            client: Verdict::from(refusal(Refusal::NotReply, |header| !header.is_reply(), Refusal::ReplyMismatch)),
        }
    }

    /// Returns whether all of the datagram is there.
    pub const fn is_complete(&self) -> bool {
        self.captured == self.length
    }
}

impl PointEncoding {
    fn of(bytes: &[u8; EXCHANGE_VALUE_LEN]) -> Self {
        match PublicKey::from_bytes(*bytes).validate() {
            Ok(()) => Self::Canonical,
            Err(Refusal::WeakKey) => Self::LowOrder,
            Err(_) if is_reduced(bytes) => Self::OutsideSubgroup,
            Err(_) => Self::NonCanonical,
        }
    }
}

impl Verdict {
    const fn name(self) -> &'static str {
        match self {
            Self::Undecided => "undecided",
            Self::Accepts => "accepts",
            Self::Refuses(cause) => cause.name(),
        }
    }
}

impl From<Option<Refusal>> for Verdict {
    fn from(refusal: Option<Refusal>) -> Self {
        refusal.map_or(Self::Undecided, Self::Refuses)
    }
}

impl Serialize for Verdict {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

fn flags(header: Header) -> u16 {
    let [high, low, ..] = header.to_bytes();
    u16::from_be_bytes([high, low])
}

fn flag_names(header: Header) -> Vec<&'static str> {
    let names = [(header.is_reply(), "reply"), (header.has_client_auth(), "client_auth")];
    names.into_iter().filter_map(|(is_set, name)| is_set.then_some(name)).collect()
}

fn overhead(header: Header) -> usize {
    if header.has_client_auth() && !header.is_reply() { AUTHENTICATED_OVERHEAD } else { OVERHEAD }
}

/// Whether a little-endian number is below p = 2^255 - 19.
fn is_reduced(bytes: &[u8; 32]) -> bool {
    let [lowest, middle @ .., highest] = bytes;
    *highest < 0x7f || (*highest == 0x7f && (middle.iter().any(|&byte| byte != 0xff) || *lowest < 0xed))
}

#[expect(clippy::ref_option, reason = "serde hands over the field like this")]
fn hex<S: Serializer, T: AsRef<[u8]>>(bytes: &Option<T>, serializer: S) -> Result<S::Ok, S::Error> {
    bytes.as_ref().map(|bytes| base16ct::lower::encode_string(bytes.as_ref())).serialize(serializer)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use pssst::{Client, SecretKey, Server, SysRng};

    use super::*;

    fn reply() -> Vec<u8> {
        let secret = SecretKey::generate(&mut SysRng).unwrap();
        let client = Client::new(secret.public_key()).unwrap();
        let (mut packet, _) = client.seal_request_to_vec(&mut SysRng, b"hello").unwrap();
        Server::new(secret).open_request(&mut packet).unwrap().into_reply_sealer().seal_to_vec(b"hi").unwrap()
    }

    #[test]
    fn every_field_of_a_reply() {
        let packet = reply();
        let dissection = Dissection::of(&packet, packet.len());
        let json = serde_json::to_value(&dissection).unwrap();
        let encoded = base16ct::lower::encode_string(&packet);
        assert_eq!(
            json,
            serde_json::json!({
                "length": 54, "captured": 54, "kind": "reply", "authenticated": false, "flags": 0x8000,
                "flag_names": ["reply"], "reserved_flags": 0, "suite": 1, "suite_name": "X25519_AESGCM128",
                "exchange_value": encoded[8..72], "exchange_value_class": "canonical", "ciphertext_length": 2,
                "tag": encoded[76..], "overhead": 52, "message_length": 2, "server": "not_request", "client": "undecided"
            })
        );
    }

    #[test]
    fn exchange_values_are_told_apart_by_their_form() {
        let mut bytes = *SecretKey::generate(&mut SysRng).unwrap().public_key().as_bytes();
        assert_eq!(PointEncoding::of(&bytes), PointEncoding::Canonical);
        bytes[31] |= 0x80;
        assert_eq!(PointEncoding::of(&bytes), PointEncoding::NonCanonical);
        // p + 9 is the base point once more.
        let mut bytes = [0xff; 32];
        (bytes[0], bytes[31]) = (0xf6, 0x7f);
        assert_eq!(PointEncoding::of(&bytes), PointEncoding::NonCanonical);
        // p + 2 is 2, which is on the twist.
        bytes[0] = 0xef;
        assert_eq!(PointEncoding::of(&bytes), PointEncoding::NonCanonical);
        // p - 1 is a point of order 4; 0 and 1 have low order as well.
        (bytes[0], bytes[31]) = (0xec, 0x7f);
        assert!(is_reduced(&bytes));
        for low in [bytes, [0; 32]] {
            assert_eq!(PointEncoding::of(&low), PointEncoding::LowOrder);
        }
        let mut bytes = [0; 32];
        bytes[0] = 2;
        assert_eq!(PointEncoding::of(&bytes), PointEncoding::OutsideSubgroup);
    }

    #[test]
    fn a_packet_that_was_cut_by_the_capture_is_not_truncated() {
        let packet = reply();
        let dissection = Dissection::of(&packet[..40], packet.len());
        assert_eq!((dissection.server, dissection.client), (Verdict::Refuses(Refusal::NotRequest), Verdict::Undecided));
        assert_eq!((dissection.tag, dissection.message_length), (None, Some(2)));
        assert_eq!(Dissection::of(&packet[..3], packet.len()).server, Verdict::Undecided);
        assert_eq!(Dissection::of(&packet[..40], 40).client, Verdict::Refuses(Refusal::Truncated));
    }

    proptest! {
        /// Whatever a server refuses without a key, it refuses for the cause that is shown here.
        ///
        #[test]
        fn verdicts_are_the_servers(flags: u8, low: bool, suite in 0u16..3, x in prop::array::uniform32(0u8..3), length in 0usize..130) {
            let mut packet = vec![flags & 0xc0, u8::from(low), 0, 0];
            packet[2..].copy_from_slice(&suite.to_be_bytes());
            packet.extend(x);
            packet.resize(length, 7);
            let said = Dissection::of(&packet, length).server;
            let server = Server::new(SecretKey::from_bytes([9; 32]));
            let cause = server.open_request(&mut packet).unwrap_err();
            let expected = if cause == Refusal::DecryptFailed { Verdict::Undecided } else { Verdict::Refuses(cause) };
            prop_assert_eq!(said, expected);
        }
    }
}
