//! Secrets that enrolled clients share with the keys of a server, computed ahead of time.

use std::fmt;
use std::sync::Arc;

use pssst::{KEY_LEN, Keyring, PublicKey};
use zeroize::Zeroizing;

use crate::IdentitySnapshot;
use crate::snapshot::{Authorization, FillPosition, Secrets};

/// A table of the secrets (Z2) that the clients of a snapshot share with the keys of a keyring:
/// with it, an authenticated request costs a server one X25519 instead of two.
///
/// The table follows its snapshot: the secrets of a new client are computed before the client
/// becomes visible, those of a removed one are wiped. It is used only once it is complete, for all
/// clients and all keys: one that fills as clients come would show by its timing which of them came
/// before.
///
/// To change a server's keys, compute a table for the new keyring, and put it into force in one
/// step with the new server: [`with_shared_secrets`](crate::AccessPolicy::with_shared_secrets).
///
/// # Memory and time
///
/// A secret takes 32 bytes for each client and server key, in chunks of 4,096 clients. A million
/// clients take 32 MB for one key (measured), ten million 321 MB (computed); during a rotation,
/// with two keys in each of two tables, that is 128 MB and 1.28 GB. A million secrets take one core
/// with AVX-512 IFMA 3 to 6 seconds, with AVX2 some 12, and others 19 to 42. A table does not
/// become smaller when clients are removed; their places are used again.
///
/// # These are secrets
///
/// An attacker who reads the table can pose as those clients towards this server, in every suite
/// under its keys, and reads no packet. The table is wiped when the last handle is dropped, and
/// never shown. Keep the process from being dumped or swapped out.
///
/// ```
/// use std::sync::Arc;
/// use pssst_identity::pssst::{Keyring, SecretKey, Server, SysRng};
/// use pssst_identity::{AccessPolicy, IdentitySnapshot, SharedSecrets, UnknownClients};
///
/// # let snapshot = Arc::new(IdentitySnapshot::new());
/// let keyring = Keyring::new(SecretKey::generate(&mut SysRng)?);
/// // Takes seconds: on a thread of its own.
/// let secrets = SharedSecrets::compute(&snapshot, &keyring);
/// let policy = AccessPolicy::new(snapshot, UnknownClients::Refuse).with_shared_secrets(secrets);
/// let server = Server::new(keyring);
/// # let _ = (policy, server);
/// # Ok::<(), pssst_identity::pssst::Error>(())
/// ```
#[derive(Clone)]
pub struct SharedSecrets {
    snapshot: Arc<IdentitySnapshot>,
    secrets: Arc<Secrets>,
}

impl SharedSecrets {
    /// Computes the table of all clients of a snapshot, on this thread, in pieces of 1,024 clients.
    /// Packets and the followed store do not wait for it.
    pub fn compute(snapshot: &Arc<IdentitySnapshot>, keyring: &Keyring) -> Self {
        let secrets = Self::incomplete(snapshot, keyring);
        secrets.fill_while(|| true);
        secrets
    }

    /// Returns a table that has the clients that come from now on, and is not used until
    /// [`fill_while`](Self::fill_while) has completed it.
    ///
    /// It keeps a copy of the keyring, whose keys it needs for new clients.
    pub fn incomplete(snapshot: &Arc<IdentitySnapshot>, keyring: &Keyring) -> Self {
        let secrets = Arc::new(Secrets::new(keyring.clone()));
        snapshot.add_secrets(&secrets);
        Self { snapshot: Arc::clone(snapshot), secrets }
    }

    /// Computes what is missing, as long as `proceed` returns `true`. It is called before each
    /// piece of at most 1,024 clients, and may wait, to leave the core to others. Returns whether
    /// the table is complete.
    ///
    /// A later call begins again, and computes nothing twice.
    pub fn fill_while(&self, mut proceed: impl FnMut() -> bool) -> bool {
        let mut position = FillPosition::default();
        while !self.is_complete() && proceed() {
            if !self.snapshot.fill_piece(&self.secrets, &mut position) {
                break;
            }
        }
        self.is_complete()
    }

    /// Returns whether the table is complete, so that it is used. It stays so.
    pub fn is_complete(&self) -> bool {
        self.secrets.is_complete()
    }

    /// Returns whether the table was computed for the keys of this keyring, in this order. A server
    /// with another keyring decrypts nothing with it.
    pub fn matches(&self, keyring: &Keyring) -> bool {
        self.secrets.keyring().server_keys().eq(keyring.server_keys())
    }

    /// Returns the number of its secrets, once it is complete: one for each client and server key.
    pub fn count(&self) -> usize {
        if self.is_complete() { self.snapshot.len() * self.secrets.keys() } else { 0 }
    }

    /// Returns the bytes of memory that it takes.
    pub fn memory(&self) -> usize {
        self.secrets.memory()
    }

    /// Returns the authorization of a client and its secret, or zeros where there is none.
    pub(crate) fn look_up(
        &self,
        key: &PublicKey,
        server_key_index: usize,
    ) -> Option<(Authorization, Zeroizing<[u8; KEY_LEN]>)> {
        self.snapshot.shared_secret(key, &self.secrets, server_key_index)
    }
}

