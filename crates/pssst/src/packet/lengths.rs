//! Lengths of the packet's parts (specification, section 2).

/// Length of the header in bytes: two of flags, two of suite.
pub const HEADER_LEN: usize = 4;
/// Length of a request's exchange value in bytes. It follows the header.
pub const EXCHANGE_VALUE_LEN: usize = 32;
/// Length of the front of the exchange value in bytes. It follows every header, and a client finds
/// the request of a reply by it.
pub const TRANSACTION_ID_LEN: usize = 8;
/// Length of the authentication tag in bytes. It ends the packet.
pub const TAG_LEN: usize = 16;

/// Length of a reply's own exchange value Y in bytes, where it is a fresh reply.
pub(crate) const FRESH_VALUE_LEN: usize = 32;
/// Length of suite 1's proof in bytes: client key and ephemeral secret. It begins the plaintext of
/// an authenticated request.
pub(crate) const PROOF_LEN: usize = 64;
/// Length of a masked client key and its check in bytes: M and t.
pub(crate) const CLAIM_LEN: usize = 40;
/// Length of ML-KEM-768's ciphertext in bytes.
pub(crate) const CIPHERTEXT_LEN: usize = 1088;
