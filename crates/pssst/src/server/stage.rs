//! The stages of a packet at the server (specification, section 7). A single packet passes through
//! them alone, the packets of a batch side by side: each stage says what it wants multiplied, and
//! takes the product.

use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};
use x25519_batch::{PointClass, Product};
use zeroize::{Zeroize, Zeroizing};

use super::client_check::{ClientCheck, ClientClaim, KeyCheck, SharedSecret};
use super::{ReplySealer, Request, Server};
use crate::agreement::KeyAgreement;
use crate::packet::{self, CIPHERTEXT_LEN, CLAIM_LEN, EXCHANGE_VALUE_LEN, Header, RequestParts, TAG_LEN};
use crate::suite::aead::{Direction, TransactionSecret};
use crate::suite::{first, second};
use crate::{PublicKey, Refusal, Suite};

/// How far a packet got. A packet that a stage refuses does not reach the next.
pub(super) enum Stage<'p> {
    /// It passed every check that costs next to nothing.
    Screened(Screened<'p>),
    /// Its front is intact, and names a client key.
    Named(Named<'p>),
    /// It was decrypted, and claims a client key: suite 1.
    Claimed(Claimed<'p>),
    /// The proof of the client key holds, and the caller wants the key validated.
    Proven(Proven<'p>),
    /// It is a request.
    Opened(Request<'p>),
}

impl<'p> Stage<'p> {
    /// Length, reply flag, reserved flags, suite, and the owner's policy as far as the header tells
    /// it.
    pub(super) fn screen(packet: &'p mut [u8], server: &Server) -> Result<Self, Refusal> {
        let len = packet.len();
        let header = Header::parse(packet)?;
        // A reply is refused as one, if it is as long as the same request.
        if len < header.with_reply(false).min_packet_len() {
            return Err(Refusal::Truncated);
        }
        if header.is_reply() {
            return Err(Refusal::NotRequest);
        }
        header.refuse_reserved_bits(header.suite_number())?;
        let suite = Suite::from_number(header.suite_number())?;
        if !server.accepts(suite) {
            return Err(Refusal::UnsupportedSuite { suite: suite.number() });
        }
        server.admit(header)?;
        let RequestParts { header: _, exchange_value, ciphertext, claim, body, tag } =
            RequestParts::split(packet, suite, header.has_client_auth())?;
        let ciphertext = ciphertext.map(|ciphertext| &*ciphertext);
        let claim = claim.map(|claim| &*claim);
        let front = Front { header, suite, exchange_value, tag, len };
        Ok(Self::Screened(Screened { front, ciphertext, claim, body, tried: 0 }))
    }

    /// Returns the request after all stages. A packet that is still at its first stage was opened
    /// by no key.
    pub(super) fn into_request(self) -> Result<Request<'p>, Refusal> {
        match self {
            Self::Opened(request) => Ok(request),
            Self::Screened(_) | Self::Named(_) => Err(Refusal::DecryptFailed),
            Self::Claimed(_) => Err(Refusal::ClientAuthFailed),
            Self::Proven(_) => Err(Refusal::ClientKeyAlias),
        }
    }
}

/// What of a packet every stage needs.
#[derive(Clone, Copy)]
struct Front<'p> {
    header: Header,
    suite: Suite,
    exchange_value: &'p [u8; EXCHANGE_VALUE_LEN],
    tag: &'p [u8; TAG_LEN],
    /// Length of the packet in bytes.
    len: usize,
}

impl Front<'_> {
    fn open(&self, secret: &TransactionSecret, body: &mut [u8]) -> Result<(), Refusal> {
        self.suite.open(secret, Direction::Request, self.header, body, self.tag)
    }

    /// Returns the length in bytes of the message in the opened body.
    fn message_len(&self, body: &[u8]) -> Result<usize, Refusal> {
        if self.header.is_padded() { packet::unpadded_len(body) } else { Ok(body.len()) }
    }

    fn sealer(&self, key: &dyn KeyAgreement, secret: TransactionSecret, server: &Server) -> ReplySealer {
        ReplySealer {
            suite: self.suite,
            request_header: self.header,
            request_tag: *self.tag,
            request_len: self.len,
            exchange_value: *self.exchange_value,
            key_hash: *key.key_hash(),
            secret,
            has_fresh_value: false,
            fresh_value: [0; 32],
            padding: server.reply_padding,
            x25519: server.x25519,
        }
    }
}

/// Needs `Zx = x25519(s, X)` for each of the server's keys, until one opens it.
///
pub(super) struct Screened<'p> {
    front: Front<'p>,
    ciphertext: Option<&'p [u8; CIPHERTEXT_LEN]>,
    claim: Option<&'p [u8; CLAIM_LEN]>,
    body: &'p mut [u8],
    /// Keys that did not open it.
    tried: usize,
}

