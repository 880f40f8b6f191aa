//! Many packets at once: each stage for all of them, before the next.

use core::mem;
use core::ops::Deref;

use x25519_batch::{PointClass, X25519};
use zeroize::{Zeroize, Zeroizing, zeroize_stack};

use super::stage::Stage;
use super::{KeyCheck, Request, Server};
use crate::batch::{BATCH_LEN, Products, STACK_WIPE_LEN};
use crate::{PublicKey, Refusal};

/// A packet of the batch, or why it was refused.
type Outcome<'p> = Result<Stage<'p>, Refusal>;

impl Server {
    /// Opens every packet that is waiting, and hands each outcome to `each` with the packet's place
    /// in the batch, in order. The outcomes are those of [`Server::open_request_with`] for one
    /// packet after another.
    ///
    /// Up to [`BATCH_LEN`](crate::BATCH_LEN) packets are worked on together, which with AVX-512
    /// IFMA or AVX2 makes their X25519 much cheaper; longer batches are cut into pieces. `check` is
    /// called for all proven keys of a piece before `each` is called for its packets. Nothing is
    /// allocated: a piece takes some 48 KiB of stack in an optimized build. A single packet costs
    /// the same as without a batch, so do not wait for more packets.
    ///
    /// The steps for each packet, as section 7 of the specification has them. A packet that fails a
    /// step is refused with the cause beside it.
    ///
    /// ```text
    /// header, X, body, tag <- packet                      truncated, not_request, reserved_flags,
    ///                                                     unsupported_suite, anonymous_refused
    /// for each of the server's key pairs (s, S):
    ///     Z <- x25519(s, X)                               weak_key, when Z is zero
    ///     D <- SHA-256(what the suite has agreed on)      suite.rs
    ///     key, request nonce, reply nonce <- D
    ///     plaintext <- AEAD-open(key, nonce, body, tag)   decrypt_failed, when no key opens it
    /// if the header says that the client proves its key:
    ///     C, e, message <- plaintext                      truncated
    ///     x25519(e, C) = X, in constant time              client_auth_failed
    ///     client check of C                               unknown_client, client_refused
    ///     C is canonical and of prime order               client_key_alias, unless the check accepts C
    /// ```
    ///
    /// ```
    /// # use pssst::{Client, KeyCheck, Refusal, SecretKey, Server, SysRng};
    /// # let secret = SecretKey::generate(&mut SysRng)?;
    /// # let client = Client::new(secret.public_key())?;
    /// # let server = Server::new(secret);
    /// # let (packet, _) = client.seal_request_to_vec(&mut SysRng, b"ping")?;
    /// // Two buffers as a socket filled them, and how far.
    /// let mut buffers = [[0; 2048]; 2];
    /// let lengths = [packet.len(), 5];
    /// buffers[0][..packet.len()].copy_from_slice(&packet);
    ///
    /// let packets = buffers.iter_mut().zip(lengths).map(|(buffer, length)| &mut buffer[..length]);
    /// server.open_batch(packets, |_| KeyCheck::Validate, |place, outcome| match outcome {
    ///     Ok(request) => assert_eq!((place, request.message()), (0, &b"ping"[..])),
    ///     Err(cause) => assert_eq!((place, cause), (1, Refusal::Truncated)),
    /// });
    /// # Ok::<(), pssst::Error>(())
    /// ```
    pub fn open_batch<'p>(
        &self,
        packets: impl IntoIterator<Item = &'p mut [u8]>,
        check: impl Fn(&PublicKey) -> KeyCheck,
        mut each: impl FnMut(usize, Result<Request<'p>, Refusal>),
    ) {
        let mut packets = packets.into_iter().fuse();
        let mut places = 0..;
        let mut each = |outcome| {
            if let Some(place) = places.next() {
                each(place, outcome);
            }
        };
        while let Some(first) = packets.next() {
            match packets.next() {
                // One packet alone costs what it costs by itself.
                None => each(self.open_request_with(first, &check)),
                Some(second) => {
                    open_piece(self, [first, second].into_iter().chain(packets.by_ref()), &check, &mut each);
                    zeroize_stack::<STACK_WIPE_LEN>();
                }
            }
        }
    }
}

