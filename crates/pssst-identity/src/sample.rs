//! A sample of packets that did not decrypt: unknown clients are among them, and clients that do
//! not use their pre-shared key.

use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use pssst::{ClientCheck, ClientClaim, Header, KeyCheck, Server};
use pssst_support::sync::lock;
use zeroize::Zeroize;

use crate::AccessPolicy;

/// Packets that wait at most.
const CAPACITY: usize = 64;
/// Bytes of a packet at most; a longer one is not taken.
const MAX_PACKET_LEN: usize = 2048;
/// Milliseconds between two packets.
const INTERVAL: u64 = 100;

/// A bounded sample of packets that did not decrypt, for finding unknown clients and those that do
/// not use the pre-shared key that they must use.
///
/// With [`SharedSecrets`](crate::SharedSecrets), a server cannot decrypt the request of such a
/// client: it gets no secret from the table. So packet threads [offer](Self::offer) what ended as
/// [`Refusal::DecryptFailed`], and another thread [examines](Self::examine) the sample now and
/// then, with the true secret.
///
/// It takes at most 10 packets a second and holds 64 of up to 2,048 bytes, 128 KiB; the others are
/// passed over, like those of a flood. A packet is wiped once it was examined.
///
/// [`Refusal::DecryptFailed`]: pssst::Refusal::DecryptFailed
///
/// ```
/// use std::sync::Arc;
/// use pssst_identity::pssst::{Client, Keyring, Refusal, SecretKey, Server, Suite, SysRng};
/// use pssst_identity::{AccessPolicy, IdentitySnapshot, PacketSample, SharedSecrets, UnknownClients};
///
/// let (secret, identity) = (SecretKey::generate(&mut SysRng)?, SecretKey::generate(&mut SysRng)?);
/// let keyring = Keyring::new(secret.clone());
/// let snapshot = Arc::new(IdentitySnapshot::new());
/// let secrets = SharedSecrets::compute(&snapshot, &keyring);
/// let policy = AccessPolicy::new(snapshot, UnknownClients::Refuse).with_shared_secrets(secrets);
/// let (server, sample) = (Server::new(keyring), PacketSample::new());
///
/// // The device is not enrolled.
/// let device = Client::new(secret.public_key())?.with_identity(&identity)?;
/// let device = device.with_suite(Suite::X25519Aes256GcmSiv)?;
/// let (mut packet, _) = device.seal_request_to_vec(&mut SysRng, b"ping")?;
/// if let Err(Refusal::DecryptFailed) = server.open_request_with(&mut packet, &policy) {
///     sample.offer(&packet);
/// }
/// assert_eq!(policy.stats().unknown, 0);
///
/// // Some time later, on another thread.
/// assert_eq!(sample.examine(&server, &policy), 1);
/// assert_eq!(policy.stats().unknown, 1);
/// # Ok::<(), pssst_identity::pssst::Error>(())
/// ```
pub struct PacketSample {
    start: Instant,
    /// Milliseconds after the start from which on the next packet is taken.
    next: AtomicU64,
    waiting: Mutex<Waiting>,
}

struct Waiting {
    packets: Box<[Packet]>,
    len: usize,
}

#[derive(Clone)]
struct Packet {
    bytes: Box<[u8]>,
    len: usize,
}

impl PacketSample {
    /// Returns an empty sample. It allocates all of its memory.
    pub fn new() -> Self {
        let packet = Packet { bytes: vec![0; MAX_PACKET_LEN].into(), len: 0 };
        let waiting = Waiting { packets: vec![packet; CAPACITY].into(), len: 0 };
        Self { start: Instant::now(), next: AtomicU64::new(0), waiting: Mutex::new(waiting) }
    }

    /// Offers a packet that did not decrypt, as it was received: decryption leaves a packet that it
    /// refuses as it was. Returns whether a copy was taken.
    ///
    /// It never waits: where another thread is at the sample, or it is too early for the next
    /// packet, nothing is taken. It looks at nothing but the header, which must be that of an
    /// authenticated request of another suite than 1.
    pub fn offer(&self, packet: &[u8]) -> bool {
        self.offer_at(packet, self.start.elapsed().as_millis().try_into().unwrap_or(u64::MAX))
    }

