//! One error type, a variant for every cause.

use core::fmt;

/// Why a packet, a key or a buffer was refused.
///
/// The causes of refused packets have the names of the specification (sections 2, 6 and 7). None of them is ever sent
/// to the network: a server drops the packet and counts the cause ([`Error::name`] is made for that), a client keeps
/// waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Error {
    /// The packet is shorter than header, exchange value and tag (52 bytes), or an authenticated request is too short
    /// for its proof. Stray traffic, or a datagram cut on its way: is the receive buffer as large as the packets?
    Truncated,
    /// A server was handed a reply. Stray or reflected traffic.
    NotRequest,
    /// A client was handed a request, perhaps its own, reflected. Keep waiting for the reply.
    NotReply,
    /// One of the 14 flags that must be zero is set: a later protocol, or no PSSST at all.
    ReservedFlags {
        /// The packet's flags, reserved bits only.
        bits: u16,
    },
    /// The packet's suite is unknown, or is not among those that this end uses.
    /// At a server, see [`Server::with_suites`](crate::Server::with_suites).
    UnsupportedSuite {
        /// The packet's suite number.
        suite: u16,
    },
    /// The request is anonymous, and the server serves authenticated clients only
    /// ([`Server::authenticated_only`](crate::Server::authenticated_only)). Give the client an identity.
    AnonymousRefused,
    /// The shared value is zero, because a public key or an exchange value has low order; anybody could compute it.
    /// No honest key does this: replace the key, or drop the packet.
    WeakKey,
    /// The packet was not sealed for this key, or was changed on its way. After a change of the server's key, requests
    /// sealed for the old one end here: keep it in the [`Keyring`](crate::Keyring) for a while.
    DecryptFailed,
    /// The packet claims a client key without proving it.
    ClientAuthFailed,
    /// The proof holds, but the client key is another encoding or a low-order neighbour of the client's true key
    /// (specification, R-20), or the caller accepts enrolled keys only and this is none of them. Honest clients never
    /// send an alias.
    ClientKeyAlias,
    /// The client proved its key, and the caller knows it and does not serve it
    /// ([`KeyCheck::Deny`](crate::KeyCheck::Deny)): suspended, revoked or expired.
    ClientRefused,
    /// A well-formed reply, but to another request. Keep waiting.
    ReplyMismatch,
    /// The caller's buffer does not hold the packet.
    BufferTooSmall {
        /// Bytes that the packet takes.
        needed: usize,
    },
    /// The text or PEM document is not a key of the kind asked for. Keys are 64 hexadecimal digits or an RFC 8410 PEM
    /// document; is this perhaps a public key where a secret one belongs, or the other way round?
    InvalidKey,
    /// A keyring holds at most [`Keyring::CAPACITY`](crate::Keyring::CAPACITY) keys. Drop one that is no longer used.
    KeyringFull,
    /// The random number generator failed. Nothing was sealed; try again, and look at the system if that persists.
    RandomnessUnavailable,
}

impl Error {
    /// The variant's name, fit for a metric's label: the cause and no data of the packet.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Truncated => "Truncated",
            Self::NotRequest => "NotRequest",
            Self::NotReply => "NotReply",
            Self::ReservedFlags { .. } => "ReservedFlags",
            Self::UnsupportedSuite { .. } => "UnsupportedSuite",
            Self::AnonymousRefused => "AnonymousRefused",
            Self::WeakKey => "WeakKey",
            Self::DecryptFailed => "DecryptFailed",
            Self::ClientAuthFailed => "ClientAuthFailed",
            Self::ClientKeyAlias => "ClientKeyAlias",
            Self::ClientRefused => "ClientRefused",
            Self::ReplyMismatch => "ReplyMismatch",
            Self::BufferTooSmall { .. } => "BufferTooSmall",
            Self::InvalidKey => "InvalidKey",
            Self::KeyringFull => "KeyringFull",
            Self::RandomnessUnavailable => "RandomnessUnavailable",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("packet too short"),
            Self::NotRequest => f.write_str("packet is a reply, not a request"),
            Self::NotReply => f.write_str("packet is a request, not a reply"),
            Self::ReservedFlags { bits } => write!(f, "reserved flags are set ({bits:#06x})"),
            Self::UnsupportedSuite { suite } => write!(f, "cipher suite {suite:#06x} is not in use here"),
            Self::AnonymousRefused => f.write_str("only authenticated clients are served"),
            Self::WeakKey => f.write_str("a public key or exchange value has low order"),
            Self::DecryptFailed => f.write_str("packet was changed, or sealed for another key"),
            Self::ClientAuthFailed => f.write_str("the client did not prove its key"),
            Self::ClientKeyAlias => f.write_str("the client key is an alias, or not an enrolled one"),
            Self::ClientRefused => f.write_str("the client is known, and not served"),
            Self::ReplyMismatch => f.write_str("reply to another request"),
            Self::BufferTooSmall { needed } => write!(f, "buffer too small: the packet takes {needed} bytes"),
            Self::InvalidKey => f.write_str("neither 64 hexadecimal digits nor a PEM key of the kind asked for"),
            Self::KeyringFull => f.write_str("keyring is full"),
            Self::RandomnessUnavailable => f.write_str("random number generator failed"),
        }
    }
}

impl core::error::Error for Error {}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    /// Names are labels of metrics, and texts are read by people: neither changes by accident.
    #[test]
    fn every_cause_has_its_name_and_text() {
        for (error, name, text) in [
            (Error::Truncated, "Truncated", "packet too short"),
            (Error::NotRequest, "NotRequest", "packet is a reply, not a request"),
            (Error::NotReply, "NotReply", "packet is a request, not a reply"),
            (Error::ReservedFlags { bits: 0x81 }, "ReservedFlags", "reserved flags are set (0x0081)"),
            (Error::UnsupportedSuite { suite: 2 }, "UnsupportedSuite", "cipher suite 0x0002 is not in use here"),
            (Error::AnonymousRefused, "AnonymousRefused", "only authenticated clients are served"),
            (Error::WeakKey, "WeakKey", "a public key or exchange value has low order"),
            (Error::DecryptFailed, "DecryptFailed", "packet was changed, or sealed for another key"),
            (Error::ClientAuthFailed, "ClientAuthFailed", "the client did not prove its key"),
            (Error::ClientKeyAlias, "ClientKeyAlias", "the client key is an alias, or not an enrolled one"),
            (Error::ClientRefused, "ClientRefused", "the client is known, and not served"),
            (Error::ReplyMismatch, "ReplyMismatch", "reply to another request"),
            (Error::BufferTooSmall { needed: 53 }, "BufferTooSmall", "buffer too small: the packet takes 53 bytes"),
            (Error::InvalidKey, "InvalidKey", "neither 64 hexadecimal digits nor a PEM key of the kind asked for"),
            (Error::KeyringFull, "KeyringFull", "keyring is full"),
            (Error::RandomnessUnavailable, "RandomnessUnavailable", "random number generator failed"),
        ] {
            assert_eq!((error.name(), error.to_string().as_str()), (name, text));
        }
    }
}
