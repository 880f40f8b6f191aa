//! The parts of a packet that are visible without a key.

use pssst::{EXCHANGE_VALUE_LEN, HEADER_LEN, Header, PublicKey, Refusal, Suite, TAG_LEN, TRANSACTION_ID_LEN};
use serde::{Serialize, Serializer};

/// Length of M in bytes, the masked client key.
const MASKED_CLIENT_KEY_LEN: usize = 32;
/// Length of t in bytes, the check of the client key.
const CLIENT_KEY_CHECK_LEN: usize = 8;
/// Length in bytes of the shortest packet of any kind, a reply.
const MIN_PACKET_LEN: usize = HEADER_LEN + TRANSACTION_ID_LEN + TAG_LEN;
/// Length in bytes of the shortest request of any suite.
const MIN_REQUEST_LEN: usize = HEADER_LEN + EXCHANGE_VALUE_LEN + TAG_LEN;

/// The outer fields of a packet, and the verdicts of both ends.
///
/// Of a packet that is shorter than its header demands, or of an unknown suite, only the header has
/// a meaning: the fields after it are absent.
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
    /// The flags that must be zero under the packet's suite.
    pub reserved_flags: Option<u16>,
    /// The number of the suite.
    pub suite: Option<u16>,
    /// The name of the suite, if it is known.
    pub suite_name: Option<&'static str>,
    /// The exchange value X: 32 bytes, or the first 8 of them in replies of all suites but suite 1.
    #[serde(serialize_with = "hex")]
    pub exchange_value: Option<Vec<u8>>,
    /// The encoding of the exchange value, where all of it is there.
    pub exchange_value_class: Option<PointEncoding>,
    /// The ciphertext of ML-KEM, in requests of suite 0xf003.
    #[serde(serialize_with = "hex")]
    pub kem_ciphertext: Option<Vec<u8>>,
    /// M, in authenticated requests of all suites but suite 1.
    #[serde(serialize_with = "hex")]
    pub masked_client_key: Option<[u8; MASKED_CLIENT_KEY_LEN]>,
    /// t, beside M.
    #[serde(serialize_with = "hex")]
    pub client_key_check: Option<[u8; CLIENT_KEY_CHECK_LEN]>,
    /// The reply's own exchange value Y, in fresh replies.
    #[serde(serialize_with = "hex")]
    pub reply_exchange_value: Option<[u8; EXCHANGE_VALUE_LEN]>,
    /// The encoding of the reply's own exchange value.
    pub reply_exchange_value_class: Option<PointEncoding>,
    /// Length of the encrypted message in bytes, with its padding and the proof of suite 1.
    pub ciphertext_length: Option<usize>,
    /// The authentication tag.
    #[serde(serialize_with = "hex")]
    pub tag: Option<[u8; TAG_LEN]>,
    /// Bytes around message and padding.
    pub overhead: Option<usize>,
    /// Length of the message in bytes. Padding hides it.
    pub message_length: Option<usize>,
    /// Verdict of a server that accepts the packet's suite.
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
        let parts = header.and_then(|header| Parts::split(header, captured, length)).unwrap_or_default();
        let class = |value: &[u8]| value.try_into().ok().map(PointEncoding::of);
        let exchange_value_class = parts.exchange_value.and_then(class);
        let reply_exchange_value_class = parts.reply_exchange_value.and_then(class);
        Self {
            length,
            captured: captured.len(),
            kind: header.map(|header| if header.is_reply() { Kind::Reply } else { Kind::Request }),
            authenticated: header.map(Header::has_client_auth),
            flags: header.map(flags),
            flag_names: header.map(flag_names).unwrap_or_default(),
            reserved_flags: header.map(Header::reserved_bits),
            suite: header.map(Header::suite_number),
            suite_name: header.and_then(suite).map(Suite::name),
            exchange_value: parts.exchange_value.map(<[u8]>::to_vec),
            exchange_value_class,
            kem_ciphertext: parts.kem_ciphertext.map(<[u8]>::to_vec),
            masked_client_key: parts.masked_client_key.and_then(|key| key.try_into().ok()),
            client_key_check: parts.client_key_check.and_then(|check| check.try_into().ok()),
            reply_exchange_value: parts.reply_exchange_value.and_then(|value| value.try_into().ok()),
            reply_exchange_value_class,
            ciphertext_length: parts.ciphertext_length,
            tag: parts.tag.copied(),
            overhead: parts.overhead,
            message_length: parts.message_length,
            server: server_refusal(header, captured, length).into(),
            client: client_refusal(header, captured, length).into(),
        }
    }

    /// Returns whether all of the datagram is there.
    pub const fn is_complete(&self) -> bool {
        self.captured == self.length
    }

    /// Returns whether the datagram may be a packet, by its length and by what was captured of its
    /// header.
    pub fn may_be_packet(&self) -> bool {
        match self.reserved_flags {
            None => self.length >= MIN_PACKET_LEN,
            Some(reserved) => reserved == 0 && self.overhead.is_some(),
        }
    }

    /// Returns the header and suite of a packet, if a key can tell more than its verdict at the end
    /// that it is for: it is undecided, or its fault is inside.
    pub(crate) fn left_to_keys(&self) -> Option<(Header, Suite)> {
        let (header, suite) = self.header()?;
        let is_inside = match if header.is_reply() { self.client } else { self.server } {
            Verdict::Undecided | Verdict::Refuses(Refusal::BadPadding) => true,
            Verdict::Refuses(Refusal::Truncated) => self.length >= header.min_packet_len(),
            _ => false,
        };
        (is_inside && self.is_complete()).then_some((header, suite))
    }

    /// Returns the header, and the suite if it is known.
    pub(crate) fn header(&self) -> Option<(Header, Suite)> {
        let ([a, b], [c, d]) = (self.flags?.to_be_bytes(), self.suite?.to_be_bytes());
        let header = Header::from_bytes(&[a, b, c, d]);
        suite(header).map(|suite| (header, suite))
    }
}

