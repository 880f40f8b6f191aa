//! Causes of refused packets, and the errors of the API.

use core::fmt;

/// Cause of the refusal of a packet or a peer's key.
///
/// The causes are those of the specification (sections 2 to 7). None of them is ever sent to
/// the network: a server drops the packet and counts the cause under its [`name`](Self::name), a
/// client keeps waiting. [R-24] [R-29]
///
/// ```
/// use pssst::Refusal;
///
/// let cause = Refusal::ReservedFlags { bits: 0x81 };
/// assert_eq!(cause.name(), "reserved_flags");
/// assert_eq!(cause.to_string(), "reserved flags are set (0x0081)");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// The packet is shorter than its suite and flags demand: unrelated traffic, or a truncated
    /// datagram. Check that the receive buffer is as large as the packets.
    Truncated,
    /// A server received a reply. Stray or reflected traffic.
    NotRequest,
    /// A client received a request, perhaps its own, reflected. Keep waiting for the reply.
    NotReply,
    /// A flag is set that is reserved under the packet's suite, or that needs another one: a later
    /// version of the protocol, or not PSSST.
    ReservedFlags {
        /// The reserved flags that are set.
        bits: u16,
    },
    /// The packet's suite is unknown, or is not accepted by this end. At a server, see
    /// [`Server::with_suites`](crate::Server::with_suites).
    UnsupportedSuite {
        /// The packet's suite number.
        suite: u16,
    },
    /// The request is anonymous, and the server serves authenticated clients only
    /// ([`Server::authenticated_only`](crate::Server::authenticated_only)). Give the client an
    /// identity.
    AnonymousRefused,
    /// The request asks for a fresh reply, and the server gives none
    /// ([`FreshReplies::Refuse`](crate::FreshReplies::Refuse)).
    FreshRefused,
    /// The request does not ask for a fresh reply, and the server demands it
    /// ([`FreshReplies::Require`](crate::FreshReplies::Require)).
    FreshRequired,
    /// The shared secret is zero, because a public key or an exchange value has low order, so that
    /// anyone could compute it. Honest keys never have low order: replace the key, or drop the
    /// packet.
    WeakKey,
    /// The packet was sealed for another key, or changed in transit. After a rotation, requests
    /// sealed for the old key are refused with this cause: keep that key in the
    /// [`Keyring`](crate::Keyring) during a grace period. A server whose clients' secrets are
    /// precomputed ([`ClientCheck::look_up`](crate::ClientCheck::look_up)) cannot tell a client
    /// that is not enrolled from a forgery, and refuses both with this cause.
    DecryptFailed,
    /// The padding flag is set, and the message is not padded: an error of the sender, who holds
    /// the packet's key.
    BadPadding,
    /// The packet, of suite 1, claims a client key without proving it.
    ClientAuthFailed,
    /// The proof holds, but the client key is an alias of the client's key: another encoding, or a
    /// sum with a low-order point (specification, R-20). Honest clients never send an alias.
    ClientKeyAlias,
    /// The client proved its key, and the client check does not know it
    /// ([`KeyCheck::RejectUnknown`](crate::KeyCheck::RejectUnknown)). Enrol the client.
    UnknownClient,
    /// The client proved its key, and the client check knows it and does not serve it
    /// ([`KeyCheck::RejectInactive`](crate::KeyCheck::RejectInactive)): suspended, revoked or
    /// expired.
    ClientRefused,
    /// The client proved its key, and the client check demands that it uses its pre-shared key,
    /// which it did not ([`KeyCheck::RejectWithoutPsk`](crate::KeyCheck::RejectWithoutPsk)). Give
    /// the client its pre-shared key; if it has it and uses it, someone else has the client's
    /// secret key. [R-46]
    PskRequired,
    /// A well-formed reply, but to another request. Keep waiting.
    ReplyMismatch,
}

impl Refusal {
    /// The number of causes.
    #[doc(hidden)]
    pub const COUNT: usize = 17;

    /// Every cause, in the order of [`index`](Self::index); data are zero. For tables of counters.
    #[doc(hidden)]
    pub const ALL: [Self; Self::COUNT] = [
        Self::Truncated,
        Self::NotRequest,
        Self::NotReply,
        Self::ReservedFlags { bits: 0 },
        Self::UnsupportedSuite { suite: 0 },
        Self::AnonymousRefused,
        Self::FreshRefused,
        Self::FreshRequired,
        Self::WeakKey,
        Self::DecryptFailed,
        Self::BadPadding,
        Self::ClientAuthFailed,
        Self::ClientKeyAlias,
        Self::UnknownClient,
        Self::ClientRefused,
        Self::PskRequired,
        Self::ReplyMismatch,
    ];

