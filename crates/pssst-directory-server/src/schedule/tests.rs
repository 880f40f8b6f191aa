use proptest::prelude::*;
use pssst::PublicKey;

use super::*;

const I: Duration = Duration::from_hours(1);
const SUITES: [Suite; 1] = [Suite::X25519Aes256GcmSiv];

fn start() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

fn secret(seed: u64) -> SecretKey {
    let mut bytes = [0x5c; 32];
    // Not the first byte, whose low bits do not count.
    bytes[8..16].copy_from_slice(&seed.to_le_bytes());
    SecretKey::from_bytes(bytes)
}

fn public(seed: u64) -> PublicKey {
    secret(seed).public_key()
}

fn states(schedule: &Schedule, now: Timestamp) -> Vec<(PublicKey, KeyState)> {
    schedule.keys(now, &SUITES).map(|key| (key.key.x25519_part(), key.state)).collect()
}

fn held(schedule: &Schedule, now: Timestamp) -> Vec<PublicKey> {
    schedule.keyring(now).unwrap().public_keys().copied().collect()
}

#[test]
fn a_key_is_next_then_current_then_previous_then_gone() {
    let mut schedule = Schedule::new(secret(1), start());
    assert_eq!(schedule.next_change(start()), None);
    schedule.rotate(secret(2).into(), start(), I, 2 * I).unwrap();
    let tick = Duration::from_millis(1);
    for (now, expected, keyring) in [
        (start(), vec![(public(1), KeyState::Current), (public(2), KeyState::Next)], vec![public(1), public(2)]),
        (
            start() + I - tick,
            vec![(public(1), KeyState::Current), (public(2), KeyState::Next)],
            vec![public(1), public(2)],
        ),
        (
            start() + I,
            vec![(public(1), KeyState::Previous), (public(2), KeyState::Current)],
            vec![public(2), public(1)],
        ),
        (
            start() + 3 * I - tick,
            vec![(public(1), KeyState::Previous), (public(2), KeyState::Current)],
            vec![public(2), public(1)],
        ),
        (start() + 3 * I, vec![(public(2), KeyState::Current)], vec![public(2)]),
    ] {
        assert_eq!((states(&schedule, now), held(&schedule, now)), (expected, keyring), "{now}");
    }
    assert_eq!(schedule.next_change(start()), Some(start() + I));
    assert_eq!(schedule.next_change(start() + I), Some(start() + 3 * I));
    assert_eq!(schedule.next_change(start() + 3 * I), None);
}

#[test]
fn a_clock_that_is_far_behind_still_has_a_key() {
    let mut schedule = Schedule::new(secret(1), start());
    schedule.rotate(secret(2).into(), start(), I, I).unwrap();
    let long_ago = Timestamp::UNIX_EPOCH;
    assert_eq!(states(&schedule, long_ago), [(public(1), KeyState::Current), (public(2), KeyState::Next)]);
    assert_eq!(held(&schedule, long_ago), [public(1), public(2)]);
    assert_eq!(schedule.next_change(long_ago), Some(start() + I));
    let document = schedule.document(long_ago, I, &SUITES).unwrap();
    assert_eq!(document.current_key(long_ago).unwrap(), public(1));
    KeySet::parse(document.to_json().as_bytes()).unwrap();
}

