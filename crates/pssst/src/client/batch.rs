//! Batches of requests, of one client or many.

use core::mem;

use rand_core::TryCryptoRng;
use x25519_batch::X25519;
use zeroize::{Zeroizing, zeroize_stack};

use super::{Client, PendingReply, RequestSecrets};
use crate::Error;
use crate::batch::{BASE_POINT, BATCH_LEN, Products, STACK_WIPE_LEN, of_base};
use crate::packet;

/// A request of a batch, before [`Client::seal_batch`] seals it.
#[derive(Debug)]
#[expect(clippy::exhaustive_structs, reason = "callers make it")]
pub struct UnsealedRequest<'m, 'b> {
    /// The client that sends the request.
    pub client: &'m Client,
    /// The message.
    pub message: &'m [u8],
    /// The buffer for the packet: at least [`Client::packet_len`] bytes.
    pub buffer: &'b mut [u8],
}

/// What [`Client::seal_request`] returns.
type Sealed<'b> = Result<(&'b mut [u8], PendingReply), Error>;

impl Client {
    /// Seals many requests, each of its own client or all of one, and hands each outcome to `each`
    /// with the request's place in the batch, in order. The outcomes are those of
    /// [`Client::seal_request`] for one request after another with the same generator, byte for
    /// byte: a request whose buffer is too small uses no randomness.
    ///
    /// Up to [`BATCH_LEN`](crate::BATCH_LEN) requests are sealed together, which with AVX-512 IFMA
    /// or AVX2 makes their X25519 much cheaper; longer batches are cut into pieces. A piece is
    /// multiplied by the backend of its first client, and takes some 48 KiB of stack in an
    /// optimized build.
    ///
    /// ```
    /// use pssst::{Client, SecretKey, SysRng, UnsealedRequest};
    ///
    /// # let server_key = SecretKey::generate(&mut SysRng)?.public_key();
    /// # let identity = SecretKey::generate(&mut SysRng)?;
    /// let anonymous = Client::new(server_key)?;
    /// let authenticated = Client::new(server_key)?.with_identity(&identity)?;
    /// let mut buffers = [[0; 1232]; 2];
    ///
    /// let requests = [&anonymous, &authenticated].into_iter().zip(&mut buffers);
    /// let requests = requests.map(|(client, buffer)| UnsealedRequest { client, message: b"ping", buffer });
    /// let mut waiting = Vec::new();
    /// Client::seal_batch(&mut SysRng, requests, |place, outcome| {
    ///     let (packet, pending) = outcome.expect("the buffers are large enough");
    ///     assert_eq!(packet.len(), 4 + [52, 92][place]);
    ///     waiting.push(pending);
    /// });
    /// assert_eq!(waiting.len(), 2);
    /// # Ok::<(), pssst::Error>(())
    /// ```
    pub fn seal_batch<'m, 'b, R: TryCryptoRng + ?Sized>(
        rng: &mut R,
        requests: impl IntoIterator<Item = UnsealedRequest<'m, 'b>>,
        mut each: impl FnMut(usize, Sealed<'b>),
    ) {
        let mut requests = requests.into_iter().fuse();
        let mut places = 0..;
        let mut each = |outcome| {
            if let Some(place) = places.next() {
                each(place, outcome);
            }
        };
        while let Some(first) = requests.next() {
            let x25519 = first.client.x25519;
            // Without lanes nothing is gained.
            let has_lanes = x25519.batch_backend() != x25519.single_backend();
            match if has_lanes { requests.next() } else { None } {
                Some(second) => {
                    let requests = [first, second].into_iter().chain(requests.by_ref());
                    seal_piece(rng, x25519, requests, &mut each);
                    zeroize_stack::<STACK_WIPE_LEN>();
                }
                None => each(first.client.seal_request(rng, first.message, first.buffer)),
            }
        }
    }
}

/// Seals as many requests as a piece holds, and leaves the others. It has a frame of its own, which
/// the caller wipes. [R-32]
#[inline(never)]
fn seal_piece<'m, 'b, R: TryCryptoRng + ?Sized>(
    rng: &mut R,
    x25519: X25519,
    requests: impl Iterator<Item = UnsealedRequest<'m, 'b>>,
    mut each: impl FnMut(Sealed<'b>),
) {
    let mut piece = [const { Err(Error::RandomnessUnavailable) }; BATCH_LEN];
    let mut ephemerals = Zeroizing::new([[0; 32]; BATCH_LEN]);
    let mut count = 0;
    for ((outcome, ephemeral), request) in piece.iter_mut().zip(ephemerals.iter_mut()).zip(requests) {
        *outcome = prepare(rng, request);
        if let Ok(Prepared { secrets, .. }) = outcome {
            *ephemeral = *secrets.ephemeral.expose_bytes();
        }
        count += 1;
    }
    let piece = piece.get_mut(..count).unwrap_or_default();
    let ephemerals = ephemerals.get(..count).unwrap_or_default();

    let exchange_values = exchange_values(x25519, piece, ephemerals);
    // Suite 1's inner values among them are secret. [R-08]
    let mut points = Zeroizing::new([[0; 32]; BATCH_LEN]);
    let mut products = Products::new();
    let points = gather(&mut points, piece, Client::shared_point);
    let shared_values = products.of_pairs(x25519, ephemerals, points);
    for ((outcome, exchange_value), shared_value) in piece.iter_mut().zip(exchange_values).zip(shared_values) {
        let request = mem::replace(outcome, Err(Error::RandomnessUnavailable));
        each(request.and_then(|Prepared { request: UnsealedRequest { client, message, buffer }, secrets }| {
            client.seal_agreed(message, buffer, &secrets, exchange_value, shared_value)
        }));
    }
}

/// A request whose buffer is as long as its packet.
struct Prepared<'m, 'b> {
    request: UnsealedRequest<'m, 'b>,
    secrets: RequestSecrets,
}

/// Cuts the buffer to the packet's length, and draws e.
fn prepare<'m, 'b, R: TryCryptoRng + ?Sized>(
    rng: &mut R,
    request: UnsealedRequest<'m, 'b>,
) -> Result<Prepared<'m, 'b>, Error> {
    let UnsealedRequest { client, message, buffer } = request;
    let buffer = packet::slot(buffer, client.packet_len(message.len())?)?;
    let secrets = client.draw_secrets(rng, message)?;
    Ok(Prepared { request: UnsealedRequest { client, message, buffer }, secrets })
}

/// `X = x25519(e, 9)` [R-07], or under suite 1 `x25519(e, C)` [R-08], of each request; anything for
/// those that failed already.
fn exchange_values(
    x25519: X25519,
    piece: &[Result<Prepared<'_, '_>, Error>],
    ephemerals: &[[u8; 32]],
) -> [[u8; 32]; BATCH_LEN] {
    let mut exchange_values = [[0; 32]; BATCH_LEN];
    if piece.iter().flatten().all(|prepared| prepared.request.client.proof_key().is_none()) {
        of_base(x25519, ephemerals, &mut exchange_values);
        return exchange_values;
    }
    let mut points = [[0; 32]; BATCH_LEN];
    let mut products = Products::new();
    let points = gather(&mut points, piece, |client| client.proof_key().map_or(&BASE_POINT, |key| key.as_bytes()));
    for (exchange_value, product) in exchange_values.iter_mut().zip(products.of_pairs(x25519, ephemerals, points)) {
        *exchange_value = *product.as_bytes();
    }
    exchange_values
}

/// A point of each request's client, zero for those that failed already.
fn gather<'a>(
    points: &'a mut [[u8; 32]; BATCH_LEN],
    piece: &[Result<Prepared<'_, '_>, Error>],
    point_of: impl Fn(&Client) -> &[u8; 32],
) -> &'a [[u8; 32]] {
    for (point, prepared) in points.iter_mut().zip(piece) {
        if let Ok(prepared) = prepared {
            *point = *point_of(prepared.request.client);
        }
    }
    points.get(..piece.len()).unwrap_or_default()
}