    /// Returns the cause's place in [`ALL`](Self::ALL), below [`COUNT`](Self::COUNT).
    #[doc(hidden)]
    pub const fn index(self) -> usize {
        match self {
            Self::Truncated => 0,
            Self::NotRequest => 1,
            Self::NotReply => 2,
            Self::ReservedFlags { .. } => 3,
            Self::UnsupportedSuite { .. } => 4,
            Self::AnonymousRefused => 5,
            Self::FreshRefused => 6,
            Self::FreshRequired => 7,
            Self::WeakKey => 8,
            Self::DecryptFailed => 9,
            Self::BadPadding => 10,
            Self::ClientAuthFailed => 11,
            Self::ClientKeyAlias => 12,
            Self::UnknownClient => 13,
            Self::ClientRefused => 14,
            Self::PskRequired => 15,
            Self::ReplyMismatch => 16,
        }
    }

    /// Returns the cause in `snake_case`, for logs, metric labels and JSON. It contains no data of
    /// the packet.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Truncated => "truncated",
            Self::NotRequest => "not_request",
            Self::NotReply => "not_reply",
            Self::ReservedFlags { .. } => "reserved_flags",
            Self::UnsupportedSuite { .. } => "unsupported_suite",
            Self::AnonymousRefused => "anonymous_refused",
            Self::FreshRefused => "fresh_refused",
            Self::FreshRequired => "fresh_required",
            Self::WeakKey => "weak_key",
            Self::DecryptFailed => "decrypt_failed",
            Self::BadPadding => "bad_padding",
            Self::ClientAuthFailed => "client_auth_failed",
            Self::ClientKeyAlias => "client_key_alias",
            Self::UnknownClient => "unknown_client",
            Self::ClientRefused => "client_refused",
            Self::PskRequired => "psk_required",
            Self::ReplyMismatch => "reply_mismatch",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("packet too short"),
            Self::NotRequest => f.write_str("packet is a reply, not a request"),
            Self::NotReply => f.write_str("packet is a request, not a reply"),
            Self::ReservedFlags { bits } => write!(f, "reserved flags are set ({bits:#06x})"),
            Self::UnsupportedSuite { suite } => write!(f, "cipher suite {suite:#06x} is not accepted here"),
            Self::AnonymousRefused => f.write_str("only authenticated clients are served"),
            Self::FreshRefused => f.write_str("no fresh replies are given here"),
            Self::FreshRequired => f.write_str("only requests for fresh replies are served"),
            Self::WeakKey => f.write_str("a public key or exchange value has low order"),
            Self::DecryptFailed => f.write_str("packet was changed or sealed for another key"),
            Self::BadPadding => f.write_str("the message is not padded as its flag says"),
            Self::ClientAuthFailed => f.write_str("the client did not prove its key"),
            Self::ClientKeyAlias => f.write_str("the client key is an alias of another key"),
            Self::UnknownClient => f.write_str("the client's key is not enrolled"),
            Self::ClientRefused => f.write_str("the client is suspended, revoked or expired"),
            Self::PskRequired => f.write_str("the client did not use its pre-shared key"),
            Self::ReplyMismatch => f.write_str("reply to another request"),
        }
    }
}

impl core::error::Error for Refusal {}

/// Error of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Error {
    /// The packet or the peer's key was refused.
    Refused(Refusal),
    /// The caller's buffer is too small for the packet.
    BufferTooSmall {
        /// Length of the packet in bytes.
        needed: usize,
    },
    /// The message does not fit into the length that requests are padded to. Send without padding,
    /// or pad to a longer datagram: [`Client::with_padding`](crate::Client::with_padding).
    MessageTooLong {
        /// Length in bytes of the longest message that fits.
        limit: usize,
    },
    /// The client cannot use its suite as it is configured: suite 1 has no padding, no pre-shared
    /// keys and no fresh replies; a pre-shared key needs an identity; and a server key fits only
    /// the suites of its kind.
    UnsupportedOption,
    /// The text or PEM document is not a key of the expected kind. Keys are text with a prefix,
    /// hexadecimal digits or an RFC 8410 PEM document. Check that it is not a public key in place
    /// of a secret one, or the reverse. A server key is also not a key when no secret key has it as
    /// its public key: another encoding, or the sum with a point of low order. [R-35]
    InvalidKey,
    /// A key's text has the prefix of a key and a wrong checksum: a character was changed, lost or
    /// added. Copy it again.
    KeyChecksum,
    /// A keyring holds at most [`Keyring::CAPACITY`](crate::Keyring::CAPACITY) keys. Drop one that
    /// is not used any more.
    KeyringFull,
    /// A keyring has no key at this place, or there are not as many results as inputs.
    OutOfRange,
    /// The random number generator failed. Nothing was sealed. Try again, and check the system if
    /// the error persists.
    RandomnessUnavailable,
}