#[test]
fn rotations_that_would_lose_somebody_are_refused() {
    let fresh = Schedule::new(secret(1), start());
    let refusal = |schedule: &Schedule, seed, now, activation_delay, grace_period| {
        let mut rotated = schedule.clone();
        let error = rotated.rotate(secret(seed).into(), now, activation_delay, grace_period).unwrap_err();
        assert_eq!(rotated, *schedule, "a refused rotation changed something");
        error.to_string()
    };
    let tick = Duration::from_millis(1);
    assert!(refusal(&fresh, 2, start(), I, I.saturating_sub(tick)).contains("twice the refresh interval"));
    assert!(refusal(&fresh, 1, start(), I, I).contains("twice"));
    let day = Duration::from_hours(24);
    for (delay, grace) in [(Duration::MAX, I), (I, Duration::MAX), (91 * day, I), (I, 401 * day)] {
        assert!(refusal(&fresh, 2, start(), delay, grace).contains("at most 90 days"));
    }
    assert!(refusal(&fresh, 2, start(), Duration::ZERO, 2 * I).contains("order"), "two keys cannot begin together");

    let mut schedule = fresh.clone().with_refresh_interval(Duration::from_millis(1500));
    assert_eq!(schedule.refresh_interval(), Duration::from_secs(1));
    schedule.rotate(secret(2).into(), start(), tick, Duration::from_secs(2)).unwrap();
    let under_way = schedule.clone().rotate(secret(3).into(), start(), I, I);
    assert!(matches!(under_way, Err(Error::RotationUnderWay)));

    // Fast rotations with long grace periods: the fifth key waits until the first is over.
    let mut schedule = fresh;
    for seed in 2..=4 {
        let now = start() + 2 * u32::try_from(seed).unwrap() * tick;
        schedule.rotate(secret(seed).into(), now, tick, 2 * I).unwrap();
    }
    assert!(refusal(&schedule, 5, start() + 20 * tick, tick, 2 * I).contains("4 keys"));
    schedule.rotate(secret(5).into(), start() + 3 * I, tick, 2 * I).unwrap();
    assert_eq!(held(&schedule, start() + 3 * I), [public(4), public(5)]);
}

/// Of all kinds.
fn new_secrets(seed: u8) -> NewSecrets {
    NewSecrets {
        key: Some(secret(seed.into())),
        xwing_key: Some(XWingSecretKey::from_bytes([seed; 32])),
        psk_master: Some(PskMaster::from_bytes([seed; 32])),
    }
}

#[test]
fn what_is_given_up_stays_so_whatever_happens_then() {
    use OptionalKind::{PskMasters, XWingKeys};
    let xwing_keys = |schedule: &Schedule, now| schedule.keyring(now).unwrap().server_keys().count() - 1;
    let mut schedule = Schedule::new(secret(1), start());
    schedule.rotate(new_secrets(2), start(), I, I).unwrap();
    let now = start() + 2 * I;
    for kind in [XWingKeys, PskMasters] {
        assert!(schedule.has(kind, now));
        let retirement = schedule.retire(kind, now, I).unwrap();
        assert_eq!((retirement.ends_at, retirement.is_new), (now + I, true));
        assert!(!schedule.has(kind, now));
        // Once more changes nothing, not even a longer time.
        let before = schedule.clone();
        let again = schedule.retire(kind, now, 2 * I).unwrap();
        assert_eq!((again.ends_at, again.is_new, &schedule), (now + I, false, &before));
    }

    for (now, masters) in [(now + I / 2, 1), (now + 3 * I, 0)] {
        // A theft is answered without new secrets of these kinds, and ends the stolen key at once.
        let mut compromised = schedule.clone();
        let only_key = NewSecrets { xwing_key: None, psk_master: None, ..new_secrets(3) };
        compromised.replace_compromised(only_key, now, I).unwrap();
        assert_eq!((xwing_keys(&compromised, now), held(&compromised, now)), (0, vec![public(3)]));
        assert_eq!(compromised.accepted_psk_masters(now).count(), masters);
        assert!(!compromised.has(XWingKeys, now) && !compromised.has(PskMasters, now));
    }

    // Those before end as early, and do not follow it.
    let mut schedule = Schedule::new(secret(1), start());
    schedule.rotate(new_secrets(2), start(), I, I).unwrap();
    schedule.rotate(new_secrets(3), now, I, 9 * I).unwrap();
    let now = now + I;
    assert!(schedule.retire(PskMasters, now, I / 2).is_err(), "clients would not learn it in time");
    schedule.retire(PskMasters, now, I).unwrap();
    let masters: Vec<_> = schedule.psk_masters(now).map(|master| (master.state, master.not_after)).collect();
    assert_eq!(masters, [(KeyState::Previous, Some(now + I)), (KeyState::Current, Some(now + I))]);
    assert_eq!(schedule.accepted_psk_masters(now + I).count(), 0);

    // A kind that is kept needs a new secret.
    let mut schedule = Schedule::new(secret(1), start());
    schedule.rotate(new_secrets(2), start(), I, I).unwrap();
    for lacking in [
        NewSecrets { xwing_key: None, ..new_secrets(3) },
        NewSecrets { psk_master: None, ..new_secrets(3) },
        NewSecrets { key: None, ..new_secrets(3) },
    ] {
        assert!(schedule.replace_compromised(lacking, now, I).is_err());
    }
    schedule.replace_compromised(new_secrets(3), now, I).unwrap();
    assert_eq!((xwing_keys(&schedule, now), held(&schedule, now)), (1, vec![public(3)]));
    assert_eq!(schedule.accepted_psk_masters(now).count(), 2);
    assert!(schedule.accepts(&public(3), now) && !schedule.accepts(&public(2), now));
}

