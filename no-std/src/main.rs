//! Runs one transaction in each suite and mode, then a batch of three, with neither `std` nor an
//! allocator. Ends with 0 if all went well, else with the number of the transaction that did not,
//! or 5 for the batch.

#![no_std]
#![no_main]

use core::convert::Infallible;
use core::panic::PanicInfo;

use pssst::rand_core::{TryCryptoRng, TryRng};
use pssst::{Client, Error, KeyCheck, SecretKey, Server, Suite, UnsealedRequest};

/// Called by the C start-up code, the only other thing that is linked.
// SAFETY: no other `main` is linked, and this one has the signature that C expects.
#[unsafe(no_mangle)]
extern "C" fn main() -> i32 {
    let kinds = [
        (Suite::X25519AesGcm128, false),
        (Suite::X25519AesGcm128, true),
        (Suite::X25519Aes128GcmSiv, false),
        (Suite::X25519Aes128GcmSiv, true),
    ];
    for ((suite, authenticated), number) in kinds.into_iter().zip(1..) {
        if transaction(suite, authenticated) != Ok(true) {
            return number;
        }
    }
    if batch() == Ok(true) { 0 } else { 5 }
}

fn transaction(suite: Suite, authenticated: bool) -> Result<bool, Error> {
    let mut rng = Counter(1);
    let secret = SecretKey::generate(&mut rng)?;
    let identity = SecretKey::generate(&mut rng)?;
    let mut client = Client::new(secret.public_key())?.with_suite(suite);
    if authenticated {
        client = client.with_identity(&identity)?;
    }
    let server = Server::new(secret);

    let (mut request_buffer, mut reply_buffer) = ([0; 256], [0; 256]);
    let (packet, pending) = client.seal_request(&mut rng, b"no std, no alloc", &mut request_buffer)?;
    let request = server.open_request_with(packet, |_| KeyCheck::Validate)?;
    let as_expected = request.message() == b"no std, no alloc"
        && request.client_key().copied() == authenticated.then(|| identity.public_key());
    let reply = request.into_reply_sealer().seal(b"fine", &mut reply_buffer)?;
    Ok(as_expected && pending.open(reply)? == b"fine")
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
    server.open_batch(
        packets.into_iter().flatten(),
        |_| KeyCheck::Validate,
        |place, request| {
            let (Ok(request), Some(pending)) = (request, &all_pending[place]) else { return };
            let as_expected = request.message() == b"together" && request.client_key().is_some() == (place == 1);
            let mut reply_buffer = [0; 256];
            if let Ok(reply) = request.into_reply_sealer().seal(b"fine", &mut reply_buffer)
                && pending.open(reply).is_ok_and(|message| message == b"fine")
                && as_expected
            {
                answered += 1;
            }
        },
    );
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