    fn offer_at(&self, packet: &[u8], now: u64) -> bool {
        if now < self.next.load(Ordering::Relaxed) || packet.len() > MAX_PACKET_LEN || !has_claim(packet) {
            return false;
        }
        let Ok(mut waiting) = self.waiting.try_lock() else { return false };
        // Another thread may have had this turn.
        if now < self.next.load(Ordering::Relaxed) {
            return false;
        }
        let len = waiting.len;
        let Some(place) = waiting.packets.get_mut(len) else { return false };
        place.bytes[..packet.len()].copy_from_slice(packet);
        place.len = packet.len();
        waiting.len += 1;
        self.next.store(now.saturating_add(INTERVAL), Ordering::Relaxed);
        true
    }

    /// Opens the packets of the sample with the true secrets, and wipes them. Those that prove the
    /// key of an unknown client, or of one that must use its pre-shared key and did not, are added
    /// to the policy's counters and refused clients. Returns their number.
    ///
    /// It takes two X25519 for each packet: call it some times a second, and not on a thread that
    /// serves packets. The server is the one that refused them, or its replacement.
    pub fn examine(&self, server: &Server, policy: &AccessPolicy) -> u64 {
        let mut found = 0;
        // One at a time, so that the lock is not held while a packet is opened.
        while let Some(mut packet) = self.take() {
            let examiner = Examiner { policy, found: AtomicU64::new(0) };
            if let Some(bytes) = packet.bytes.get_mut(..packet.len) {
                let _refusal = server.open_request_with(bytes, &examiner).err();
            }
            packet.bytes.zeroize();
            found += examiner.found.into_inner();
        }
        found
    }

    /// Takes a packet out, with a copy of its bytes.
    fn take(&self) -> Option<Packet> {
        let mut waiting = lock(&self.waiting);
        waiting.len = waiting.len.checked_sub(1)?;
        let len = waiting.len;
        let place = waiting.packets.get_mut(len)?;
        let packet = place.clone();
        place.bytes.zeroize();
        Some(packet)
    }
}

/// Without the packets.
impl fmt::Debug for PacketSample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PacketSample").finish_non_exhaustive()
    }
}

impl Default for PacketSample {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Packet {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

/// Returns whether a packet has a client key before its body.
fn has_claim(packet: &[u8]) -> bool {
    Header::parse(packet)
        .is_ok_and(|header| !header.is_reply() && header.has_client_auth() && header.suite_number() != 1)
}

/// Lets the policy count what the table hides. Everything else was counted before, or decrypts the
/// next time.
struct Examiner<'p> {
    policy: &'p AccessPolicy,
    found: AtomicU64,
}

impl ClientCheck for Examiner<'_> {
    fn check(&self, claim: &ClientClaim<'_>) -> KeyCheck {
        if !self.policy.is_proven(claim) {
            self.found.fetch_add(1, Ordering::Relaxed);
            self.policy.check(claim);
        }
        // No client is served here.
        KeyCheck::RejectUnknown
    }

