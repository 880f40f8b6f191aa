//! The one reply to a request.

use core::fmt;

use rand_core::TryCryptoRng;
use x25519_batch::X25519;
use zeroize::{ZeroizeOnDrop, Zeroizing, zeroize_stack};

use super::ReplyPadding;
use crate::batch::{BATCH_LEN, Products, STACK_WIPE_LEN};
use crate::key::fill;
use crate::packet::{self, EXCHANGE_VALUE_LEN, Header, ReplyParts, TAG_LEN};
use crate::suite::aead::{Direction, TransactionSecret};
use crate::suite::second;
use crate::{Error, Refusal, SecretKey, Suite};

/// Seals the one reply to a request.
///
/// Sealing consumes it: a second use does not compile. [R-25] Wiped when dropped. It borrows
/// nothing and can be sent to another thread or kept while a handler waits.
///
/// # One request, one answer
///
/// The network may deliver a request twice, and then two of these exist, in this server or in
/// another of its pool. Under suite 1 both seal with the same key and nonce: **a handler must
/// answer the same request with the same bytes.** See [the crate's
/// documentation](crate#one-request-one-answer).
///
/// ```compile_fail,E0382
/// # use pssst::SysRng;
/// # fn answer(sealer: pssst::ReplySealer) -> Result<(), pssst::Error> {
/// let first = sealer.seal_to_vec(&mut SysRng, b"yes")?;
/// let second = sealer.seal_to_vec(&mut SysRng, b"no")?; // error[E0382]: use of moved value
/// # Ok(())
/// # }
/// ```
pub struct ReplySealer {
    pub(super) suite: Suite,
    pub(super) request_header: Header,
    pub(super) request_tag: [u8; TAG_LEN],
    /// Length of the request's packet in bytes.
    pub(super) request_len: usize,
    pub(super) exchange_value: [u8; EXCHANGE_VALUE_LEN],
    /// P
    pub(super) key_hash: [u8; 32],
    /// D; or D', once there is a Y.
    pub(super) secret: TransactionSecret,
    pub(super) has_fresh_value: bool,
    /// Y, if there is one. No `Option`: what is moved with `None` are 32 bytes of the stack, which
    /// may have held a secret. [R-32]
    pub(super) fresh_value: [u8; 32],
    pub(super) padding: ReplyPadding,
    pub(super) x25519: X25519,
}

impl ReplySealer {
    /// Returns the exchange value of the request.
    pub const fn exchange_value(&self) -> &[u8; EXCHANGE_VALUE_LEN] {
        &self.exchange_value
    }

    /// Returns whether the reply will be a fresh one: sealing it computes two X25519.
    pub const fn is_fresh(&self) -> bool {
        self.request_header.is_fresh()
    }

    /// Returns the offset of the message in the reply, in bytes.
    pub const fn message_offset(&self) -> usize {
        self.suite.reply_overhead(self.is_fresh()) - TAG_LEN
    }

    /// Returns the length in bytes of the reply's packet with a message of so many bytes: what it
    /// has beside the message, and padding.
    pub fn packet_len(&self, message_len: usize) -> usize {
        self.layout(message_len).0
    }

    /// Returns the packet's length, and whether it is padded. [R-49]
    fn layout(&self, message_len: usize) -> (usize, bool) {
        let len = self.suite.reply_overhead(self.is_fresh()).saturating_add(message_len);
        let target = match self.padding {
            ReplyPadding::AsRequest if self.request_header.is_padded() => self.request_len,
            ReplyPadding::ToLength(target) if self.suite.has_claim() => target,
            _ => 0,
        };
        if len < target { (target, true) } else { (len, false) }
    }

    /// Returns the sealer with another rule for the length of its reply than its server's.
    #[must_use]
    pub fn with_padding(self, padding: ReplyPadding) -> Self {
        Self { padding, ..self }
    }