#[test]
fn documents_never_promise_more_than_rotations_count_on() {
    let schedule = Schedule::new(secret(1), start());
    for (asked, told) in [(I / 2, I / 2), (I, I), (9 * I, I), (Duration::MAX, I), (Duration::ZERO, I / 3600)] {
        let document = schedule.document(start(), asked, &SUITES).unwrap();
        assert_eq!((document.issued, document.refresh_at), (start(), start() + told));
    }
    assert!(schedule.document(start(), I, &[]).is_err());
    assert!(schedule.document(Timestamp::MAX, I, &SUITES).is_err());
}

#[test]
fn files_are_private_and_replaced_as_a_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    let mut schedule = Schedule::new(secret(1), start()).with_refresh_interval(Duration::from_mins(1));
    schedule.write(&path).unwrap();
    assert_eq!(Schedule::read(&path, false).unwrap(), schedule);
    schedule.rotate(secret(2).into(), start(), I, I).unwrap();
    schedule.write(&path).unwrap();
    assert_eq!(Schedule::read(&path, false).unwrap(), schedule);
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1, "something else was left there");
    assert!(!format!("{schedule:?}").contains(secret(1).expose_bech32().as_str()));

    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;

        let mode = |mode| std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        mode(0o640);
        assert!(matches!(Schedule::read(&path, false), Err(Error::Exposed(0o640))));
        assert_eq!(Schedule::read(&path, true).unwrap(), schedule);
        mode(0o600);

        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let other = Schedule::new(secret(9), start());
        other.write(&link).unwrap();
        assert!(link.is_symlink());
        assert_eq!(Schedule::read(&path, false).unwrap(), other);
    }
}