impl<'p> Screened<'p> {
    pub(super) fn exchange_value(&self) -> &'p [u8; EXCHANGE_VALUE_LEN] {
        self.front.exchange_value
    }

    /// Returns the key to try next.
    pub(super) fn next_key<'s>(&self, server: &'s Server) -> Option<(usize, &'s dyn KeyAgreement)> {
        server.keyring.key(self.front.suite, self.tried)
    }

    /// Tries one key. What it does not open stays screened, for the next one.
    pub(super) fn decrypt(mut self, server: &Server, zx: &Product) -> Result<Stage<'p>, Refusal> {
        let Some((key_index, key)) = self.next_key(server) else { return Ok(Stage::Screened(self)) };
        //
        if zx.is_zero().into() {
            return Err(Refusal::WeakKey);
        }
        self.tried += 1;
        if self.front.suite == Suite::X25519AesGcm128 {
            return self.decrypt_first(server, key_index, key, zx);
        }
        let Front { header, exchange_value, .. } = self.front;
        let agreed = key.agree(zx, exchange_value, self.ciphertext);
        let shared = second::SharedKey::derive(header, key.key_hash(), exchange_value, &agreed);
        if let Some(claim) = self.claim {
            let (client_key, holds) = shared.read_claim(claim);
            if !bool::from(holds) {
                return Ok(Stage::Screened(self));
            }
            return Ok(Stage::Named(Named { front: self.front, client_key, shared, key_index, body: self.body }));
        }
        let secret = shared.into_anonymous();
        if self.front.open(&secret, self.body).is_err() {
            return Ok(Stage::Screened(self));
        }
        let message_len = self.front.message_len(self.body)?;
        let reply_sealer = self.front.sealer(key, secret, server);
        let message = self.body.get_mut(..message_len).unwrap_or_default();
        Ok(Stage::Opened(Request { message, client_key: None, key_index, reply_sealer }))
    }

    /// Suite 1: the proof of the client's key is in the body.
    fn decrypt_first(
        self,
        server: &Server,
        key_index: usize,
        key: &dyn KeyAgreement,
        shared_value: &Product,
    ) -> Result<Stage<'p>, Refusal> {
        let secret = first::derive(self.front.exchange_value, shared_value.as_bytes());
        if self.front.open(&secret, self.body).is_err() {
            return Ok(Stage::Screened(self));
        }
        let reply_sealer = self.front.sealer(key, secret, server);
        if !self.front.header.has_client_auth() {
            return Ok(Stage::Opened(Request { message: self.body, client_key: None, key_index, reply_sealer }));
        }
        //
        let (client_key, rest) = self.body.split_first_chunk_mut().ok_or(Refusal::Truncated)?;
        let (ephemeral, message) = rest.split_first_chunk_mut().ok_or(Refusal::Truncated)?;
        Ok(Stage::Claimed(Claimed { client_key, ephemeral, message, key_index, reply_sealer }))
    }
}

/// Wants Z2, from a table or as `x25519(s, C)`.
pub(super) struct Named<'p> {
    front: Front<'p>,
    pub(super) client_key: PublicKey,
    shared: second::SharedKey,
    key_index: usize,
    body: &'p mut [u8],
}