/// Without any secret.
impl fmt::Debug for SharedSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedSecrets")
            .field("snapshot", &self.snapshot)
            .field("server_keys", &self.secrets.keys())
            .field("is_complete", &self.is_complete())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    use proptest::prelude::*;
    use pssst::{ClientCheck, ClientClaim, SecretKey, SharedSecret, Suite, X25519, XWingSecretKey};

    use super::*;
    use crate::{AccessPolicy, Change, ClientStatus, Revision, State, UnknownClients};

    const CLIENTS: u16 = 200;

    static KEYS: LazyLock<Vec<PublicKey>> =
        LazyLock::new(|| (0..CLIENTS).map(|number| pssst_test::secret(number.into()).public_key()).collect());

    /// Two keys of X25519, and one of X-Wing.
    fn keyring() -> (Keyring, [SecretKey; 3]) {
        let [first, second] = [1, 2].map(|number| SecretKey::from_bytes([number; 32]));
        let xwing = XWingSecretKey::from_bytes([3; 32]);
        let keyring = Keyring::new(first.clone()).with_key(second.clone()).unwrap().with_xwing_key(&xwing).unwrap();
        (keyring, [first, second, xwing.x25519_part()])
    }

    fn change(number: u16, status: Option<(State, bool)>) -> Change {
        let status =
            status.map(|(state, requires_psk)| ClientStatus { name: "a".into(), state, expires: None, requires_psk });
        Change::new(Revision(0), KEYS[usize::from(number)], status)
    }

    fn enrolled(number: u16) -> Change {
        change(number, Some((State::Enrolled, false)))
    }

    fn look_up(policy: &AccessPolicy, number: u16, server_key_index: usize, has_psk: bool) -> SharedSecret {
        let key = &KEYS[usize::from(number)];
        policy.look_up(&ClientClaim::new(key, Suite::X25519Aes256GcmSiv, server_key_index, has_psk))
    }

    /// Checks the answers for every client and key.
    fn assert_answers(policy: &AccessPolicy, secrets: &[SecretKey], map: &BTreeMap<PublicKey, (State, bool)>) {
        for number in 0..CLIENTS {
            let known = map.get(&KEYS[usize::from(number)]);
            for (index, secret) in secrets.iter().enumerate() {
                for has_psk in [false, true] {
                    let expected = known.filter(|(_, requires_psk)| !requires_psk || has_psk).map(|_| {
                        *X25519::new().multiply(secret.expose_bytes(), KEYS[usize::from(number)].as_bytes()).as_bytes()
                    });
                    match (look_up(policy, number, index, has_psk), expected) {
                        (SharedSecret::Known(answer), Some(expected)) => assert_eq!(*answer, expected),
                        (SharedSecret::Unknown, None) => {}
                        (answer, expected) => panic!("{number}: {answer:?} instead of {expected:?}"),
                    }
                }
            }
        }
    }

    fn any_changes() -> impl Strategy<Value = Vec<(u16, Option<(State, bool)>)>> {
        let status = (prop::sample::select(State::ALL.to_vec()), any::<bool>());
        prop::collection::vec((0..CLIENTS, prop::option::of(status)), 0..60)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        /// Tables that begin before any of the changes, before the last, and after them; with a
        /// store that is replaced.
        #[test]
        fn the_table_has_what_clients_and_server_share(
            batches in prop::collection::vec((any_changes(), prop::bool::weighted(0.2)), 1..8),
            start in 0_usize..8,
        ) {
            let (keyring, secrets) = keyring();
            let snapshot = Arc::new(IdentitySnapshot::new());
            let mut map = BTreeMap::new();
            let mut late = None;
            let early = SharedSecrets::compute(&snapshot, &keyring);
            for (place, (batch, is_replaced)) in batches.iter().enumerate() {
                if place == start {
                    late = Some(SharedSecrets::incomplete(&snapshot, &keyring));
                }
                let changes: Vec<_> = batch.iter().map(|(number, status)| change(*number, *status)).collect();
                if *is_replaced {
                    map.clear();
                    let table = snapshot.empty_table();
                    table.apply(&changes, None);
                    snapshot.replace(table);
                } else {
                    snapshot.apply(&changes);
                }
                for (number, status) in batch {
                    match status {
                        Some(status) => map.insert(KEYS[usize::from(*number)], *status),
                        None => map.remove(&KEYS[usize::from(*number)]),
                    };
                }
                prop_assert_eq!(snapshot.len(), map.len());
            }
            let policy = |secrets| AccessPolicy::new(Arc::clone(&snapshot), UnknownClients::Refuse).with_shared_secrets(secrets);
            assert_answers(&policy(early), &secrets, &map);
            if let Some(late) = late {
                let policy = policy(late.clone());
                prop_assert!(matches!(look_up(&policy, 0, 0, true), SharedSecret::Compute));
                prop_assert!(late.fill_while(|| true));
                assert_answers(&policy, &secrets, &map);
            }
        }
    }

    #[test]
    fn a_table_that_is_not_complete_or_not_wanted_is_not_used() {
        let (keyring, secrets) = keyring();
        let snapshot = Arc::new(IdentitySnapshot::new());
        snapshot.apply(&(0..CLIENTS).map(enrolled).collect::<Vec<_>>());
        let table = SharedSecrets::incomplete(&snapshot, &keyring);
        let policy = |unknown_clients, secrets: Option<SharedSecrets>| {
            AccessPolicy::new(Arc::clone(&snapshot), unknown_clients).with_shared_secrets(secrets)
        };
        let refusing = policy(UnknownClients::Refuse, Some(table.clone()));
        for pieces in 0.. {
            let mut left = pieces;
            let proceed = || {
                // In the middle of it, too.
                assert!(
                    (0..CLIENTS).all(|number| matches!(look_up(&refusing, number, 0, true), SharedSecret::Compute))
                );
                left -= 1;
                left >= 0
            };
            if table.fill_while(proceed) {
                // A piece for each of the 64 shards, and one that finds the end.
                assert_eq!(pieces, 65);
                break;
            }
        }
        let map = KEYS.iter().map(|key| (*key, (State::Enrolled, false))).collect();
        assert_answers(&refusing, &secrets, &map);
        for other in [policy(UnknownClients::Allow, Some(table)), policy(UnknownClients::Refuse, None)] {
            assert!(matches!(look_up(&other, 0, 0, true), SharedSecret::Compute));
        }
    }

    #[test]
    fn looking_up_counts_nothing() {
        let (keyring, _) = keyring();
        let snapshot = Arc::new(IdentitySnapshot::new());
        snapshot.apply(&[change(0, Some((State::Suspended, false))), change(1, Some((State::Enrolled, true)))]);
        let table = SharedSecrets::compute(&snapshot, &keyring);
        let policy = AccessPolicy::new(snapshot, UnknownClients::Refuse).with_shared_secrets(table);
        for number in 0..3 {
            look_up(&policy, number, 0, false);
        }
        assert_eq!(policy.stats(), crate::AccessStats::default());
        assert_eq!(policy.refused().report(jiff::Timestamp::now(), |_| None), crate::RefusedReport::default());
    }

    #[test]
    fn tables_of_two_keyrings_follow_one_snapshot_while_it_changes_and_grows() {
        let (keyring, secrets) = keyring();
        let next = Keyring::new(SecretKey::from_bytes([9; 32]));
        let snapshot = Arc::new(IdentitySnapshot::new());
        let stays = CLIENTS / 4;
        snapshot.apply(&(0..stays).map(enrolled).collect::<Vec<_>>());
        let policy = |keyring| {
            let table = SharedSecrets::compute(&snapshot, keyring);
            assert!(table.matches(keyring));
            AccessPolicy::new(Arc::clone(&snapshot), UnknownClients::Refuse).with_shared_secrets(table)
        };
        let current = policy(&keyring);
        let expected: Vec<_> = KEYS[..usize::from(stays)]
            .iter()
            .map(|key| *X25519::new().multiply(secrets[1].expose_bytes(), key.as_bytes()).as_bytes())
            .collect();
        let is_done = AtomicBool::new(false);
        thread::scope(|scope| {
            // A client that stays always has its own secret.
            let reader = scope.spawn(|| {
                while !is_done.load(Ordering::Relaxed) {
                    for (number, expected) in (0..stays).zip(&expected) {
                        match look_up(&current, number, 1, false) {
                            SharedSecret::Known(answer) => assert_eq!(*answer, *expected),
                            other => panic!("{other:?}"),
                        }
                    }
                }
            });
            // Removed, and back with the row of another.
            for round in 0..10 {
                let comes = (stays..CLIENTS).filter(|number| round % 2 == 0 || number % 3 != round % 3);
                snapshot.apply(&comes.map(enrolled).collect::<Vec<_>>());
                snapshot.apply(&(stays..CLIENTS).rev().map(|number| change(number, None)).collect::<Vec<_>>());
                let table = snapshot.empty_table();
                table.apply(&(0..stays).map(enrolled).collect::<Vec<_>>(), None);
                snapshot.replace(table);
            }
            let next = policy(&next);
            snapshot.apply(&[enrolled(stays)]);
            is_done.store(true, Ordering::Relaxed);
            reader.join().unwrap();

            let map = KEYS[..=usize::from(stays)].iter().map(|key| (*key, (State::Enrolled, false))).collect();
            assert_answers(&current, &secrets, &map);
            assert_answers(&next, &[SecretKey::from_bytes([9; 32])], &map);
            let [current, next] = [&current, &next].map(|policy| policy.shared_secrets().unwrap());
            assert!(!current.matches(next.secrets.keyring()));
            assert_eq!(next.memory() / 4096, 32);
        });
    }

    #[test]
    fn nothing_secret_is_shown() {
        let (keyring, _) = keyring();
        let table = SharedSecrets::compute(&Arc::default(), &keyring);
        let text = format!("{table:?}");
        assert!(text.starts_with("SharedSecrets {") && text.len() < 200, "{text}");
    }
}
