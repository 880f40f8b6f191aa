//! A server with secrets that were computed ahead of time: real packets, a real follower.

use std::sync::Arc;

use pssst_identity::jiff::Timestamp;
use pssst_identity::pssst::{
    Client, Keyring, PskMaster, Refusal, SecretKey, Server, ServerKey, Suite, SysRng, XWingSecretKey,
};
use pssst_identity::{
    AccessPolicy, AccessStats, Follower, IdentityStore, MemoryStore, NewIdentity, PacketSample, SharedSecrets, State,
    UnknownClients, Update,
};
use pssst_test::{secret, until};

const F002: Suite = Suite::X25519Aes256GcmSiv;
const F003: Suite = Suite::XWingAes256GcmSiv;

/// A server with a key of each kind, and its clients.
struct World {
    xwing: XWingSecretKey,
    server: Server,
    store: Arc<MemoryStore>,
    follower: Follower,
    policy: AccessPolicy,
}

fn master() -> PskMaster {
    PskMaster::from_bytes([7; 32])
}

fn client(number: u32, name: &str) -> NewIdentity {
    NewIdentity::new(secret(number).public_key(), name).expect("a good key and name")
}

impl World {
    async fn new() -> Self {
        let store = Arc::new(MemoryStore::new());
        let all = vec![client(1, "one"), client(2, "two").with_requires_psk(true), client(3, "three")];
        store.add_all(all).await.expect("they are new");
        let follower = Follower::start(store.clone()).await.expect("it starts");
        let xwing = XWingSecretKey::from_bytes([3; 32]);
        let keyring = || Keyring::new(secret(1_000)).with_xwing_key(&xwing).expect("there is room");
        let server = Server::new(keyring()).with_psk_masters([master()]).expect("there is room");
        let secrets = SharedSecrets::compute(follower.snapshot(), server.keyring());
        assert!(secrets.is_complete() && secrets.matches(server.keyring()));
        let policy = AccessPolicy::new(Arc::clone(follower.snapshot()), UnknownClients::Refuse);
        Self { policy: policy.with_shared_secrets(secrets), xwing, server, store, follower }
    }

    fn packet(&self, identity: &SecretKey, suite: Suite, has_psk: bool) -> Vec<u8> {
        let server_key: ServerKey = match suite {
            F003 => self.xwing.public_key().into(),
            _ => secret(1_000).public_key().into(),
        };
        let client = Client::new(server_key).and_then(|client| client.with_suite(suite)).expect("a client");
        let mut client = client.with_identity(identity).expect("an identity");
        if has_psk {
            client = client.with_psk(master().psk(&identity.public_key())).expect("a suite with it");
        }
        client.seal_request_to_vec(&mut SysRng, b"hello").expect("a request").0
    }

    /// Opens a packet alone, and in a batch with its copy; the outcomes are the same.
    fn open(&self, packet: &[u8]) -> Result<(), Refusal> {
        let mut copies = [packet.to_vec(), packet.to_vec(), packet.to_vec()];
        let [alone, batch @ ..] = &mut copies;
        let outcome = self.server.open_request_with(alone, &self.policy).map(drop);
        let batch = batch.iter_mut().map(Vec::as_mut_slice);
        self.server.open_batch(batch, &self.policy, |_, other| assert_eq!(other.map(drop), outcome));
        if outcome == Err(Refusal::DecryptFailed) {
            assert!(copies.iter().all(|copy| copy == packet), "a refused packet is left as it was");
        }
        outcome
    }
}