/// Opens as many packets as a piece holds, and leaves the others. What moves from stage to stage
/// leaves its bytes on the stack; so this has a frame of its own, which the caller wipes. [R-32]
#[inline(never)]
fn open_piece<'p>(
    server: &Server,
    packets: impl Iterator<Item = &'p mut [u8]>,
    check: impl Fn(&PublicKey) -> KeyCheck,
    mut each: impl FnMut(Result<Request<'p>, Refusal>),
) {
    let mut piece = [const { Err(Refusal::DecryptFailed) }; BATCH_LEN];
    let mut count = 0;
    for (outcome, packet) in piece.iter_mut().zip(packets) {
        *outcome = Stage::screen(packet, server);
        count += 1;
    }
    let piece = piece.get_mut(..count).unwrap_or_default();

    decrypt(server, piece);
    verify(server.x25519, piece, check);
    validate(server.x25519, piece);
    for outcome in piece {
        each(take(outcome).and_then(Stage::into_request));
    }
}

/// Tries the keys in order, each only on what those before failed to decrypt. [R-27]
fn decrypt(server: &Server, piece: &mut [Outcome<'_>]) {
    for (key_index, key) in server.keyring.iter().enumerate() {
        let mut exchange_values = Gathered::new();
        for outcome in &*piece {
            if let Ok(Stage::Screened(packet)) = outcome {
                exchange_values.push(packet.exchange_value);
            }
        }
        if exchange_values.is_empty() {
            return;
        }
        let mut products = Products::new();
        let products = products.of_points(server.x25519, key.secret.expose_bytes(), &exchange_values);
        let screened = piece.iter_mut().filter(|outcome| matches!(outcome, Ok(Stage::Screened(_))));
        for (outcome, shared_value) in screened.zip(products) {
            if let Ok(Stage::Screened(packet)) = take(outcome) {
                *outcome = packet.decrypt(key_index, key, shared_value);
            }
        }
    }
}

/// Compares the proofs, and calls `check` for the proven keys.
fn verify(x25519: X25519, piece: &mut [Outcome<'_>], check: impl Fn(&PublicKey) -> KeyCheck) {
    let mut client_keys = Gathered::new();
    let mut ephemerals = Zeroizing::new(Gathered::new());
    for outcome in &*piece {
        if let Ok(Stage::Claimed(packet)) = outcome {
            client_keys.push(packet.client_key);
            ephemerals.push(packet.ephemeral);
        }
    }
    if client_keys.is_empty() {
        return;
    }
    let mut products = Products::new();
    let products = products.of_pairs(x25519, &ephemerals, &client_keys);
    let claimed = piece.iter_mut().filter(|outcome| matches!(outcome, Ok(Stage::Claimed(_))));
    for (outcome, product) in claimed.zip(products) {
        if let Ok(Stage::Claimed(packet)) = take(outcome) {
            *outcome = packet.verify(product, &check);
        }
    }
}

/// Validates the keys that the caller wants validated.
fn validate(x25519: X25519, piece: &mut [Outcome<'_>]) {
    let mut client_keys = Gathered::new();
    for outcome in &*piece {
        if let Ok(Stage::Proven(packet)) = outcome {
            client_keys.push(packet.client_key.as_bytes());
        }
    }
    if client_keys.is_empty() {
        return;
    }
    let mut classes = [PointClass::Alias; BATCH_LEN];
    let classes = classes.get_mut(..client_keys.len()).unwrap_or_default();
    let classified = x25519.classify_points(&client_keys, classes);
    debug_assert_eq!(classified, Ok(()), "as many classes as keys");
    let proven = piece.iter_mut().filter(|outcome| matches!(outcome, Ok(Stage::Proven(_))));
    for (outcome, class) in proven.zip(classes) {
        if let Ok(Stage::Proven(packet)) = take(outcome) {
            *outcome = packet.accept(*class);
        }
    }
}

/// Takes a packet out, to put it back one stage further.
fn take<'p>(outcome: &mut Outcome<'p>) -> Outcome<'p> {
    mem::replace(outcome, Err(Refusal::DecryptFailed))
}

/// Scalars or points, side by side for one batch of multiplications.
struct Gathered {
    items: [[u8; 32]; BATCH_LEN],
    len: usize,
}

impl Gathered {
    const fn new() -> Self {
        Self { items: [[0; 32]; BATCH_LEN], len: 0 }
    }

    /// There is room for every packet of a piece.
    fn push(&mut self, item: &[u8; 32]) {
        if let Some(place) = self.items.get_mut(self.len) {
            *place = *item;
            self.len += 1;
        }
    }
}

impl Deref for Gathered {
    type Target = [[u8; 32]];

    fn deref(&self) -> &Self::Target {
        self.items.get(..self.len).unwrap_or_default()
    }
}

/// Only what was gathered: the rest is zero.
impl Zeroize for Gathered {
    fn zeroize(&mut self) {
        self.items.iter_mut().take(self.len).for_each(Zeroize::zeroize);
        self.len = 0;
    }
}
