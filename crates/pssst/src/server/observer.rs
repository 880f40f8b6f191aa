//! Facts that an observer can learn from how much work a silent refusal takes: whether the front of
//! a packet is intact, but nothing about the client.
//!
//! The expected work is written out, so a step that is added, left out or not counted fails too.

use core::cell::Cell;

use std::vec;
use std::vec::Vec;

use rand::SeedableRng;
use rand::rngs::ChaCha20Rng;
use zeroize::Zeroizing;

use super::{ClientCheck, ClientClaim, KeyCheck, Server, SharedSecret};
use crate::work::{self, Work};
use crate::{Client, Keyring, PskMaster, PublicKey, Refusal, SecretKey, ServerKey, Suite, XWingSecretKey};

const SUITES: [Suite; 2] = [Suite::X25519Aes256GcmSiv, Suite::XWingAes256GcmSiv];

/// Where Z2 comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mode {
    /// From a table that was made ahead of time.
    Precomputed,
    /// From a multiplication for each request.
    PerRequest,
}

/// The owner's list of clients.
struct Clients {
    mode: Mode,
    accepted: PublicKey,
    revoked: PublicKey,
    /// Must use its pre-shared key, and does not.
    lax: PublicKey,
    /// x25519(s, C), in the order of the server's keys.
    secrets: Vec<(PublicKey, Vec<[u8; 32]>)>,
    look_ups: Cell<usize>,
}

impl Clients {
    fn verdict(&self, key: &PublicKey) -> KeyCheck {
        match key {
            key if *key == self.accepted => KeyCheck::Accept,
            key if *key == self.revoked => KeyCheck::RejectInactive,
            key if *key == self.lax => KeyCheck::RejectWithoutPsk,
            _ => KeyCheck::RejectUnknown,
        }
    }
}

impl ClientCheck for Clients {
    fn check(&self, claim: &ClientClaim<'_>) -> KeyCheck {
        self.verdict(claim.key())
    }

    fn look_up(&self, claim: &ClientClaim<'_>) -> SharedSecret {
        self.look_ups.set(self.look_ups.get() + 1);
        if self.mode == Mode::PerRequest {
            return SharedSecret::Compute;
        }
        match self.secrets.iter().find(|(key, _)| key == claim.key()) {
            Some((_, secrets)) => SharedSecret::Known(Zeroizing::new(secrets[claim.server_key_index()])),
            None => SharedSecret::Unknown,
        }
    }

    fn allows_unknown_clients(&self) -> bool {
        false
    }
}

/// A packet, and what an observer may know of it.
struct Case {
    name: &'static str,
    packet: Vec<u8>,
    /// Whether X, M and t are a client's own.
    has_intact_front: bool,
    cause: Refusal,
}

/// Two server keys of each kind, the second of them used by the clients.
struct Scene {
    suite: Suite,
    mode: Mode,
    has_psk: bool,
    masters: usize,
    server: Server,
    clients: Clients,
    cases: Vec<Case>,
}

impl Scene {
    fn new(suite: Suite, mode: Mode, has_psk: bool, masters: usize) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(17);
        let [first, second] = [(); 2].map(|()| XWingSecretKey::generate(&mut rng).unwrap());
        let keyring = Keyring::new(first.x25519_part()).with_key(second.x25519_part()).unwrap();
        let keyring = keyring.with_xwing_key(&first).unwrap().with_xwing_key(&second).unwrap();
        let server_key = keyring.server_keys().nth(if suite.has_ciphertext() { 3 } else { 1 }).unwrap();
        let psk_masters: Vec<_> = (0..masters).map(|_| PskMaster::generate(&mut rng).unwrap()).collect();
        let [accepted, revoked, unknown, lax] = [(); 4].map(|()| SecretKey::generate(&mut rng).unwrap());