#[tokio::test]
async fn who_is_served_does_not_depend_on_the_table() {
    let world = World::new().await;
    for suite in [F002, F003] {
        assert_eq!(world.open(&world.packet(&secret(1), suite, false)), Ok(()));
        assert_eq!(world.open(&world.packet(&secret(1), suite, true)), Ok(()));
        assert_eq!(world.open(&world.packet(&secret(2), suite, true)), Ok(()));
        assert_eq!(world.policy.stats(), AccessStats::default());
        // Unknown, or without the pre-shared key: nothing is known before decryption, or after.
        assert_eq!(world.open(&world.packet(&secret(2), suite, false)), Err(Refusal::DecryptFailed));
        assert_eq!(world.open(&world.packet(&secret(9), suite, false)), Err(Refusal::DecryptFailed));
        assert_eq!(world.policy.stats(), AccessStats::default());
    }
    // Suite 1 needs no look-up.
    let first = Suite::X25519AesGcm128;
    assert_eq!(
        world.server.open_request_with(&mut world.packet(&secret(1), first, false), &world.policy).map(drop),
        Ok(())
    );
    for (client, cause) in [(2, Refusal::PskRequired), (9, Refusal::UnknownClient)] {
        let mut packet = world.packet(&secret(client), first, false);
        assert_eq!(world.server.open_request_with(&mut packet, &world.policy).err(), Some(cause));
    }
    let stats = world.policy.stats();
    assert_eq!((stats.unknown, stats.psk_required), (1, 1));
    assert_eq!((stats.suspended, stats.revoked, stats.expired), (0, 0, 0));
}

/// A suspended client is counted once it has proven itself, and never before.
#[tokio::test]
async fn refused_clients_are_counted_after_decryption() {
    let world = World::new().await;
    world.store.update(&secret(3).public_key(), Update::state(State::Suspended)).await.expect("it is there");
    let snapshot = world.follower.snapshot();
    until("the follower sees it", async || {
        snapshot.get(&secret(3).public_key()).is_some_and(|now| now.state == State::Suspended)
    })
    .await;
    for suite in [F002, F003] {
        let packet = world.packet(&secret(3), suite, false);
        let before = world.policy.stats().suspended;
        for place in [packet.len() - 1, packet.len() - 17, 40] {
            let mut broken = packet.clone();
            broken[place] ^= 1;
            assert_eq!(world.open(&broken), Err(Refusal::DecryptFailed));
        }
        assert_eq!(world.policy.stats().suspended, before);
        assert_eq!(world.open(&packet), Err(Refusal::ClientRefused));
        assert_eq!(world.policy.stats().suspended, before + 3);
    }
    let [refused] = &world.policy.refused().report(Timestamp::now(), |_| None).clients[..] else {
        panic!("one client");
    };
    assert_eq!((refused.key, refused.requests), (secret(3).public_key(), 6));
}

#[tokio::test]
async fn clients_that_come_and_go_are_followed() {
    let world = World::new().await;
    let packets = [F002, F003].map(|suite| world.packet(&secret(5), suite, false));
    let open = || packets.each_ref().map(|packet| world.open(packet));
    assert_eq!(open(), [Err(Refusal::DecryptFailed); 2]);
    world.store.add(client(5, "five")).await.expect("it is new");
    let snapshot = world.follower.snapshot();
    until("the follower sees it", async || snapshot.get(&secret(5).public_key()).is_some()).await;
    assert_eq!(open(), [Ok(()); 2]);
    world.store.remove(&secret(5).public_key()).await.expect("it is there");
    until("the follower sees it", async || snapshot.get(&secret(5).public_key()).is_none()).await;
    assert_eq!(open(), [Err(Refusal::DecryptFailed); 2]);
}

#[tokio::test]
async fn devices_that_the_table_hides_are_found_later() {
    let world = World::new().await;
    let sample = PacketSample::new();
    for (identity, suite) in [(2, F002), (9, F003)] {
        let packet = world.packet(&secret(identity), suite, false);
        assert_eq!(world.open(&packet), Err(Refusal::DecryptFailed));
        tokio::time::sleep(std::time::Duration::from_millis(101)).await;
        assert!(sample.offer(&packet));
    }
    assert_eq!(world.policy.stats().unknown, 0);
    assert_eq!(sample.examine(&world.server, &world.policy), 2);
    assert_eq!((world.policy.stats().unknown, world.policy.stats().psk_required), (1, 1));
    let mut refused = world.policy.refused().report(Timestamp::now(), |_| None).clients;
    refused.sort_by_key(|client| client.key != secret(2).public_key());
    let refused: Vec<_> = refused.iter().map(|client| (client.key, client.cause.name())).collect();
    assert_eq!(refused, [(secret(2).public_key(), "psk_required"), (secret(9).public_key(), "unknown")]);
}