/// The parts of a packet behind its header, as far as they were captured.
#[derive(Default)]
struct Parts<'p> {
    exchange_value: Option<&'p [u8]>,
    reply_exchange_value: Option<&'p [u8]>,
    kem_ciphertext: Option<&'p [u8]>,
    masked_client_key: Option<&'p [u8]>,
    client_key_check: Option<&'p [u8]>,
    ciphertext_length: Option<usize>,
    tag: Option<&'p [u8; TAG_LEN]>,
    overhead: Option<usize>,
    message_length: Option<usize>,
}

impl<'p> Parts<'p> {
    /// Cuts a packet of `length` bytes. There are no parts under an unknown suite, and none of a
    /// packet that is too short for all of them.
    fn split(header: Header, captured: &'p [u8], length: usize) -> Option<Self> {
        let suite = suite(header)?;
        let overhead = overhead(suite, header);
        let content_len = length.checked_sub(overhead)?;
        let (is_reply, is_first) = (header.is_reply(), suite == Suite::X25519AesGcm128);
        let has_claim = !is_reply && !is_first && header.has_client_auth();
        let value_len = if is_reply && !is_first { TRANSACTION_ID_LEN } else { EXCHANGE_VALUE_LEN };
        let kem_ciphertext_len = suite.request_overhead(false) - MIN_REQUEST_LEN;

        let mut place = HEADER_LEN;
        let mut take = |is_there: bool, len: usize| {
            let start = place;
            place += if is_there { len } else { 0 };
            captured.get(start..place).filter(|_| is_there)
        };
        let exchange_value = take(true, value_len);
        let reply_exchange_value = take(is_reply && !is_first && header.is_fresh(), EXCHANGE_VALUE_LEN);
        let kem_ciphertext = take(!is_reply && kem_ciphertext_len > 0, kem_ciphertext_len);
        let masked_client_key = take(has_claim, MASKED_CLIENT_KEY_LEN);
        let client_key_check = take(has_claim, CLIENT_KEY_CHECK_LEN);
        Some(Self {
            exchange_value,
            reply_exchange_value,
            kem_ciphertext,
            masked_client_key,
            client_key_check,
            ciphertext_length: length.checked_sub(place + TAG_LEN),
            tag: captured.last_chunk().filter(|_| captured.len() == length),
            overhead: Some(overhead),
            message_length: Some(content_len).filter(|_| !is_padded(header)),
        })
    }
}

