//! Runs a transaction of each suite and mode, then a batch of three, with neither `std` nor an
//! allocator. Ends with 0 if all went well, else with the number of the transaction that did not,
//! or 99 for the batch.

#![no_std]
#![no_main]

use core::convert::Infallible;
use core::panic::PanicInfo;

use pssst::rand_core::{TryCryptoRng, TryRng};
use pssst::{
    Client, ClientCheck, ClientClaim, Error, KeyCheck, Keyring, Product, PskMaster, PublicKey, SecretKey, Server,
    SharedSecret, Suite, UnsealedRequest,
};
#[cfg(feature = "pq")]
use pssst::{XWingPublicKey, XWingSecretKey};

/// Called by the C start-up code, the only other thing that is linked.
// SAFETY: no other `main` is linked, and this one has the signature that C expects.
#[unsafe(no_mangle)]
extern "C" fn main() -> i32 {
    let suites = [
        Suite::X25519AesGcm128,
        Suite::X25519Aes256GcmSiv,
        #[cfg(feature = "pq")]
        Suite::XWingAes256GcmSiv,
    ];
    let mut number = 0;
    for suite in suites {
        for mode in [Mode::Anonymous, Mode::Authenticated, Mode::Psk, Mode::Precomputed, Mode::Fresh] {
            number += 1;
            let has_mode = suite != Suite::X25519AesGcm128 || matches!(mode, Mode::Anonymous | Mode::Authenticated);
            if has_mode && transaction(suite, mode) != Ok(true) {
                return number;
            }
        }
    }
    if batch() == Ok(true) { 0 } else { 99 }
}

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Anonymous,
    Authenticated,
    /// Authenticated, with a pre-shared key.
    Psk,
    /// Authenticated, with Z2 computed ahead at both ends.
    Precomputed,
    /// Anonymous, for a fresh reply.
    Fresh,
}

fn transaction(suite: Suite, mode: Mode) -> Result<bool, Error> {
    let mut rng = Counter(1);
    let secret = SecretKey::generate(&mut rng)?;
    let identity = SecretKey::generate(&mut rng)?;
    let master = PskMaster::generate(&mut rng)?;
    let x25519_key = secret.public_key();
    let keyring = Keyring::new(secret);
    #[cfg(feature = "pq")]
    let (keyring, xwing_key) = {
        let secret = XWingSecretKey::generate(&mut rng)?;
        (keyring.with_xwing_key(&secret)?, secret.public_key())
    };
    let client = match suite {
        #[cfg(feature = "pq")]
        Suite::XWingAes256GcmSiv => Client::new(xwing_key.clone())?,
        _ => Client::new(x25519_key)?.with_suite(suite)?,
    };
    let s = match suite {
        #[cfg(feature = "pq")]
        Suite::XWingAes256GcmSiv => XWingPublicKey::x25519_part(&xwing_key),
        _ => x25519_key,
    };
    let z2 = identity.shared_secret(&s)?;
    let client_key = identity.public_key();
    let client = match mode {
        Mode::Anonymous => client,
        Mode::Authenticated => client.with_identity(&identity)?,
        Mode::Psk => client.with_identity(&identity)?.with_psk(master.psk(&client_key))?,
        Mode::Precomputed => client.as_precomputed(client_key, z2.as_bytes())?,
        Mode::Fresh => client.with_fresh_replies()?,
    };
    let is_authenticated = !matches!(mode, Mode::Anonymous | Mode::Fresh);
    let server = Server::new(keyring).with_psk_masters([master])?;

    let (mut request_buffer, mut reply_buffer) = ([0; 1300], [0; 1300]);
    let (packet, pending) = client.seal_request(&mut rng, b"no std, no alloc", &mut request_buffer)?;
    let check = Table { client_key, z2: (mode == Mode::Precomputed).then_some(z2) };
    let request = server.open_request_with(packet, &check)?;
    let as_expected = request.message() == b"no std, no alloc"
        && request.client_key().copied() == is_authenticated.then_some(client_key)
        && request.has_psk() == (mode == Mode::Psk);
    let reply = request.into_reply_sealer().seal(&mut rng, b"fine", &mut reply_buffer)?;
    Ok(as_expected && pending.open(reply)? == b"fine")
}

/// One client, with Z2 if it was computed ahead.
struct Table {
    client_key: PublicKey,
    z2: Option<Product>,
}

impl ClientCheck for Table {
    fn check(&self, claim: &ClientClaim<'_>) -> KeyCheck {
        if *claim.key() == self.client_key { KeyCheck::Accept } else { KeyCheck::RejectUnknown }
    }

    fn look_up(&self, claim: &ClientClaim<'_>) -> SharedSecret {
        match &self.z2 {
            None => SharedSecret::Compute,
            Some(z2) if *claim.key() == self.client_key => SharedSecret::Known((*z2.as_bytes()).into()),
            Some(_) => SharedSecret::Unknown,
        }
    }
}

/// Three requests sealed together and opened together, the second of them authenticated.
fn batch() -> Result<bool, Error> {
    let mut rng = Counter(1);
    let secret = SecretKey::generate(&mut rng)?;
    let identity = SecretKey::generate(&mut rng)?;
    let anonymous = Client::new(secret.public_key())?;
    let authenticated = Client::new(secret.public_key())?.with_identity(&identity)?;
    let clients = [&anonymous, &authenticated, &anonymous];
    let server = Server::new(secret);

    let mut buffers = [[0; 256]; 3];
    let requests = clients.into_iter().zip(&mut buffers);
    let requests = requests.map(|(client, buffer)| UnsealedRequest { client, message: b"together", buffer });
    let (mut packets, mut all_pending) = ([const { None }; 3], [const { None }; 3]);
    Client::seal_batch(&mut rng, requests, |place, sealed| {
        if let Ok((packet, pending)) = sealed {
            (packets[place], all_pending[place]) = (Some(packet), Some(pending));
        }
    });

    let mut answered = 0;
    server.open_batch(packets.into_iter().flatten(), &|_: &PublicKey| KeyCheck::Validate, |place, request| {
        let (Ok(request), Some(pending)) = (request, &all_pending[place]) else { return };
        let as_expected = request.message() == b"together" && request.client_key().is_some() == (place == 1);
        let mut reply_buffer = [0; 256];
        if let Ok(reply) = request.into_reply_sealer().seal(&mut Counter(2), b"fine", &mut reply_buffer)
            && pending.open(reply).is_ok_and(|message| message == b"fine")
            && as_expected
        {
            answered += 1;
        }
    });
    Ok(answered == 3)
}

/// Not random at all: it stands for the generator that a device has.
struct Counter(u8);

impl TryRng for Counter {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(0)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(0)
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for byte in bytes {
            self.0 = self.0.wrapping_mul(5).wrapping_add(1);
            *byte = self.0;
        }
        Ok(())
    }
}

impl TryCryptoRng for Counter {}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {}
}

// `memcpy` and its like, which the compiler's code calls.
#[link(name = "c")]
unsafe extern "C" {}