    /// Seals a message into the front of `buffer`, which holds at least
    /// [`packet_len`](Self::packet_len) bytes. Returns the packet. The generator is used for a
    /// fresh reply only.
    ///
    /// # Errors
    /// [`Error::BufferTooSmall`], and for a fresh reply [`Error::RandomnessUnavailable`] or
    /// [`Refusal::WeakKey`]; the reply is then forgone.
    pub fn seal<'b, R: TryCryptoRng + ?Sized>(
        mut self,
        rng: &mut R,
        message: &[u8],
        buffer: &'b mut [u8],
    ) -> Result<&'b mut [u8], Error> {
        self.seal_once(rng, message, buffer)
    }

    /// Seals as [`seal`](Self::seal) does, without moving the secret: a sealer in a box leaves no
    /// copy of it behind when it is handed from one place to another. [R-32]
    ///
    /// # Errors
    /// The errors of [`seal`](Self::seal); the reply is then forgone.
    #[cfg(feature = "alloc")]
    #[expect(clippy::boxed_local, reason = "the box is what keeps the secret in its place")]
    pub fn seal_boxed<'b, R: TryCryptoRng + ?Sized>(
        mut self: alloc::boxed::Box<Self>,
        rng: &mut R,
        message: &[u8],
        buffer: &'b mut [u8],
    ) -> Result<&'b mut [u8], Error> {
        self.seal_once(rng, message, buffer)
    }

    /// Seals a message that is already where it belongs: at
    /// [`message_offset`](Self::message_offset) in `buffer`, which holds at least
    /// [`packet_len`](Self::packet_len) bytes. Returns the packet.
    ///
    /// ```
    /// # use pssst::{Client, Error, SecretKey, Server, SysRng};
    /// # let secret = SecretKey::generate(&mut SysRng)?;
    /// # let client = Client::new(secret.public_key())?;
    /// # let server = Server::new(secret);
    /// # let (mut packet, pending) = client.seal_request_to_vec(&mut SysRng, b"valve?")?;
    /// # let sealer = server.open_request(&mut packet)?.into_reply_sealer();
    /// let mut buffer = [0; 1232];
    /// buffer[sealer.message_offset()..][..4].copy_from_slice(b"shut");
    /// let packet = sealer.seal_in_place(&mut SysRng, 4, &mut buffer)?;
    /// # assert_eq!(pending.open(packet)?, b"shut");
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// The errors of [`seal`](Self::seal); the reply is then forgone.
    pub fn seal_in_place<'b, R: TryCryptoRng + ?Sized>(
        mut self,
        rng: &mut R,
        message_len: usize,
        buffer: &'b mut [u8],
    ) -> Result<&'b mut [u8], Error> {
        self.seal_in_place_once(rng, message_len, buffer)
    }

    /// Seals a message into a new packet.
    ///
    /// # Errors
    /// For a fresh reply [`Error::RandomnessUnavailable`] or [`Refusal::WeakKey`].
    #[cfg(feature = "alloc")]
    pub fn seal_to_vec<R: TryCryptoRng + ?Sized>(
        self,
        rng: &mut R,
        message: &[u8],
    ) -> Result<alloc::vec::Vec<u8>, Error> {
        let mut packet = alloc::vec![0; self.packet_len(message.len())];
        self.seal(rng, message, &mut packet)?;
        Ok(packet)
    }

    /// Computes what the fresh ones among these replies need, together: the message beside each
    /// sealer is the one to be sealed. Sealing them afterwards needs no more X25519, and gives the
    /// bytes that it would have given with the same generator. The others stay as they are.
    ///
    /// # Errors
    /// [`Error::RandomnessUnavailable`], before anything was computed.
    pub fn prepare_batch<'a, R: TryCryptoRng + ?Sized>(
        rng: &mut R,
        replies: impl IntoIterator<Item = (&'a mut Self, &'a [u8])>,
    ) -> Result<(), Error> {
        let mut replies = replies.into_iter().filter(|(sealer, _)| sealer.needs_fresh_value()).fuse();
        loop {
            let mut piece = [const { None }; BATCH_LEN];
            let mut count = 0;
            for (place, reply) in piece.iter_mut().zip(replies.by_ref()) {
                *place = Some(reply);
                count += 1;
            }
            let piece = piece.get_mut(..count).unwrap_or_default();
            let Some(x25519) = piece.iter().flatten().next().map(|(sealer, _)| sealer.x25519) else { return Ok(()) };
            let outcome = prepare_piece(rng, x25519, piece);
            zeroize_stack::<STACK_WIPE_LEN>();
            outcome?;
        }
    }

    fn needs_fresh_value(&self) -> bool {
        self.is_fresh() && !self.has_fresh_value
    }

    /// y, hedged like e. [R-39]
    fn draw_fresh<R: TryCryptoRng + ?Sized>(&self, rng: &mut R, message: &[u8]) -> Result<SecretKey, Error> {
        let mut random = Zeroizing::new([0; 32]);
        fill(rng, &mut random)?;
        Ok(second::Hedge::FreshReply.scalar(&random, &self.secret.0, &self.key_hash, message))
    }

    /// Goes over from D to D'. [R-39]
    fn set_fresh(&mut self, fresh_value: [u8; 32], shared: &[u8; 32]) {
        self.secret = second::fresh_secret(&self.secret, &fresh_value, shared);
        self.fresh_value = fresh_value;
        self.has_fresh_value = true;
    }

    fn seal_once<'b, R: TryCryptoRng + ?Sized>(
        &mut self,
        rng: &mut R,
        message: &[u8],
        buffer: &'b mut [u8],
    ) -> Result<&'b mut [u8], Error> {
        let packet = packet::slot(buffer, self.packet_len(message.len()))?;
        if let Some(place) = packet.get_mut(self.message_offset()..).and_then(|rest| rest.get_mut(..message.len())) {
            place.copy_from_slice(message);
        }
        self.seal_in_place_once(rng, message.len(), packet)
    }

    fn seal_in_place_once<'b, R: TryCryptoRng + ?Sized>(
        &mut self,
        rng: &mut R,
        message_len: usize,
        buffer: &'b mut [u8],
    ) -> Result<&'b mut [u8], Error> {
        let (len, is_padded) = self.layout(message_len);
        let packet = packet::slot(buffer, len)?;
        let parts = ReplyParts::split(packet, self.suite, self.is_fresh())?;
        if self.needs_fresh_value() {
            let message = parts.body.get(..message_len).unwrap_or_default();
            let fresh = self.draw_fresh(rng, message)?;
            let shared = self.x25519.multiply(fresh.expose_bytes(), &self.exchange_value);
            if shared.is_zero().into() {
                return Err(Refusal::WeakKey.into());
            }
            self.set_fresh(self.x25519.multiply_base(fresh.expose_bytes()), shared.as_bytes());
        }
        // [R-02] [R-14] [R-38]
        let header = self.request_header.into_reply().with_padding(is_padded);
        *parts.header = header.to_bytes();
        for (place, byte) in parts.exchange_value.iter_mut().zip(&self.exchange_value) {
            *place = *byte;
        }
        if let Some(place) = parts.fresh_value {
            *place = self.fresh_value;
        }
        if is_padded {
            packet::pad(parts.body, message_len);
        }
        let direction = Direction::Reply {
            exchange_value: &self.exchange_value,
            fresh_value: self.has_fresh_value.then_some(&self.fresh_value),
            request_tag: &self.request_tag,
        };
        *parts.tag = self.suite.seal(&self.secret, direction, header, parts.body)?;
        Ok(packet)
    }
}

