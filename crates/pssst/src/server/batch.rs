//! Many packets at once: each stage for all of them, before the next.

use core::mem;
use core::ops::Deref;

use x25519_batch::{PointClass, X25519};
use zeroize::{Zeroize, Zeroizing, zeroize_stack};

use super::stage::{Stage, Z2};
use super::{ClientCheck, Request, Server};
use crate::Refusal;
use crate::agreement::KeyAgreement;
use crate::batch::{BATCH_LEN, Products, STACK_WIPE_LEN};

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
    /// header, X, ct, M, t, body, tag <- packet            truncated, not_request, reserved_flags,
    ///                                                     unsupported_suite, anonymous_refused,
    ///                                                     fresh_refused, fresh_required
    /// for each of the server's key pairs (s, S) of the suite's kind:
    ///     Zx <- x25519(s, X)                              weak_key, when Zx is zero
    ///     k <- Zx, or what X-Wing makes of it and ct
    ///     K1 <- H(1, header, P, X, k)
    ///     anonymous:
    ///         message <- AEAD-open(K1, body, tag)         decrypt_failed, when no key opens it
    ///     authenticated:
    ///         C <- M ⊕ H(2, K1)
    ///         H(3, K1, C) = t, in constant time           decrypt_failed, when it is so for no key
    /// authenticated:
    ///     Z2 <- look-up of C, or x25519(s, C)             weak_key, see [R-48]
    ///     for each Q, or zeros where none is used:
    ///         message <- AEAD-open(H(4, K1, C, Z2, Q),    decrypt_failed, when none opens it,
    ///                              body, tag)             or when the look-up does not know C
    /// padding                                             bad_padding
    /// client check of C                                   unknown_client, client_refused, psk_required
    /// C is canonical and of prime order                   client_key_alias, unless the check accepts C
    ///
    /// suite 1:
    ///     D <- SHA-256(X, Zx)
    ///     C, e, message <- AEAD-open(D, body, tag)        decrypt_failed, when no key opens it
    ///     x25519(e, C) = X, in constant time              client_auth_failed
    /// ```
    ///
    /// ```
    /// # use pssst::{Client, KeyCheck, PublicKey, Refusal, SecretKey, Server, SysRng};
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
    /// server.open_batch(packets, &|_: &PublicKey| KeyCheck::Validate, |place, outcome| match outcome {
    ///     Ok(request) => assert_eq!((place, request.message()), (0, &b"ping"[..])),
    ///     Err(cause) => assert_eq!((place, cause), (1, Refusal::Truncated)),
    /// });
    /// # Ok::<(), pssst::Error>(())
    /// ```
    pub fn open_batch<'p>(
        &self,
        packets: impl IntoIterator<Item = &'p mut [u8]>,
        check: &(impl ClientCheck + ?Sized),
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
                None => each(self.open_request_with(first, check)),
                Some(second) => {
                    open_piece(self, [first, second].into_iter().chain(packets.by_ref()), check, &mut each);
                    zeroize_stack::<STACK_WIPE_LEN>();
                }
            }
        }
    }
}

/// Opens as many packets as a piece holds, and leaves the others. What moves from stage to stage
/// leaves its bytes on the stack; so this has a frame of its own, which the caller wipes. [R-32]
#[inline(never)]
#[cfg_attr(target_pointer_width = "64", expect(clippy::large_stack_arrays, reason = "nothing is allocated"))]
fn open_piece<'p>(
    server: &Server,
    packets: impl Iterator<Item = &'p mut [u8]>,
    check: &(impl ClientCheck + ?Sized),
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
    bind(server, piece, check);
    verify(server.x25519, piece, check);
    validate(server.x25519, piece);
    for outcome in piece {
        each(take(outcome).and_then(Stage::into_request));
    }
}

/// Tries the keys in order, each only on what those before did not open. Packets of all suites are
/// multiplied together, each by its own key. [R-27]
fn decrypt(server: &Server, piece: &mut [Outcome<'_>]) {
    loop {
        let mut scalars = Zeroizing::new(Gathered::new());
        let mut exchange_values = Gathered::new();
        for outcome in &*piece {
            if let Ok(Stage::Screened(packet)) = outcome
                && let Some((_, key)) = packet.next_key(server)
            {
                scalars.push(key.scalar());
                exchange_values.push(packet.exchange_value());
            }
        }
        if exchange_values.is_empty() {
            return;
        }
        let mut products = Products::new();
        let mut products = products.of_pairs(server.x25519, &scalars, &exchange_values).iter();
        for outcome in &mut *piece {
            if let Ok(Stage::Screened(packet)) = outcome
                && packet.next_key(server).is_some()
                && let Some(zx) = products.next()
                && let Ok(Stage::Screened(packet)) = take(outcome)
            {
                *outcome = packet.decrypt(server, zx);
            }
        }
    }
}

/// Looks up what each named client shares with the server, computes it for those that the caller
/// wants computed, and decrypts.
fn bind(server: &Server, piece: &mut [Outcome<'_>], check: &(impl ClientCheck + ?Sized)) {
    if !piece.iter().any(|outcome| matches!(outcome, Ok(Stage::Named(_)))) {
        return;
    }
    let mut looked_up = [const { None }; BATCH_LEN];
    let mut scalars = Zeroizing::new(Gathered::new());
    let mut client_keys = Gathered::new();
    for (outcome, looked_up) in piece.iter().zip(&mut looked_up) {
        if let Ok(Stage::Named(packet)) = outcome {
            *looked_up = packet.look_up(server, check);
            if looked_up.is_none() {
                scalars.push(packet.key(server).map_or(&[0; 32], KeyAgreement::scalar));
                client_keys.push(packet.client_key.as_bytes());
            }
        }
    }
    let mut products = Products::new();
    let mut products = products.of_pairs(server.x25519, &scalars, &client_keys).iter();
    for (outcome, looked_up) in piece.iter_mut().zip(&looked_up) {
        if matches!(outcome, Ok(Stage::Named(_)))
            && let Some(z2) = looked_up.as_ref().map(Z2::LookedUp).or_else(|| products.next().map(Z2::Computed))
            && let Ok(Stage::Named(packet)) = take(outcome)
        {
            *outcome = packet.bind(server, z2, check);
        }
    }
}

/// Compares the proofs of suite 1, and calls `check` for the proven keys.
fn verify(x25519: X25519, piece: &mut [Outcome<'_>], check: &(impl ClientCheck + ?Sized)) {
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
            *outcome = packet.verify(product, check);
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
    #[cfg(test)]
    crate::work::add(|work| work.classifications += client_keys.len());
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
