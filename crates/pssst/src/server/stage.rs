//! The stages of a packet at the server (specification, section 7). A single packet passes through
//! them alone, the packets of a batch side by side: each stage says what it wants multiplied, and
//! takes the product.

use subtle::ConstantTimeEq;
use x25519_batch::{PointClass, Product};
use zeroize::Zeroize;

use super::{KeyCheck, ReplySealer, Request, Server};
use crate::keyring::ServerKey;
use crate::packet::{EXCHANGE_VALUE_LEN, Header, Parts, TAG_LEN};
use crate::suite::{Agreement, Direction};
use crate::{PublicKey, Refusal, Suite};

/// How far a packet got. A packet that a stage refuses does not reach the next.
pub(super) enum Stage<'p> {
    /// It passed every check that costs next to nothing.
    Screened(Screened<'p>),
    /// It was decrypted, and claims a client key.
    Claimed(Claimed<'p>),
    /// The proof of the client key holds, and the caller wants the key validated.
    Proven(Proven<'p>),
    /// It is a request.
    Opened(Request<'p>),
}

impl<'p> Stage<'p> {
    /// Length, reply flag, reserved flags, suite, and whether an anonymous request is welcome.
    ///
    pub(super) fn screen(packet: &'p mut [u8], server: &Server) -> Result<Self, Refusal> {
        let Parts { header, exchange_value, body, tag } = Parts::split(packet)?;
        let header = Header::from_bytes(header);
        if header.is_reply() {
            return Err(Refusal::NotRequest);
        }
        header.refuse_reserved_bits()?;
        let suite = Suite::from_number(header.suite_number())?;
        if !server.suites.contains(suite) {
            return Err(Refusal::UnsupportedSuite { suite: suite.number() });
        }
        //
        if server.is_authenticated_only && !header.has_client_auth() {
            return Err(Refusal::AnonymousRefused);
        }
        Ok(Self::Screened(Screened { header, suite, exchange_value, body, tag }))
    }

    /// Returns the request after all stages. A packet that is still at its first stage was opened
    /// by no key.
    pub(super) fn into_request(self) -> Result<Request<'p>, Refusal> {
        match self {
            Self::Opened(request) => Ok(request),
            Self::Screened(_) => Err(Refusal::DecryptFailed),
            Self::Claimed(_) => Err(Refusal::ClientAuthFailed),
            Self::Proven(_) => Err(Refusal::ClientKeyAlias),
        }
    }
}

/// Needs `Z = x25519(s, X)` for each of the server's keys, until one opens it.
pub(super) struct Screened<'p> {
    header: Header,
    suite: Suite,
    pub(super) exchange_value: &'p [u8; EXCHANGE_VALUE_LEN],
    body: &'p mut [u8],
    tag: &'p [u8; TAG_LEN],
}

impl<'p> Screened<'p> {
    /// Tries one key. What it fails to decrypt stays screened, for the next one.
    pub(super) fn decrypt(
        self,
        key_index: usize,
        key: &ServerKey,
        shared_value: &Product,
    ) -> Result<Stage<'p>, Refusal> {
        let Self { header, suite, exchange_value, body, tag } = self;
        //
        if shared_value.is_zero().into() {
            return Err(Refusal::WeakKey);
        }
        let secret = suite.derive(&Agreement {
            request_header: header,
            server_key: key.public.as_bytes(),
            exchange_value,
            shared_value: shared_value.as_bytes(),
        });
        if suite.open(&secret, Direction::Request, header, body, tag).is_err() {
            return Ok(Stage::Screened(Self { header, suite, exchange_value, body, tag }));
        }
        let reply_sealer = ReplySealer { suite, request_header: header, exchange_value: *exchange_value, secret };
        if !header.has_client_auth() {
            return Ok(Stage::Opened(Request { message: body, client_key: None, key_index, reply_sealer }));
        }
        //
        let (client_key, rest) = body.split_first_chunk_mut().ok_or(Refusal::Truncated)?;
        let (ephemeral, message) = rest.split_first_chunk_mut().ok_or(Refusal::Truncated)?;
        Ok(Stage::Claimed(Claimed { client_key, ephemeral, message, key_index, reply_sealer }))
    }
}

/// Wants `x25519(e, C)`.
pub(super) struct Claimed<'p> {
    pub(super) client_key: &'p [u8; 32],
    pub(super) ephemeral: &'p mut [u8; 32],
    message: &'p mut [u8],
    key_index: usize,
    reply_sealer: ReplySealer,
}

impl<'p> Claimed<'p> {
    /// Wipes e, and accepts C when x25519(e, C) equals X and `check` does not object.
    pub(super) fn verify(
        self,
        product: &Product,
        check: impl Fn(&PublicKey) -> KeyCheck,
    ) -> Result<Stage<'p>, Refusal> {
        let Self { client_key, ephemeral, message, key_index, reply_sealer } = self;
        ephemeral.zeroize();
        let holds = product.as_bytes().ct_eq(&reply_sealer.exchange_value);
        //
        if (!holds | product.is_zero()).into() {
            return Err(Refusal::ClientAuthFailed);
        }
        let client_key = PublicKey::from_bytes(*client_key);
        let request = Request { message, client_key: Some(client_key), key_index, reply_sealer };
        match check(&client_key) {
            KeyCheck::Accept => Ok(Stage::Opened(request)),
            KeyCheck::Validate => Ok(Stage::Proven(Proven { client_key, request })),
            KeyCheck::RejectUnknown => Err(Refusal::UnknownClient),
            KeyCheck::RejectInactive => Err(Refusal::ClientRefused),
        }
    }
}

/// Wants the class of C.
pub(super) struct Proven<'p> {
    pub(super) client_key: PublicKey,
    request: Request<'p>,
}

impl<'p> Proven<'p> {
    /// The proof has already refused keys of low order, so only aliases remain to refuse.
    pub(super) fn accept(self, class: PointClass) -> Result<Stage<'p>, Refusal> {
        match class {
            PointClass::PrimeOrder => Ok(Stage::Opened(self.request)),
            _ => Err(Refusal::ClientKeyAlias),
        }
    }
}