/// Z2, and what its source knows of the client.
#[derive(Clone, Copy)]
pub(super) enum Z2<'a> {
    Computed(&'a Product),
    LookedUp(&'a LookedUp),
}

/// What [`ClientCheck::look_up`] returned.
pub(super) struct LookedUp {
    z2: Zeroizing<[u8; 32]>,
    is_known: bool,
}

impl<'p> Named<'p> {
    /// Returns the server's key that the packet is for.
    pub(super) fn key<'s>(&self, server: &'s Server) -> Option<&'s dyn KeyAgreement> {
        server.keyring.key_at(self.key_index)
    }

    fn claim(&self) -> ClientClaim<'_> {
        ClientClaim::new(&self.client_key, self.front.suite, self.key_index, self.front.header.has_psk())
    }

    /// Looks Z2 up, unless the caller wants it computed. An unknown key takes a Z2 that nobody has,
    /// which is selected, not branched to, so that both kinds take as long.
    pub(super) fn look_up(&self, server: &Server, check: &(impl ClientCheck + ?Sized)) -> Option<LookedUp> {
        let (mut z2, is_known) = match check.look_up(&self.claim()) {
            SharedSecret::Compute => return None,
            SharedSecret::Known(z2) => (z2, true),
            SharedSecret::Unknown => (Zeroizing::new([0; 32]), false),
        };
        let decoy = self.key(server).map_or(&[0; 32], KeyAgreement::decoy);
        let (words, decoy_words) = (z2.as_chunks_mut().0, decoy.as_chunks().0);
        // Zeros are what everyone knows.
        let all_bits = words.iter().fold(0, |bits, word| bits | u64::from_ne_bytes(*word));
        let is_unknown = Choice::from(u8::from(!is_known)) | all_bits.ct_eq(&0);
        for (word, decoy) in words.iter_mut().zip(decoy_words) {
            let (known, decoy) = (u64::from_ne_bytes(*word), u64::from_ne_bytes(*decoy));
            *word = u64::conditional_select(&known, &decoy, is_unknown).to_ne_bytes();
        }
        Some(LookedUp { z2, is_known })
    }

    /// Decrypts under what Z2 and, where there is one, the pre-shared key give.
    pub(super) fn bind(
        self,
        server: &Server,
        z2: Z2<'_>,
        check: &(impl ClientCheck + ?Sized),
    ) -> Result<Stage<'p>, Refusal> {
        let (z2, is_known) = match z2 {
            Z2::Computed(product) => {
                //
                if bool::from(product.is_zero()) && check.allows_unknown_clients() {
                    return Err(Refusal::WeakKey);
                }
                (product.as_bytes(), true)
            }
            Z2::LookedUp(looked_up) => (&*looked_up.z2, looked_up.is_known),
        };
        let mut opened = None;
        if self.front.header.has_psk() {
            // With the other master too where the first one opens it: how many were tried would
            // tell a client that is known and refused from one that is not known.
            for master in server.psk_masters() {
                let psk = master.psk(&self.client_key);
                let secret = self.shared.bind(&self.client_key, z2, Some(psk.expose_bytes()));
                if self.front.open(&secret, self.body).is_ok() {
                    opened = opened.or(Some(secret));
                }
            }
        } else {
            let secret = self.shared.bind(&self.client_key, z2, None);
            opened = self.front.open(&secret, self.body).is_ok().then_some(secret);
        }
        let (Some(secret), Some(key)) = (opened, self.key(server)) else {
            return Err(Refusal::DecryptFailed);
        };
        //
        if !is_known {
            return Err(Refusal::DecryptFailed);
        }
        let message_len = self.front.message_len(self.body)?;
        let verdict = check.check(&self.claim());
        let reply_sealer = self.front.sealer(key, secret, server);
        let message = self.body.get_mut(..message_len).unwrap_or_default();
        let request = Request { message, client_key: Some(self.client_key), key_index: self.key_index, reply_sealer };
        decide(verdict, self.client_key, request)
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
    pub(super) fn verify(self, product: &Product, check: &(impl ClientCheck + ?Sized)) -> Result<Stage<'p>, Refusal> {
        let Self { client_key, ephemeral, message, key_index, reply_sealer } = self;
        ephemeral.zeroize();
        let holds = product.as_bytes().ct_eq(&reply_sealer.exchange_value);
        //
        if (!holds | product.is_zero()).into() {
            return Err(Refusal::ClientAuthFailed);
        }
        let client_key = PublicKey::from_bytes(*client_key);
        let claim = ClientClaim::new(&client_key, reply_sealer.suite, key_index, false);
        let verdict = check.check(&claim);
        decide(verdict, client_key, Request { message, client_key: Some(client_key), key_index, reply_sealer })
    }
}

/// Follows the caller's decision on a proven client key.
fn decide(verdict: KeyCheck, client_key: PublicKey, request: Request<'_>) -> Result<Stage<'_>, Refusal> {
    match verdict {
        KeyCheck::Accept => Ok(Stage::Opened(request)),
        KeyCheck::Validate => Ok(Stage::Proven(Proven { client_key, request })),
        KeyCheck::RejectUnknown => Err(Refusal::UnknownClient),
        KeyCheck::RejectInactive => Err(Refusal::ClientRefused),
        KeyCheck::RejectWithoutPsk => Err(Refusal::PskRequired),
    }
}

/// Wants the class of C.
pub(super) struct Proven<'p> {
    pub(super) client_key: PublicKey,
    request: Request<'p>,
}

impl<'p> Proven<'p> {
    /// Keys of low order were refused before, so only aliases remain to refuse.
    pub(super) fn accept(self, class: PointClass) -> Result<Stage<'p>, Refusal> {
        match class {
            PointClass::PrimeOrder => Ok(Stage::Opened(self.request)),
            _ => Err(Refusal::ClientKeyAlias),
        }
    }
}