/// Returns why a server refuses a packet, if that shows without a key.
fn server_refusal(header: Option<Header>, captured: &[u8], length: usize) -> Option<Refusal> {
    // A reply is refused as one, if it is as long as the same request.
    let min_len = header.map_or(MIN_REQUEST_LEN, |header| as_request(header).min_packet_len());
    if length < min_len {
        return Some(Refusal::Truncated);
    }
    let header = header?;
    if header.is_reply() {
        return Some(Refusal::NotRequest);
    }
    refused_header(header)
        .or_else(|| is_weak(captured, HEADER_LEN).then_some(Refusal::WeakKey))
        .or_else(|| too_short_inside(header, length))
}

/// Returns why a client refuses a packet, if that shows without a key.
fn client_refusal(header: Option<Header>, captured: &[u8], length: usize) -> Option<Refusal> {
    let suite = header.and_then(suite);
    let min_len = header.zip(suite).map_or(MIN_PACKET_LEN, |(header, suite)| suite.reply_overhead(header.is_fresh()));
    if length < min_len {
        return Some(Refusal::Truncated);
    }
    let header = header?;
    if !header.is_reply() {
        return Some(Refusal::NotReply);
    }
    if let Some(refusal) = refused_header(header) {
        return Some(refusal);
    }
    // No request has a weak exchange value. Under suite 1 a reply has all of it.
    if suite == Some(Suite::X25519AesGcm128) && is_weak(captured, HEADER_LEN) {
        return Some(Refusal::ReplyMismatch);
    }
    if header.is_fresh() && is_weak(captured, HEADER_LEN + TRANSACTION_ID_LEN) {
        return Some(Refusal::WeakKey);
    }
    too_short_inside(header, length)
}

/// Returns whether the exchange value at this place has low order.
fn is_weak(captured: &[u8], place: usize) -> bool {
    let value = captured.get(place..).and_then(<[u8]>::first_chunk);
    value.is_some_and(|value| PointEncoding::of(value) == PointEncoding::LowOrder)
}

/// Returns what is missing in the plaintext, which both ends see after decryption only: the proof
/// of suite 1, or the end of a padded message.
fn too_short_inside(header: Header, length: usize) -> Option<Refusal> {
    let overhead = overhead(suite(header)?, header);
    if length < overhead {
        return Some(Refusal::Truncated);
    }
    (is_padded(header) && length == overhead).then_some(Refusal::BadPadding)
}