/// Draws y for each reply, and multiplies `Y = x25519(y, 9)` and `x25519(y, X)` for all together.
/// It has a frame of its own, which the caller wipes. [R-32]
#[inline(never)]
fn prepare_piece<R: TryCryptoRng + ?Sized>(
    rng: &mut R,
    x25519: X25519,
    piece: &mut [Option<(&mut ReplySealer, &[u8])>],
) -> Result<(), Error> {
    let mut scalars = Zeroizing::new([[0; 32]; BATCH_LEN]);
    let mut points = [[0; 32]; BATCH_LEN];
    for ((scalar, point), (sealer, message)) in scalars.iter_mut().zip(&mut points).zip(piece.iter().flatten()) {
        *scalar = *sealer.draw_fresh(rng, message)?.expose_bytes();
        *point = sealer.exchange_value;
    }
    let scalars = scalars.get(..piece.len()).unwrap_or_default();
    let points = points.get(..piece.len()).unwrap_or_default();
    let mut products = Products::new();
    let shared = products.of_pairs(x25519, scalars, points);
    let mut fresh_values = [[0; 32]; BATCH_LEN];
    crate::batch::of_base(x25519, scalars, &mut fresh_values);
    for (((sealer, _), shared), fresh_value) in piece.iter_mut().flatten().zip(shared).zip(fresh_values) {
        // A weak X is left to sealing, which refuses it.
        if !bool::from(shared.is_zero()) {
            sealer.set_fresh(fresh_value, shared.as_bytes());
        }
    }
    Ok(())
}

/// Its only secret is the transaction's, which is wiped. [R-32]
impl ZeroizeOnDrop for ReplySealer {}

impl fmt::Debug for ReplySealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplySealer").field("suite", &self.suite).finish_non_exhaustive()
    }
}