    fn allows_unknown_clients(&self) -> bool {
        self.policy.allows_unknown_clients()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use pssst::{Client, PskMaster, PublicKey, SecretKey, Suite, SysRng};

    use super::*;
    use crate::{Change, ClientStatus, IdentitySnapshot, RefusedCause, Revision, State, UnknownClients};

    fn secret(number: u8) -> SecretKey {
        SecretKey::from_bytes([number; 32])
    }

    fn client(suite: Suite, number: u8) -> Client {
        let client = Client::new(secret(0).public_key()).unwrap().with_suite(suite).unwrap();
        client.with_identity(&secret(number)).unwrap()
    }

    fn packet(suite: Suite, number: u8) -> Vec<u8> {
        client(suite, number).seal_request_to_vec(&mut SysRng, b"hello").unwrap().0
    }

    fn policy(clients: &[(u8, bool)]) -> AccessPolicy {
        let snapshot = IdentitySnapshot::new();
        for (number, requires_psk) in clients {
            let status =
                ClientStatus { name: "a".into(), state: State::Enrolled, expires: None, requires_psk: *requires_psk };
            snapshot.apply(&[Change::new(Revision(1), secret(*number).public_key(), Some(status))]);
        }
        AccessPolicy::new(Arc::new(snapshot), UnknownClients::Refuse)
    }

    const F002: Suite = Suite::X25519Aes256GcmSiv;

    #[test]
    fn the_sample_is_bounded_in_rate_number_and_length() {
        let (sample, server, policy) = (PacketSample::new(), Server::new(secret(0)), policy(&[]));
        let packet = packet(F002, 1);
        // A flood of an hour: one each tenth of a second, until it is full.
        let taken: Vec<_> = (0..3_600_000_u64).step_by(7).filter(|now| sample.offer_at(&packet, *now)).collect();
        assert_eq!(taken.len(), CAPACITY);
        assert!(taken.windows(2).all(|pair| pair[1] - pair[0] >= INTERVAL), "{taken:?}");
        assert!(taken[9] < 11 * INTERVAL, "{taken:?}");

        assert_eq!(sample.examine(&server, &policy), CAPACITY as u64);
        assert_eq!(policy.stats().unknown, CAPACITY as u64);
        assert_eq!(sample.examine(&server, &policy), 0);
        assert!(lock(&sample.waiting).packets.iter().all(|packet| packet.bytes.iter().all(|byte| *byte == 0)));

        let long = [packet.clone(), vec![0; MAX_PACKET_LEN + 1 - packet.len()]].concat();
        assert!(!sample.offer_at(&long, 4_000_000));
        assert!(sample.offer_at(&long[..MAX_PACKET_LEN], 4_000_000));
    }

    #[test]
    fn only_authenticated_requests_of_the_later_suites_are_taken() {
        let anonymous = Client::new(secret(0).public_key()).unwrap().with_suite(F002).unwrap();
        let anonymous = anonymous.seal_request_to_vec(&mut SysRng, b"hello").unwrap().0;
        let mut reply = packet(F002, 1);
        reply[0] |= 0x80;
        for other in [&packet(Suite::X25519AesGcm128, 1)[..], &anonymous, &reply, &[], &[0x40]] {
            assert!(!PacketSample::new().offer(other));
        }
        assert!(PacketSample::new().offer(&packet(F002, 1)));
    }

    #[test]
    fn packet_threads_never_wait() {
        let sample = PacketSample::new();
        let _held = lock(&sample.waiting);
        assert!(!sample.offer(&packet(F002, 1)));
    }

    #[test]
    fn only_what_proves_a_client_that_the_table_hides_is_counted() {
        let master = PskMaster::from_bytes([7; 32]);
        let server = Server::new(secret(0)).with_psk_masters([master.clone()]).unwrap();
        let policy = policy(&[(1, false), (2, true)]);
        let with_psk = client(F002, 2).with_psk(master.psk(&secret(2).public_key())).unwrap();
        let mut broken = packet(F002, 3);
        *broken.last_mut().unwrap() ^= 1;
        let packets = [
            // Enrolled since.
            packet(F002, 1),
            // Must use its pre-shared key, and does not.
            packet(F002, 2),
            with_psk.seal_request_to_vec(&mut SysRng, b"hello").unwrap().0,
            packet(F002, 3),
            packet(F002, 3),
            broken,
        ];
        let sample = PacketSample::new();
        for (packet, now) in packets.iter().zip((0..).step_by(100)) {
            assert!(sample.offer_at(packet, now));
        }
        assert_eq!(sample.examine(&server, &policy), 3);
        assert_eq!((policy.stats().unknown, policy.stats().psk_required), (2, 1));
        let mut refused = policy.refused().report(jiff::Timestamp::now(), |_| None).clients;
        refused.sort_by_key(|client| client.requests);
        let refused: Vec<_> = refused.iter().map(|client| (client.key, client.cause, client.requests)).collect();
        let key = |number| -> PublicKey { secret(number).public_key() };
        assert_eq!(refused, [(key(2), RefusedCause::PskRequired, 1), (key(3), RefusedCause::Unknown, 2)]);
    }
}