/// The checks that both ends make after those of length and kind.
fn refused_header(header: Header) -> Option<Refusal> {
    match header.reserved_bits() {
        0 => Suite::from_number(header.suite_number()).err(),
        bits => Some(Refusal::ReservedFlags { bits }),
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

/// Names those that the packet's suite has.
fn flag_names(header: Header) -> Vec<&'static str> {
    let is_first = suite(header) == Some(Suite::X25519AesGcm128);
    let names = [
        (header.is_reply(), "reply"),
        (header.has_client_auth(), "client_auth"),
        (header.is_padded() && !is_first, "padded"),
        (header.has_psk() && !is_first, "pre_shared_key"),
        (header.is_fresh() && !is_first, "fresh_reply"),
    ];
    names.into_iter().filter_map(|(is_set, name)| is_set.then_some(name)).collect()
}

fn suite(header: Header) -> Option<Suite> {
    Suite::from_number(header.suite_number()).ok()
}

fn overhead(suite: Suite, header: Header) -> usize {
    if header.is_reply() {
        suite.reply_overhead(header.is_fresh())
    } else {
        suite.request_overhead(header.has_client_auth())
    }
}

/// Returns whether there is padding to expect. Suite 1 has none, whatever its flags.
fn is_padded(header: Header) -> bool {
    header.is_padded() && suite(header) != Some(Suite::X25519AesGcm128)
}

fn as_request(header: Header) -> Header {
    let [high, rest @ ..] = header.to_bytes();
    let [low, suite_high, suite_low] = rest;
    Header::from_bytes(&[high & 0x7f, low, suite_high, suite_low])
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
    use pssst::{Client, Keyring, PskMaster, SecretKey, Server, SysRng, XWingSecretKey};

    use super::*;

    const SUITE_1: u16 = Suite::X25519AesGcm128.number();

    fn reply() -> Vec<u8> {
        let secret = SecretKey::generate(&mut SysRng).unwrap();
        let client = Client::new(secret.public_key()).unwrap().with_suite(Suite::X25519AesGcm128).unwrap();
        let (mut packet, _) = client.seal_request_to_vec(&mut SysRng, b"hello").unwrap();
        let sealer = Server::new(secret).open_request(&mut packet).unwrap().into_reply_sealer();
        sealer.seal_to_vec(&mut SysRng, b"hi").unwrap()
    }

    fn header(flags: u16, suite: u16) -> Vec<u8> {
        [flags.to_be_bytes(), suite.to_be_bytes()].concat()
    }

    #[test]
    fn every_field_of_a_reply_of_suite_1() {
        let packet = reply();
        let dissection = Dissection::of(&packet, packet.len());
        let json = serde_json::to_value(&dissection).unwrap();
        let encoded = base16ct::lower::encode_string(&packet);
        assert_eq!(
            json,
            serde_json::json!({
                "length": 54, "captured": 54, "kind": "reply", "authenticated": false, "flags": 0x8000,
                "flag_names": ["reply"], "reserved_flags": 0, "suite": 1, "suite_name": "X25519_AESGCM128",
                "exchange_value": encoded[8..72], "exchange_value_class": "canonical", "kem_ciphertext": null,
                "masked_client_key": null, "client_key_check": null, "reply_exchange_value": null,
                "reply_exchange_value_class": null, "ciphertext_length": 2, "tag": encoded[76..], "overhead": 52,
                "message_length": 2, "server": "not_request", "client": "undecided"
            })
        );
    }

    #[test]
    fn every_field_of_a_transaction_of_suite_f003() {
        let [secret, identity] = [(); 2].map(|()| SecretKey::generate(&mut SysRng).unwrap());
        let xwing = XWingSecretKey::generate(&mut SysRng).unwrap();
        let master = PskMaster::generate(&mut SysRng).unwrap();
        let client = Client::new(xwing.public_key()).unwrap().with_identity(&identity).unwrap();
        let client = client.with_psk(master.psk(&identity.public_key())).unwrap().with_fresh_replies().unwrap();
        let (request, _) = client.seal_request_to_vec(&mut SysRng, b"hello").unwrap();
        let json = serde_json::to_value(Dissection::of(&request, request.len())).unwrap();
        let encoded = base16ct::lower::encode_string(&request);
        assert_eq!(
            json,
            serde_json::json!({
                "length": 1232, "captured": 1232, "kind": "request", "authenticated": true, "flags": 0x7800,
                "flag_names": ["client_auth", "padded", "pre_shared_key", "fresh_reply"], "reserved_flags": 0,
                "suite": 0xf003, "suite_name": "XWING_AES256GCMSIV", "exchange_value": encoded[8..72],
                "exchange_value_class": "canonical", "kem_ciphertext": encoded[72..2248],
                "masked_client_key": encoded[2248..2312], "client_key_check": encoded[2312..2328],
                "reply_exchange_value": null, "reply_exchange_value_class": null, "ciphertext_length": 52,
                "tag": encoded[2432..], "overhead": 1180, "message_length": null, "server": "undecided",
                "client": "not_reply"
            })
        );
        let keyring = Keyring::new(secret).with_xwing_key(&xwing).unwrap();
        let server = Server::new(keyring).with_psk_masters([master]).unwrap();
        let sealer = server.open_request(&mut request.clone()).unwrap().into_reply_sealer();
        let reply = sealer.seal_to_vec(&mut SysRng, b"hi").unwrap();
        let json = serde_json::to_value(Dissection::of(&reply, reply.len())).unwrap();
        let encoded = base16ct::lower::encode_string(&reply);
        assert_eq!(
            json,
            serde_json::json!({
                "length": 1232, "captured": 1232, "kind": "reply", "authenticated": true, "flags": 0xf800,
                "flag_names": ["reply", "client_auth", "padded", "pre_shared_key", "fresh_reply"],
                "reserved_flags": 0, "suite": 0xf003, "suite_name": "XWING_AES256GCMSIV",
                "exchange_value": encoded[8..24], "exchange_value_class": null, "kem_ciphertext": null,
                "masked_client_key": null, "client_key_check": null, "reply_exchange_value": encoded[24..88],
                "reply_exchange_value_class": "canonical", "ciphertext_length": 1172, "tag": encoded[2432..],
                "overhead": 60, "message_length": null, "server": "not_request", "client": "undecided"
            })
        );
    }

    ///
    #[test]
    fn a_packet_below_its_shortest_length_has_a_header_only() {
        let mut lengths = vec![
            (SUITE_1, 0, 52),
            (SUITE_1, 0x4000, 116),
            (SUITE_1, 0x8000, 52),
            (SUITE_1, 0xc000, 52),
            (0xf003, 0x0000, 1140),
            (0xf003, 0x4000, 1180),
        ];
        for suite in [0xf002, 0xf0e1] {
            lengths.extend([(suite, 0x0000, 52), (suite, 0x2800, 52), (suite, 0x4000, 92), (suite, 0x6800, 92)]);
        }
        for suite in [0xf002, 0xf003, 0xf0e1] {
            lengths.extend([(suite, 0x8000, 28), (suite, 0xe000, 28), (suite, 0x8800, 60), (suite, 0xe800, 60)]);
        }
        for (suite, flags, length) in lengths {
            let mut packet = header(flags, suite);
            packet.resize(length, 9);
            let whole = Dissection::of(&packet, length);
            let is_padded = flags & 0x2000 != 0;
            assert_eq!((whole.overhead, whole.message_length), (Some(length), Some(0).filter(|_| !is_padded)));
            assert_eq!(whole.ciphertext_length, Some(if (suite, flags) == (SUITE_1, 0x4000) { 64 } else { 0 }));
            let value_len = if flags & 0x8000 != 0 && suite != SUITE_1 { 8 } else { 32 };
            assert_eq!(whole.exchange_value.as_deref(), Some(&packet[4..4 + value_len]));
            let verdict = if flags & 0x8000 == 0 { whole.server } else { whole.client };
            let expected = if is_padded { Verdict::Refuses(Refusal::BadPadding) } else { Verdict::Undecided };
            assert_eq!(verdict, expected, "{suite:#06x} {flags:#06x}");
            assert!(whole.may_be_packet());

            let short = Dissection::of(&packet[..length - 1], length - 1);
            assert!(!short.may_be_packet());
            assert_header_only(&short);
            let verdict = if flags & 0x8000 == 0 { short.server } else { short.client };
            assert_eq!(verdict, Verdict::Refuses(Refusal::Truncated));
        }
    }

    fn assert_header_only(dissection: &Dissection) {
        let json = serde_json::to_value(dissection).unwrap();
        let present = json.as_object().unwrap().iter().filter(|(_, value)| !value.is_null()).map(|(name, _)| &**name);
        let header = [
            "length",
            "captured",
            "kind",
            "authenticated",
            "flags",
            "flag_names",
            "reserved_flags",
            "suite",
            "suite_name",
            "server",
            "client",
        ];
        assert!(present.into_iter().all(|name| header.contains(&name)), "{json}");
    }

    #[test]
    fn a_packet_of_an_unknown_suite_has_a_header_only() {
        for (flags, min_len) in [(0, 52), (0x4000, 52), (0x8000, 28), (0x8800, 28)] {
            for length in [min_len - 1, min_len, 1300] {
                let mut packet = header(flags, 0xf001);
                packet.resize(length, 9);
                let dissection = Dissection::of(&packet, length);
                assert_header_only(&dissection);
                assert!(!dissection.may_be_packet());
                assert_eq!(dissection.suite, Some(0xf001));
                let expected =
                    if length < min_len { Refusal::Truncated } else { Refusal::UnsupportedSuite { suite: 0xf001 } };
                let verdict = if flags & 0x8000 == 0 { dissection.server } else { dissection.client };
                assert_eq!(verdict, Verdict::Refuses(expected));
            }
        }
    }

    ///
    #[test]
    fn reserved_flags_depend_on_the_suite() {
        for (suite, flags, reserved, names) in [
            (SUITE_1, 0xf800, 0x3800, &["reply", "client_auth"][..]),
            (0xf002, 0xf800, 0, &["reply", "client_auth", "padded", "pre_shared_key", "fresh_reply"]),
            (0xf002, 0x1000, 0x1000, &["pre_shared_key"]),
            (0xf003, 0x4401, 0x0401, &["client_auth"]),
            (0xf0e1, 0x5000, 0x1000, &["client_auth", "pre_shared_key"]),
        ] {
            let mut packet = header(flags, suite);
            packet.resize(1300, 9);
            let dissection = Dissection::of(&packet, packet.len());
            assert_eq!((dissection.reserved_flags, &dissection.flag_names[..]), (Some(reserved), names));
            let refused = Verdict::Refuses(Refusal::ReservedFlags { bits: reserved });
            let verdict = if flags & 0x8000 == 0 { dissection.server } else { dissection.client };
            assert_eq!(verdict == refused, reserved != 0);
            assert_eq!(dissection.may_be_packet(), reserved == 0);
        }
    }

    #[test]
    fn a_weak_value_of_a_fresh_reply_is_refused() {
        let mut packet = header(0x8800, 0xf002);
        packet.resize(12, 9);
        packet.resize(70, 0);
        let dissection = Dissection::of(&packet, packet.len());
        assert_eq!(dissection.reply_exchange_value_class, Some(PointEncoding::LowOrder));
        assert_eq!(dissection.client, Verdict::Refuses(Refusal::WeakKey));
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
        fn verdicts_are_the_servers(
            flags: u8,
            low: bool,
            suite in prop::sample::select(vec![0, 1, 2, 0xf001, 0xf002, 0xf003, 0xf0e1]),
            x in prop::array::uniform32(0u8..3),
            length in 0usize..1300,
            is_short: bool,
        ) {
            let mut packet = header(u16::from_be_bytes([flags & 0xf8, u8::from(low)]), suite);
            packet.extend(x);
            packet.resize(if is_short { length / 10 } else { length }, 7);
            let dissection = Dissection::of(&packet, packet.len());
            let keyring = Keyring::new(SecretKey::from_bytes([9; 32]));
            let keyring = keyring.with_xwing_key(&XWingSecretKey::from_bytes([9; 32])).unwrap();
            let server = Server::new(keyring).with_suites(Suite::ALL.into_iter().collect());
            let server = server.with_psk_masters([PskMaster::from_bytes([9; 32])]).unwrap();
            let cause = server.open_request(&mut packet).unwrap_err();
            let is_after_decryption = flags & 0x80 == 0 && dissection.left_to_keys().is_some();
            prop_assert_eq!(is_after_decryption, cause == Refusal::DecryptFailed);
            prop_assert!(is_after_decryption || dissection.server == Verdict::Refuses(cause));
        }
    }
}
