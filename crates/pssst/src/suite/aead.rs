//! Common parts of the suites' AEADs (specification, sections 4 and 5): each is one
//! `impl CipherSuite`.

use aes_gcm::aead::AeadInOut;
use aes_gcm::aead::consts::{U12, U16};
use zeroize::Zeroizing;

use crate::packet::{EXCHANGE_VALUE_LEN, FRESH_VALUE_LEN, HEADER_LEN, Header, TAG_LEN, TRANSACTION_ID_LEN};
use crate::{Error, Refusal};

/// Which of a transaction's two messages, and what binds a reply to its request: each has its own
/// nonce and additional data.
#[derive(Clone, Copy)]
pub(crate) enum Direction<'a> {
    Request,
    Reply {
        exchange_value: &'a [u8; EXCHANGE_VALUE_LEN],
        fresh_value: Option<&'a [u8; 32]>,
        request_tag: &'a [u8; TAG_LEN],
    },
}

/// D: what a transaction's keys are made of. Anyone who has it reads both messages, but for a fresh
/// reply, and can make others.
pub(crate) struct TransactionSecret(pub(crate) Zeroizing<[u8; 32]>);

pub(super) trait CipherSuite {
    type Aead: AeadInOut<NonceSize = U12, TagSize = U16>;

    fn aead(secret: &[u8; 32]) -> Self::Aead;

    fn nonce(secret: &[u8; 32], direction: Direction<'_>) -> [u8; 12];

    fn additional_data(header: Header, direction: Direction<'_>) -> AdditionalData;
}

/// The bytes that a packet's tag covers beside its body.
pub(super) struct AdditionalData {
    bytes: [u8; Self::MAX_LEN],
    len: usize,
}

impl AdditionalData {
    const MAX_LEN: usize = HEADER_LEN + TRANSACTION_ID_LEN + FRESH_VALUE_LEN + TAG_LEN;

    /// Every packet's tag covers its header as it was received.
    pub(super) const fn new(header: Header) -> Self {
        let [a, b, c, d] = header.to_bytes();
        let mut bytes = [0; Self::MAX_LEN];
        (bytes[0], bytes[1], bytes[2], bytes[3]) = (a, b, c, d);
        Self { bytes, len: HEADER_LEN }
    }

    /// There is room for everything that a suite covers.
    pub(super) fn push(&mut self, part: &[u8]) {
        let end = self.len + part.len();
        if let Some(place) = self.bytes.get_mut(self.len..end) {
            place.copy_from_slice(part);
            self.len = end;
        }
    }

    fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

pub(super) fn seal<C: CipherSuite>(
    secret: &TransactionSecret,
    direction: Direction<'_>,
    header: Header,
    body: &mut [u8],
) -> Result<[u8; TAG_LEN], Error> {
    let needed = body.len();
    let nonce = C::nonce(&secret.0, direction).into();
    let additional_data = C::additional_data(header, direction);
    let tag = C::aead(&secret.0).encrypt_inout_detached(&nonce, additional_data.as_bytes(), body.into());
    // Only a message beyond 64 GiB fails, which no datagram holds.
    tag.map(Into::into).map_err(|_| Error::BufferTooSmall { needed })
}

pub(super) fn open<C: CipherSuite>(
    secret: &TransactionSecret,
    direction: Direction<'_>,
    header: Header,
    body: &mut [u8],
    tag: &[u8; TAG_LEN],
) -> Result<(), Refusal> {
    let nonce = C::nonce(&secret.0, direction).into();
    let additional_data = C::additional_data(header, direction);
    C::aead(&secret.0)
        .decrypt_inout_detached(&nonce, additional_data.as_bytes(), body.into(), tag.into())
        .map_err(|_| Refusal::DecryptFailed)
}