        let scalars: Vec<_> = (0..4).map(|place| *keyring.key_at(place).unwrap().scalar()).collect();
        let secrets = [&accepted, &revoked].map(|secret| {
            let key = secret.public_key();
            let secrets =
                scalars.iter().map(|scalar| *SecretKey::from_bytes(*scalar).shared_secret(&key).unwrap().as_bytes());
            (key, secrets.collect())
        });
        let clients = Clients {
            mode,
            accepted: accepted.public_key(),
            revoked: revoked.public_key(),
            lax: lax.public_key(),
            secrets: secrets.into(),
            look_ups: Cell::new(0),
        };
        let server = Server::new(keyring).with_psk_masters(psk_masters.clone()).unwrap();
        let in_use = if has_psk { &*psk_masters } else { &[] };
        let cases = cases(&mut rng, &server_key, in_use, [&accepted, &revoked, &unknown, &lax], mode);
        Self { suite, mode, has_psk, masters, server, clients, cases }
    }

    /// The work for a packet that is refused.
    fn expected(&self, has_intact_front: bool) -> Work {
        let keys = 2;
        let decapsulations = if self.suite.has_ciphertext() { keys } else { 0 };
        // K1, the mask of C, and t.
        let front = Work { multiplications: keys, decapsulations, hashes: 3 * keys, ..Work::default() };
        if !has_intact_front {
            return front;
        }
        let (psks, tries) = if self.has_psk { (self.masters, self.masters) } else { (0, 1) };
        match self.mode {
            Mode::Precomputed => Work { hashes: front.hashes + tries, psks, openings: tries, ..front },
            Mode::PerRequest => Work {
                multiplications: front.multiplications + 1,
                hashes: front.hashes + tries,
                psks,
                openings: tries,
                ..front
            },
        }
    }

    #[track_caller]
    fn describe(&self, case: &Case) -> std::string::String {
        let Self { suite, mode, has_psk, masters, .. } = self;
        std::format!("{suite}, {mode:?}, psk {has_psk}, {masters} masters: {}", case.name)
    }
}

fn cases(
    rng: &mut ChaCha20Rng,
    server_key: &ServerKey,
    masters: &[PskMaster],
    [accepted, revoked, unknown, lax]: [&SecretKey; 4],
    mode: Mode,
) -> Vec<Case> {
    let anonymous = || Client::new(server_key.clone()).unwrap();
    let master = masters.first();
    let wrong_master = PskMaster::from_bytes([9; 32]);
    let with_psk = |client: Client, key: &PublicKey, master: Option<&PskMaster>| {
        if let Some(master) = master { client.with_psk(master.psk(key)).unwrap() } else { client }
    };
    let honest =
        |secret: &SecretKey| with_psk(anonymous().with_identity(secret).unwrap(), &secret.public_key(), master);
    // Anyone who holds C but not c can make a front that is intact.
    let pretender = |key: PublicKey| {
        let z2 = SecretKey::from_bytes([8; 32]).shared_secret(&server_key.x25519_part()).unwrap();
        with_psk(anonymous().as_precomputed(key, z2.as_bytes()).unwrap(), &key, master)
    };
    let alias = |secret: &SecretKey| {
        let mut key = *secret.public_key().as_bytes();
        key[31] |= 0x80;
        let z2 = secret.shared_secret(&server_key.x25519_part()).unwrap();
        let key = PublicKey::from_bytes(key);
        with_psk(anonymous().as_precomputed(key, z2.as_bytes()).unwrap(), &key, master)
    };
    let mut seal = |client: &Client| client.seal_request_to_vec(rng, b"ping").unwrap().0;
    let bent = |mut packet: Vec<u8>, place: usize| {
        packet[place] ^= 1;
        packet
    };
    let (front, body) = {
        let body = honest(accepted).overhead() - 16;
        (body - 1, body)
    };
    let (failed, stranger) = (
        Refusal::DecryptFailed,
        match mode {
            Mode::Precomputed => Refusal::DecryptFailed,
            Mode::PerRequest => Refusal::UnknownClient,
        },
    );

    let mut junk = seal(&honest(accepted));
    let (_, random) = junk.split_at_mut(4);
    random.iter_mut().zip((0..=255).cycle()).for_each(|(byte, place): (&mut u8, u8)| *byte = place.wrapping_mul(73));
    let mut cases = vec![
        ("junk", junk, false, failed),
        ("accepted, t bent", bent(seal(&honest(accepted)), front), false, failed),
        ("revoked, t bent", bent(seal(&honest(revoked)), front), false, failed),
        ("unknown, t bent", bent(seal(&honest(unknown)), front), false, failed),
        ("accepted, body bent", bent(seal(&honest(accepted)), body), true, failed),
        ("revoked, body bent", bent(seal(&honest(revoked)), body), true, failed),
        ("unknown, body bent", bent(seal(&honest(unknown)), body), true, failed),
        ("revoked", seal(&honest(revoked)), true, Refusal::ClientRefused),
        ("unknown", seal(&honest(unknown)), true, stranger),
        ("alias of the accepted", seal(&alias(accepted)), true, stranger),
        ("not the accepted", seal(&pretender(accepted.public_key())), true, failed),
        ("not the revoked", seal(&pretender(revoked.public_key())), true, failed),
        ("not the unknown", seal(&pretender(unknown.public_key())), true, failed),
        ("a key of low order", seal(&pretender(PublicKey::from_bytes([0; 32]))), true, failed),
    ];
    if master.is_some() {
        let wrong = |secret: &SecretKey| {
            let client = anonymous().with_identity(secret).unwrap();
            with_psk(client, &secret.public_key(), Some(&wrong_master))
        };
        cases.extend([
            ("accepted, wrong psk", seal(&wrong(accepted)), true, failed),
            ("revoked, wrong psk", seal(&wrong(revoked)), true, failed),
            ("unknown, wrong psk", seal(&wrong(unknown)), true, failed),
        ]);
    }
    // With a table, the look-up does not know a client that does not use its pre-shared key.
    let without_psk = if mode == Mode::Precomputed { failed } else { Refusal::PskRequired };
    cases.push(("lax", seal(&honest(lax)), true, without_psk));
    if let Some(older) = masters.get(1) {
        let client = with_psk(anonymous().with_identity(revoked).unwrap(), &revoked.public_key(), Some(older));
        cases.push(("revoked, older psk", seal(&client), true, Refusal::ClientRefused));
    }
    let case = |(name, packet, has_intact_front, cause)| Case { name, packet, has_intact_front, cause };
    cases.into_iter().map(case).collect()
}