impl From<Refusal> for Error {
    fn from(cause: Refusal) -> Self {
        Self::Refused(cause)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(cause) => cause.fmt(f),
            Self::BufferTooSmall { needed } => write!(f, "buffer too small: the packet takes {needed} bytes"),
            Self::MessageTooLong { limit } => write!(
                f,
                "message too long: with padding at most {limit} bytes fit; send without padding or in a larger datagram"
            ),
            Self::UnsupportedOption => f.write_str("the client's suite and its options or keys do not go together"),
            Self::InvalidKey => f.write_str("not a key of the expected kind, as text or PEM"),
            Self::KeyChecksum => {
                f.write_str("the key's checksum does not fit: a character is wrong, missing or one too many")
            }
            Self::KeyringFull => f.write_str("keyring is full"),
            Self::OutOfRange => f.write_str("no key at this place, or not as many results as inputs"),
            Self::RandomnessUnavailable => f.write_str("random number generator failed"),
        }
    }
}

/// A refusal is not repeated as the source: its text is the error's own.
impl core::error::Error for Error {}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    /// Names are labels of metrics, and texts are read by people: neither changes by accident.
    #[test]
    fn every_refusal_has_its_place_name_and_text() {
        let expected = [
            ("truncated", "packet too short"),
            ("not_request", "packet is a reply, not a request"),
            ("not_reply", "packet is a request, not a reply"),
            ("reserved_flags", "reserved flags are set (0x0000)"),
            ("unsupported_suite", "cipher suite 0x0000 is not accepted here"),
            ("anonymous_refused", "only authenticated clients are served"),
            ("fresh_refused", "no fresh replies are given here"),
            ("fresh_required", "only requests for fresh replies are served"),
            ("weak_key", "a public key or exchange value has low order"),
            ("decrypt_failed", "packet was changed or sealed for another key"),
            ("bad_padding", "the message is not padded as its flag says"),
            ("client_auth_failed", "the client did not prove its key"),
            ("client_key_alias", "the client key is an alias of another key"),
            ("unknown_client", "the client's key is not enrolled"),
            ("client_refused", "the client is suspended, revoked or expired"),
            ("psk_required", "the client did not use its pre-shared key"),
            ("reply_mismatch", "reply to another request"),
        ];
        for (index, (cause, (name, text))) in Refusal::ALL.into_iter().zip(expected).enumerate() {
            assert_eq!((cause.index(), cause.name(), cause.to_string().as_str()), (index, name, text));
            assert_eq!(Error::from(cause).to_string(), text);
        }
        assert_eq!(Refusal::ReservedFlags { bits: 0x81 }.to_string(), "reserved flags are set (0x0081)");
        assert_eq!(Refusal::UnsupportedSuite { suite: 2 }.to_string(), "cipher suite 0x0002 is not accepted here");
    }

    #[test]
    fn every_error_has_its_text() {
        for (error, text) in [
            (Error::BufferTooSmall { needed: 53 }, "buffer too small: the packet takes 53 bytes"),
            (
                Error::MessageTooLong { limit: 91 },
                "message too long: with padding at most 91 bytes fit; send without padding or in a larger datagram",
            ),
            (Error::UnsupportedOption, "the client's suite and its options or keys do not go together"),
            (Error::InvalidKey, "not a key of the expected kind, as text or PEM"),
            (Error::KeyChecksum, "the key's checksum does not fit: a character is wrong, missing or one too many"),
            (Error::KeyringFull, "keyring is full"),
            (Error::OutOfRange, "no key at this place, or not as many results as inputs"),
            (Error::RandomnessUnavailable, "random number generator failed"),
        ] {
            assert_eq!(error.to_string(), text);
        }
    }
}