#[test]
fn files_with_anything_else_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    let mut schedule = Schedule::new(secret(1), start());
    schedule.rotate(secret(2).into(), start(), I, I).unwrap();
    schedule.write(&path).unwrap();
    let good: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let refused = |content: &[u8]| {
        std::fs::write(&path, content).unwrap();
        let error = Schedule::read(&path, true).unwrap_err();
        assert!(!format!("{error:?} {error}").contains(secret(1).expose_bech32().as_str()), "{error}");
        error
    };
    let second = |place: usize| good["keys"][place].clone();
    for (pointer, wrong) in [
        ("/version", serde_json::json!(2)),
        ("/version", serde_json::json!(secret(1).expose_bech32().as_str())),
        ("/refresh_interval_seconds", serde_json::json!(0)),
        ("/refresh_interval_seconds", serde_json::json!(u64::MAX)),
        ("/keys", serde_json::json!([])),
        ("/keys", serde_json::json!([second(1), second(0)])),
        ("/keys", serde_json::json!([second(0)])),
        ("/keys", serde_json::json!([second(1), second(1)])),
        ("/keys/0/secret", serde_json::json!("00")),
        ("/keys/0/secret", second(1)["secret"].clone()),
        ("/keys/0/not_after", serde_json::json!(null)),
        ("/keys/0/not_after", second(0)["not_before"].clone()),
        ("/keys/1/not_after", second(0)["not_after"].clone()),
        ("/keys/1/not_before", second(0)["not_before"].clone()),
    ] {
        let mut value = good.clone();
        *value.pointer_mut(pointer).unwrap() = wrong.clone();
        refused(value.to_string().as_bytes());
    }
    refused(b"");
    refused(&std::fs::read(&path).unwrap());
    let whole = good.to_string();
    refused(&whole.as_bytes()[..whole.len() / 2]);
    assert!(matches!(refused(&vec![b' '; Schedule::MAX_LEN + 1]), Error::TooLong { .. }));
    assert!(matches!(Schedule::read(&folder.path().join("none"), false), Err(Error::File(_))));
    std::fs::write(&path, whole).unwrap();
    assert_eq!(Schedule::read(&path, true).unwrap(), schedule);
}

proptest! {
    #[test]
    fn no_bytes_disturb_it(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(Schedule::parse(&bytes).is_err());
    }

    #[test]
    fn no_change_disturbs_it(place in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut schedule = Schedule::new(secret(1), start());
        schedule.rotate(secret(2).into(), start(), I, I).unwrap();
        let mut text = schedule.to_text().unwrap();
        let place = place.index(text.len());
        text[place] = byte;
        if let Ok(schedule) = Schedule::parse(&text) {
            schedule.document(start(), I, &SUITES).unwrap();
        }
    }

    /// Rotations at any times with any delays and grace periods: at every moment there is one
    /// current key; what a document says is accepted by every server until its refresh time is over
    /// and another interval has passed; and servers accept every key that a client may use.
    #[test]
    fn rotations_lose_nobody(
        refresh_interval in 1..200_u64,
        steps in prop::collection::vec((0..400_u64, 0..300_u64, 0..600_u64), 1..12),
    ) {
        let seconds = Duration::from_secs;
        let mut schedule = Schedule::new(secret(0), start()).with_refresh_interval(seconds(refresh_interval));
        let mut now = start();
        let (mut documents, mut rotations) = (Vec::<KeySet>::new(), 0);
        for (seed, (pause, activation_delay, grace_period)) in (1..).zip(steps) {
            let end = now + seconds(pause);
            while now < end {
                let issued = schedule.document(now, seconds(refresh_interval), &SUITES).unwrap();
                prop_assert_eq!(&KeySet::parse(issued.to_json().as_bytes()).unwrap(), &issued);
                let current = schedule.keys(now, &SUITES).filter(|key| key.state == KeyState::Current).count();
                prop_assert_eq!(current, 1);
                let accepted = held(&schedule, now);
                prop_assert_eq!(accepted.len(), schedule.keys(now, &SUITES).count());
                prop_assert_eq!(accepted[0], issued.current_key(now).unwrap().x25519_part());
                documents.push(issued);
                documents.retain(|document| now < document.refresh_at + seconds(refresh_interval));
                for document in &documents {
                    prop_assert!(accepted.contains(&document.current_key(now).unwrap().x25519_part()), "lost at {} by {:?}", now, document);
                }
                now += seconds(7).min(Duration::try_from(end.duration_since(now)).unwrap());
            }
            let before = schedule.clone();
            let outcome = schedule.rotate(secret(seed).into(), now, seconds(activation_delay), seconds(grace_period));
            prop_assert_eq!(outcome.is_ok(), schedule != before);
            rotations += u32::from(outcome.is_ok());
        }
        prop_assume!(rotations > 0);
    }
}