fn each_scene(check: impl Fn(&Scene)) {
    for suite in SUITES {
        for mode in [Mode::Precomputed, Mode::PerRequest] {
            for (has_psk, masters) in [(false, 0), (false, 2), (true, 1), (true, 2)] {
                check(&Scene::new(suite, mode, has_psk, masters));
            }
        }
    }
}

#[test]
fn one_packet_that_is_refused_takes_the_work_of_any_other() {
    each_scene(|scene| {
        for case in &scene.cases {
            scene.clients.look_ups.set(0);
            let mut packet = case.packet.clone();
            let work = work::of(|| {
                let outcome = scene.server.open_request_with(&mut packet, &scene.clients);
                assert_eq!(outcome.err(), Some(case.cause), "{}", scene.describe(case));
            });
            assert_eq!(work, scene.expected(case.has_intact_front), "{}", scene.describe(case));
            assert_eq!(scene.clients.look_ups.get(), usize::from(case.has_intact_front), "{}", scene.describe(case));
        }
    });
}

/// A batch of copies, so that a packet's work does not hide behind that of its neighbours.
#[test]
fn packets_of_a_batch_that_are_refused_take_the_work_of_any_others() {
    const COPIES: usize = 3;
    each_scene(|scene| {
        for case in &scene.cases {
            scene.clients.look_ups.set(0);
            let mut packets = [(); COPIES].map(|()| case.packet.clone());
            let work = work::of(|| {
                let packets = packets.iter_mut().map(Vec::as_mut_slice);
                scene.server.open_batch(packets, &scene.clients, |_, outcome| {
                    assert_eq!(outcome.err(), Some(case.cause), "{}", scene.describe(case));
                });
            });
            assert_eq!(work, scene.expected(case.has_intact_front).times(COPIES), "{}", scene.describe(case));
            let look_ups = if case.has_intact_front { COPIES } else { 0 };
            assert_eq!(scene.clients.look_ups.get(), look_ups, "{}", scene.describe(case));
        }
    });
}

/// An accepted client's request takes no more work, so a reply that gets lost tells nothing
/// either.
#[test]
fn a_request_that_is_opened_takes_the_work_of_one_that_is_refused() {
    for suite in SUITES {
        for mode in [Mode::Precomputed, Mode::PerRequest] {
            for (has_psk, masters) in [(false, 0), (true, 1), (true, 2)] {
                let scene = Scene::new(suite, mode, has_psk, masters);
                let bent = scene.cases.iter().find(|case| case.name == "accepted, body bent").unwrap();
                let mut packet = bent.packet.clone();
                let body = suite.request_overhead(true) - 16;
                packet[body] ^= 1;
                let work = work::of(|| {
                    let request = scene.server.open_request_with(&mut packet, &scene.clients).unwrap();
                    assert_eq!(request.message(), b"ping");
                });
                assert_eq!(work, scene.expected(true), "{}", scene.describe(bent));
            }
        }
    }
}
