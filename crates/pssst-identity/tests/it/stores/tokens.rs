//! Tokens, enrolment and the audit log: in both databases.

use pssst_identity::jiff::{SignedDuration, Timestamp};
use pssst_identity::pssst::{PublicKey, key_text};
use pssst_identity::{
    AccessPolicy, Action, AuditArchive, AuditQuery, EnrollError, Error, Follower, IdentityStore, Labels, NewAuditEntry,
    RefusedCause, Revision, ServerReport, SqlStore, State, Token, TokenGrant, UnknownClients, Update,
};
use tokio::task::JoinSet;

use crate::stores::support::{Database, check, client, key};

fn grant(name: Option<&str>) -> TokenGrant {
    TokenGrant { name: name.map(Into::into), labels: Labels::new(), expires: in_hours(1), client_expires: None }
}

fn in_hours(hours: i64) -> Timestamp {
    let time = Timestamp::now() + SignedDuration::from_hours(hours);
    Timestamp::from_millisecond(time.as_millisecond()).expect("a time")
}

/// Returns the token with another secret.
fn forged(token: &Token) -> Token {
    let mut bytes = [0; 40];
    key_text::decode(&token.expose(), "pssst-token-", &mut bytes).expect("a token");
    bytes[39] ^= 1;
    key_text::encode_secret("pssst-token-", &bytes).parse().expect("a token")
}

pub(crate) async fn a_token_enrolls_one_key_with_what_it_grants(database: &Database) {
    let store = database.store.with_actor("alice");
    let labels = Labels::from([("site".into(), "north".into())]);
    let expires = in_hours(24);
    let wide = TokenGrant { labels: labels.clone(), client_expires: Some(expires), ..grant(None) };
    let token = store.create_token(wide.clone()).await.expect("a token");
    let before = store.changes(Revision(0), 10).await.expect("the feed").latest;
    let identity = store.enroll(&token, &key(1), Some("boiler-7")).await.expect("it is good");
    assert_eq!((identity.name.as_str(), identity.state, &identity.labels), ("boiler-7", State::Enrolled, &labels));
    assert_eq!(identity.expires, Some(expires));
    assert_eq!(store.get(&key(1)).await.expect("get"), Some(identity.clone()));
    let feed = store.changes(before, 10).await.expect("the feed");
    assert_eq!((feed.changes.len(), feed.changes[0].key), (1, key(1)));
    let listed = store.tokens(false, 10).await.expect("tokens");
    assert_eq!(listed.len(), 1);
    assert_eq!((listed[0].id, &listed[0].grant, listed[0].created_by.as_str()), (token.id(), &wide, "alice"));
    assert_eq!((listed[0].used, listed[0].withdrawn), (Some((identity.created, key(1))), None));
}

pub(crate) async fn an_enrollment_may_require_the_pre_shared_key(database: &Database) {
    let store = database.store.with_actor("device");
    let token = store.create_token(grant(None)).await.expect("a token");
    let identity = store.enroll_requiring_psk(&token, &key(1), Some("one")).await.expect("it is good");
    assert!(identity.requires_psk);
    assert_eq!(store.get(&key(1)).await.expect("get"), Some(identity.clone()));
    assert_eq!(store.enroll_requiring_psk(&token, &key(1), Some("one")).await.expect("once more"), identity);
    let log = store.audit_log(None, 1).await.expect("the log");
    assert_eq!(log[0].entry.detail, format!("one by token {}, with a pre-shared key", token.id()));
    let feed = store.changes(Revision(0), 10).await.expect("the feed").changes;
    assert!(feed[0].status.as_ref().is_some_and(|status| status.requires_psk));

    // Both ways are in the audit log, and what changes nothing is a change like another.
    for requires_psk in [false, true, true] {
        store.update(&key(1), Update::requires_psk(requires_psk)).await.expect("update");
    }
    let both = Update { name: Some("uno".into()), requires_psk: Some(false), ..Update::default() };
    store.update(&key(1), both).await.expect("update");
    let log = store.audit_log(None, 5).await.expect("the log");
    let actions: Vec<_> = log.iter().rev().map(|line| line.entry.action).collect();
    let expected = [Action::PskOptional, Action::PskRequired, Action::Changed, Action::PskOptional, Action::Changed];
    assert_eq!(actions, expected);

    // So is each pre-shared key that an operator issues.
    for _ in 0..2 {
        store.update(&key(1), Update::psk_issued("0011223344556677")).await.expect("update");
    }
    let log = store.audit_log(None, 3).await.expect("the log");
    let actions: Vec<_> = log.iter().rev().map(|line| line.entry.action).collect();
    assert_eq!(actions, [Action::PskRequired, Action::PskIssued, Action::PskIssued]);
    assert_eq!(log[0].entry.detail, "uno, master 0011223344556677");
    database.meddle("UPDATE pssst_identities SET requires_psk = 2").await.expect_err("0 or 1");
}

/// Clients of before need no pre-shared key, and keep their revisions.
pub(crate) async fn tables_of_the_version_before_are_brought_up_to_date(database: &Database) {
    let before = database.store.add(client(1, "one")).await.expect("it is new");
    let feed = database.store.changes(Revision(0), 10).await.expect("the feed");
    database.store.close().await;
    for sql in [
        "DROP TABLE pssst_servers",
        "DROP INDEX pssst_audit_client",
        "DROP INDEX pssst_identities_state",
        "ALTER TABLE pssst_identities DROP COLUMN requires_psk",
        "DELETE FROM pssst_migrations WHERE version >= 2",
    ] {
        database.meddle(sql).await.expect(sql);
    }
    let store = SqlStore::open(&database.url).await.expect("it is brought up to date");
    assert_eq!(store.totals().await.expect("totals").enrolled, 1);
    assert_eq!(store.servers().await.expect("servers"), []);
    assert_eq!(store.get(&key(1)).await.expect("get"), Some(before));
    assert_eq!(store.changes(Revision(0), 10).await.expect("the feed"), feed);
    assert!(store.update(&key(1), Update::requires_psk(true)).await.expect("update").requires_psk);
}

pub(crate) async fn the_same_device_may_ask_again(database: &Database) {
    let store = &database.store;
    let token = store.create_token(TokenGrant { expires: in_hours(1), ..grant(None) }).await.expect("a token");
    let identity = store.enroll(&token, &key(1), Some("one")).await.expect("it is good");
    let (feed, log) =
        (store.changes(Revision(0), 10).await.expect("feed"), store.audit_log(None, 10).await.expect("log"));
    for name in [Some("one"), Some("other"), None] {
        assert_eq!(store.enroll(&token, &key(1), name).await.expect("once more"), identity);
    }
    assert_eq!(store.changes(Revision(0), 10).await.expect("feed"), feed);
    assert_eq!(store.audit_log(None, 10).await.expect("log"), log);
    // A lost answer may be asked for after the token's time, too.
    database.meddle("UPDATE pssst_tokens SET expires = 1000").await.expect("meddling");
    assert_eq!(store.enroll(&token, &key(1), Some("one")).await.expect("once more"), identity);
    assert!(matches!(store.enroll(&forged(&token), &key(1), Some("one")).await, Err(EnrollError::UnknownToken)));
    for state in [State::Suspended, State::Revoked] {
        store.update(&key(1), Update::state(state)).await.expect("update");
        assert!(matches!(store.enroll(&token, &key(1), Some("one")).await, Err(EnrollError::TokenUsed)), "{state}");
    }
    store.remove(&key(1)).await.expect("remove");
    assert!(matches!(store.enroll(&token, &key(1), Some("one")).await, Err(EnrollError::TokenUsed)));
}

pub(crate) async fn bad_tokens_are_refused(database: &Database) {
    let store = &database.store;
    let good = store.create_token(grant(None)).await.expect("a token");
    let unknown: Token =
        "PSSST-TOKEN-1QQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQK9KWDF".parse().expect("a token");
    let refused = store.enroll(&unknown, &key(1), Some("one")).await;
    assert!(matches!(refused, Err(EnrollError::UnknownToken)));
    let refused = store.enroll(&forged(&good), &key(1), Some("one")).await;
    assert!(matches!(refused, Err(EnrollError::UnknownToken)));
    let old = store.create_token(TokenGrant { expires: in_hours(-1), ..grant(None) }).await.expect("a token");
    assert!(matches!(store.enroll(&old, &key(1), Some("one")).await, Err(EnrollError::TokenExpired)));
    let withdrawn = store.create_token(grant(None)).await.expect("a token");
    assert!(store.withdraw_token(withdrawn.id()).await.expect("withdraw"));
    assert!(matches!(store.enroll(&withdrawn, &key(1), Some("one")).await, Err(EnrollError::TokenWithdrawn)));
    store.enroll(&good, &key(1), Some("one")).await.expect("it is good");
    assert!(matches!(store.enroll(&good, &key(2), Some("two")).await, Err(EnrollError::TokenUsed)));
    assert_eq!(store.get(&key(2)).await.expect("get"), None);
    let bad = TokenGrant { labels: Labels::from([("a=b".into(), "c".into())]), ..grant(None) };
    assert!(matches!(store.create_token(bad).await, Err(Error::InvalidLabel(_))));
    assert!(matches!(store.create_token(grant(Some("two words"))).await, Err(Error::InvalidName(_))));
}

pub(crate) async fn a_failed_enrollment_leaves_the_token_as_it_was(database: &Database) {
    let store = &database.store;
    store.add(client(1, "one")).await.expect("it is new");
    let token = store.create_token(grant(None)).await.expect("a token");
    let (feed, log) =
        (store.changes(Revision(0), 10).await.expect("feed"), store.audit_log(None, 10).await.expect("log"));
    let refused = |key: PublicKey, name: &'static str| {
        let token = token.clone();
        async move { store.enroll(&token, &key, Some(name)).await.expect_err("it is refused") }
    };
    assert!(matches!(refused(key(1), "two").await, EnrollError::Store(Error::KeyTaken(_))));
    assert!(matches!(refused(key(2), "one").await, EnrollError::Store(Error::NameTaken(_))));
    // Devices choose among ASCII: no name looks like another client's.
    for name in ["two words", "b\u{43e}iler-7", "boiler-7\u{200b}", "--store"] {
        assert!(matches!(refused(key(2), name).await, EnrollError::Store(Error::InvalidName(_))), "{name}");
    }
    assert!(matches!(refused(PublicKey::from_bytes([0; 32]), "two").await, EnrollError::Store(Error::Key(_))));
    let mut alias = *key(2).as_bytes();
    alias[31] |= 0x80;
    assert!(matches!(refused(PublicKey::from_bytes(alias), "two").await, EnrollError::Store(Error::Key(_))));
    assert_eq!(store.changes(Revision(0), 10).await.expect("feed"), feed);
    assert_eq!(store.audit_log(None, 10).await.expect("log"), log);
    store.enroll(&token, &key(2), Some("two")).await.expect("it is still good");
}

pub(crate) async fn names_must_be_those_that_the_token_says(database: &Database) {
    let store = &database.store;
    let named = store.create_token(grant(Some("one"))).await.expect("a token");
    assert!(matches!(store.enroll(&named, &key(1), Some("two")).await, Err(EnrollError::NameMismatch)));
    assert_eq!(store.enroll(&named, &key(1), None).await.expect("it is good").name, "one");
    let same = store.create_token(grant(Some("two"))).await.expect("a token");
    assert_eq!(store.enroll(&same, &key(2), Some("two")).await.expect("it is good").name, "two");
    let unnamed = store.create_token(grant(None)).await.expect("a token");
    assert!(matches!(store.enroll(&unnamed, &key(3), None).await, Err(EnrollError::NameMismatch)));
    assert_eq!(store.enroll(&unnamed, &key(3), Some("three")).await.expect("it is good").name, "three");
}

pub(crate) async fn one_of_twenty_devices_wins(database: &Database) {
    let handles = [database.store.clone(), SqlStore::open(&database.url).await.expect("it opens")];
    let token = handles[0].create_token(grant(None)).await.expect("a token");
    let mut devices = JoinSet::new();
    for number in 0..20 {
        let (store, token) = (handles[number as usize % 2].clone(), token.clone());
        devices.spawn(async move { store.enroll(&token, &key(number), Some(&format!("device-{number}"))).await });
    }
    let (mut winners, mut losers) = (0, 0);
    for outcome in devices.join_all().await {
        match outcome {
            Ok(_) => winners += 1,
            Err(EnrollError::TokenUsed) => losers += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!((winners, losers), (1, 19));
    assert_eq!(handles[0].changes(Revision(0), 100).await.expect("the feed").changes.len(), 1);

    // Twenty times the same device: all get the same answer.
    let token = handles[0].create_token(grant(None)).await.expect("a token");
    let mut copies = JoinSet::new();
    for number in 0..20 {
        let (store, token) = (handles[number % 2].clone(), token.clone());
        copies.spawn(async move { store.enroll(&token, &key(99), Some("eager")).await.expect("it is good") });
    }
    let answers = copies.join_all().await;
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    let log = handles[0].audit_log(None, 100).await.expect("the log");
    assert_eq!(log.iter().filter(|entry| entry.entry.action == Action::Enrolled).count(), 2);
}

pub(crate) async fn tokens_are_listed_and_withdrawn(database: &Database) {
    let store = &database.store;
    let mut ids = Vec::new();
    for hours in [1, 1, -1, 1] {
        ids.push(
            store.create_token(TokenGrant { expires: in_hours(hours), ..grant(None) }).await.expect("a token").id(),
        );
        // So that their times differ.
        tokio::time::sleep(std::time::Duration::from_millis(3)).await;
    }
    let listed: Vec<_> = store.tokens(false, 10).await.expect("tokens").iter().map(|token| token.id).collect();
    assert_eq!(listed, ids.iter().rev().copied().collect::<Vec<_>>(), "newest first");
    assert_eq!(store.tokens(false, 2).await.expect("tokens").len(), 2);
    assert!(store.withdraw_token(ids[0]).await.expect("withdraw"));
    assert!(!store.withdraw_token(ids[0]).await.expect("withdraw"), "twice");
    assert!(!store.withdraw_token(ids[2]).await.expect("withdraw"), "expired");
    assert!(!store.withdraw_token("0".repeat(16).parse().expect("an id")).await.expect("withdraw"), "unknown");
    let open: Vec<_> = store.tokens(true, 10).await.expect("tokens").iter().map(|token| token.id).collect();
    assert_eq!(open, [ids[3], ids[1]]);
    let all = store.tokens(false, 10).await.expect("tokens");
    assert_eq!(
        all.iter().filter(|token| token.withdrawn.is_some()).map(|token| token.id).collect::<Vec<_>>(),
        [ids[0]]
    );
}

pub(crate) async fn old_tokens_are_forgotten(database: &Database) {
    let store = &database.store;
    let days = |days: i64| in_hours(-24 * days);
    let fresh = store.create_token(TokenGrant { expires: days(89), ..grant(None) }).await.expect("a token");
    store.create_token(TokenGrant { expires: days(91), ..grant(None) }).await.expect("a token");
    assert_eq!(store.tokens(false, 10).await.expect("tokens").len(), 2);
    let used = store.create_token(grant(None)).await.expect("a token");
    store.enroll(&used, &key(1), Some("one")).await.expect("it is good");
    let withdrawn = store.create_token(grant(None)).await.expect("a token");
    assert!(store.withdraw_token(withdrawn.id()).await.expect("withdraw"));
    let count = |tokens: Vec<pssst_identity::TokenInfo>| tokens.len();
    assert_eq!(count(store.tokens(false, 10).await.expect("tokens")), 3);
    database.meddle("UPDATE pssst_tokens SET used = 1000 WHERE used IS NOT NULL").await.expect("meddling");
    database.meddle("UPDATE pssst_tokens SET withdrawn = 1000 WHERE withdrawn IS NOT NULL").await.expect("meddling");
    let last = store.create_token(grant(None)).await.expect("a token");
    let left: Vec<_> = store.tokens(false, 10).await.expect("tokens").iter().map(|token| token.id).collect();
    assert_eq!(left, [last.id(), fresh.id()]);
}

pub(crate) async fn every_change_is_in_the_audit_log(database: &Database) {
    let begin = Timestamp::now();
    let alice = database.store.with_actor("alice");
    alice.add_all(vec![client(1, "one"), client(2, "two")]).await.expect("they are new");
    let bob = alice.with_actor("bob\0\u{1b}");
    bob.update(&key(1), Update::state(State::Suspended)).await.expect("update");
    bob.update(&key(1), Update::state(State::Enrolled)).await.expect("update");
    let both = Update { name: Some("uno".into()), ..Update::state(State::Revoked) };
    bob.update(&key(1), both).await.expect("update");
    let labels = Labels::from([("site".into(), "north".into()), ("floor".into(), "2".into())]);
    let expires = Some(Some("2100-01-01T00:00:00Z".parse().expect("a time")));
    bob.update(&key(2), Update { expires, labels: Some(labels), ..Update::default() }).await.expect("update");
    bob.remove(&key(1)).await.expect("remove");
    let token = bob.create_token(grant(Some("three"))).await.expect("a token");
    alice.with_actor("device").enroll(&token, &key(3), None).await.expect("it is good");
    let other = bob.create_token(grant(None)).await.expect("a token");
    bob.withdraw_token(other.id()).await.expect("withdraw");
    let refusal = NewAuditEntry { action: Action::EnrollmentRefused, client_key: None, detail: "x\0y".repeat(1000) };
    bob.record(refusal).await.expect("record");
    bob.add(client(2, "again")).await.expect_err("what failed is not there");

    let log = alice.audit_log(None, 100).await.expect("the log");
    let lines: Vec<_> = log
        .iter()
        .rev()
        .map(|line| (line.actor.trim_end_matches('\u{fffd}'), line.entry.action, line.entry.client_key))
        .collect();
    let expected = [
        ("alice", Action::Added, Some(key(1))),
        ("alice", Action::Added, Some(key(2))),
        ("bob", Action::Suspended, Some(key(1))),
        ("bob", Action::Resumed, Some(key(1))),
        ("bob", Action::Revoked, Some(key(1))),
        ("bob", Action::Changed, Some(key(1))),
        ("bob", Action::Changed, Some(key(2))),
        ("bob", Action::Removed, Some(key(1))),
        ("bob", Action::TokenCreated, None),
        ("device", Action::Enrolled, Some(key(3))),
        ("bob", Action::TokenCreated, None),
        ("bob", Action::TokenWithdrawn, None),
        ("bob", Action::EnrollmentRefused, None),
    ];
    assert_eq!(lines, expected);
    assert!(log.iter().all(|line| line.at.as_millisecond() >= begin.as_millisecond()));
    assert!(log.is_sorted_by(|a, b| a.number > b.number));
    assert_eq!(log[7].entry.detail, "one -> uno");
    assert_eq!(log[6].entry.detail, "two; expires 2100-01-01T00:00:00Z; labels floor=2 site=north");
    assert_eq!(log[3].entry.detail, format!("three by token {}", token.id()));
    assert!(log[0].entry.detail.starts_with("x\u{fffd}yx") && log[0].entry.detail.len() <= 512);
    assert!(log.iter().all(|line| !line.entry.detail.contains(&token.expose()[40..])));
    // By pages.
    let (mut paged, mut before) = (Vec::new(), None);
    loop {
        let page = alice.audit_log(before, 4).await.expect("a page");
        let Some(last) = page.last() else { break };
        before = Some(last.number);
        paged.extend(page);
    }
    assert_eq!(paged, log);
    assert_eq!(alice.audit_log(Some(u64::MAX), 100).await.expect("the log"), log);
    assert!(alice.audit_log(Some(0), 100).await.expect("the log").is_empty());
}

pub(crate) async fn the_audit_log_is_searched(database: &Database) {
    let (alice, bob) = (database.store.with_actor("alice"), database.store.with_actor("bob"));
    alice.add_all(vec![client(1, "one"), client(2, "two")]).await.expect("they are new");
    bob.update(&key(1), Update::state(State::Suspended)).await.expect("update");
    alice.update(&key(2), Update::state(State::Suspended)).await.expect("update");
    bob.remove(&key(1)).await.expect("remove");
    let all = alice.audit_log(None, 10).await.expect("the log");
    let [removed, suspended_2, suspended_1, added_2, added_1] = &all[..] else { panic!("{all:?}") };
    let found = async |query: AuditQuery| alice.find_audit_entries(&query).await.expect("entries");
    let query = AuditQuery::default();
    let cases = [
        (AuditQuery { actor: Some("bob".into()), ..query.clone() }, vec![removed, suspended_1]),
        (AuditQuery { actor: Some("bo".into()), ..query.clone() }, vec![]),
        (AuditQuery { actor: Some("b\0".into()), ..query.clone() }, vec![]),
        (AuditQuery { action: Some(Action::Suspended), ..query.clone() }, vec![suspended_2, suspended_1]),
        (AuditQuery { client_key: Some(key(1)), ..query.clone() }, vec![removed, suspended_1, added_1]),
        (AuditQuery { client_key: Some(key(3)), ..query.clone() }, vec![]),
        (AuditQuery { client_key: Some(key(1)), limit: 1, ..query.clone() }, vec![removed]),
        (AuditQuery { before: Some(suspended_2.number), ..query.clone() }, vec![suspended_1, added_2, added_1]),
        (AuditQuery { since: Some(in_hours(-1)), until: Some(in_hours(1)), ..query.clone() }, all.iter().collect()),
        (AuditQuery { since: Some(in_hours(1)), ..query.clone() }, vec![]),
        (AuditQuery { until: Some(in_hours(-1)), ..query.clone() }, vec![]),
    ];
    for (query, expected) in cases {
        assert_eq!(found(query.clone()).await.iter().collect::<Vec<_>>(), expected, "{query:?}");
    }
    // An entry of exactly this time is in the span that begins then, and not in the one before.
    let by_time = all.iter().filter(|entry| entry.at >= removed.at);
    let expected: Vec<_> = by_time.collect();
    let since = found(AuditQuery { since: Some(removed.at), ..query.clone() }).await;
    assert_eq!(since.iter().collect::<Vec<_>>(), expected);
    let until = found(AuditQuery { until: Some(removed.at), ..query.clone() }).await;
    assert_eq!(until.len() + since.len(), all.len());
    let everything = AuditQuery {
        before: Some(u64::MAX),
        limit: 10,
        actor: Some("bob".into()),
        action: Some(Action::Suspended),
        client_key: Some(key(1)),
        since: Some(in_hours(-1)),
        until: Some(in_hours(1)),
    };
    assert_eq!(found(everything).await.iter().collect::<Vec<_>>(), [suspended_1]);
}

pub(crate) async fn servers_are_listed_until_they_stop(database: &Database) {
    let store = &database.store;
    let now = in_hours(0);
    let [one, two, old] = ["gateway 192.0.2.1:45678", "a\0b", "old"]
        .map(|name| ServerReport::new(name, "1.2.3", if name == "old" { in_hours(-25) } else { now }).expect("a name"));
    let revision = store.changes(Revision(0), 1).await.expect("the feed").latest;
    for server in [&old, &one, &two] {
        store.record_server(server).await.expect("it is taken");
    }
    let later = in_hours(1);
    store.record_server(&one.at(later)).await.expect("it is taken");
    let listed = store.servers().await.expect("servers");
    let shown: Vec<_> = listed.iter().map(|it| (it.name.as_str(), it.version.as_str(), it.started, it.last)).collect();
    let expected = [("a\u{fffd}b", "1.2.3", now, now), ("gateway 192.0.2.1:45678", "1.2.3", now, later)];
    assert_eq!(shown, expected);
    assert!(listed[1].is_alive(later) && !listed[0].is_alive(later));
    store.record_server(&one.stopping()).await.expect("it is taken");
    assert_eq!(store.servers().await.expect("servers").len(), 1);
    assert_eq!(store.changes(Revision(0), 1).await.expect("the feed").latest, revision);
}

pub(crate) async fn the_audit_log_refuses_to_forget(database: &Database) {
    database.store.add(client(1, "one")).await.expect("it is new");
    let log = database.store.audit_log(None, 10).await.expect("the log");
    let mut meddling = vec![
        "UPDATE pssst_audit SET actor = 'nobody'",
        "DELETE FROM pssst_audit",
        "DELETE FROM pssst_audit WHERE number = 1",
    ];
    if database.directory.is_some() {
        meddling.push("INSERT OR REPLACE INTO pssst_audit VALUES (1, 1, 'nobody', 'added', NULL, '')");
        meddling.push("REPLACE INTO pssst_audit SELECT * FROM pssst_audit");
    } else {
        meddling.push("TRUNCATE pssst_audit");
        meddling.push("TRUNCATE pssst_audit, pssst_tokens CASCADE");
    }
    for sql in meddling {
        let error = database.meddle(sql).await.expect_err(sql);
        assert!(error.to_string().contains("the audit log is append-only"), "{sql}: {error}");
    }
    assert_eq!(database.store.audit_log(None, 10).await.expect("the log"), log);
}

pub(crate) async fn what_is_archived_may_be_forgotten(database: &Database) {
    let store = database.store.with_actor("alice");
    let export = async || {
        let mut file = Vec::new();
        let archive = store.export_audit_log(in_hours(1), &mut file).await.expect("it is exported");
        (file, archive.expect("there are entries"))
    };
    store.add_all((1..=3).map(|number| client(number, &format!("client-{number}"))).collect()).await.expect("new");
    let log = store.audit_log(None, 10).await.expect("the log");
    let (first_file, first) = export().await;
    assert_eq!(first.entries, 3);
    assert_eq!(AuditArchive::read(&first_file[..], None).expect("lines"), Some(first.clone()));
    assert!(store.export_audit_log(Timestamp::UNIX_EPOCH, &mut Vec::new()).await.expect("none").is_none());

    // What comes after the export stays.
    store.remove(&key(3)).await.expect("it is there");
    store.prune_audit_log(&first).await.expect("the entries are there");
    let kept = store.audit_log(None, 10).await.expect("the log");
    let actions: Vec<_> = kept.iter().map(|entry| entry.entry.action).collect();
    assert_eq!(actions, [Action::Archived, Action::Removed]);
    assert!(kept.iter().all(|entry| entry.number > log[0].number));
    // Once is enough, and the marker stays.
    assert!(matches!(store.prune_audit_log(&first).await, Err(Error::ArchiveMismatch)));
    for sql in
        ["DELETE FROM pssst_audit_archives", "UPDATE pssst_audit_archives SET entries = 1", "DELETE FROM pssst_audit"]
    {
        let error = database.meddle(sql).await.expect_err(sql);
        assert!(error.to_string().contains("the audit log is append-only"), "{sql}: {error}");
    }

    // The second covers the first.
    let (second_file, second) = export().await;
    store.prune_audit_log(&second).await.expect("the entries are there");
    assert_eq!(store.audit_archives().await.expect("archives"), [first.clone(), second.clone()]);
    assert_eq!(AuditArchive::read(&second_file[..], Some(&first)).expect("lines"), Some(second.clone()));
    let forged = String::from_utf8(first_file).expect("text").replace("client-2", "client-4");
    let forged = AuditArchive::read(forged.as_bytes(), None).expect("lines").expect("entries");
    assert_ne!(forged.hash, first.hash);
    assert_ne!(AuditArchive::read(&second_file[..], Some(&forged)).expect("lines"), Some(second));
    assert!(AuditArchive::read(&b"nonsense\n"[..], None).is_err());
}

pub(crate) async fn corrupt_rows_are_errors(database: &Database) {
    let store = &database.store;
    store.add(client(1, "one").with_label("a", "b").expect("a label")).await.expect("it is new");
    store.create_token(grant(None)).await.expect("a token");
    let identities = [
        ("UPDATE pssst_identities SET name = 'two words'", "UPDATE pssst_identities SET name = 'one'"),
        ("UPDATE pssst_identities SET name = ''", "UPDATE pssst_identities SET name = 'one'"),
        ("UPDATE pssst_identities SET labels = '{\"a\":1}'", "UPDATE pssst_identities SET labels = '{}'"),
        ("UPDATE pssst_identities SET labels = 'x'", "UPDATE pssst_identities SET labels = '{}'"),
        ("UPDATE pssst_identities SET created = 9223372036854775807", "UPDATE pssst_identities SET created = 0"),
        ("UPDATE pssst_identities SET expires = -9223372036854775807", "UPDATE pssst_identities SET expires = 0"),
    ];
    for (damage, repair) in identities {
        database.meddle(damage).await.expect(damage);
        assert!(matches!(store.get(&key(1)).await, Err(Error::Corrupt(_))), "{damage}");
        if damage.contains("name") || damage.contains("expires") {
            assert!(matches!(store.changes(Revision(0), 10).await, Err(Error::Corrupt(_))), "{damage}");
        }
        database.meddle(repair).await.expect(repair);
        assert!(store.get(&key(1)).await.expect(repair).is_some());
    }
    for damage in ["UPDATE pssst_identities SET state = 'other'", "UPDATE pssst_tokens SET used = 1"] {
        database.meddle(damage).await.expect_err("the table itself refuses");
    }
    database.meddle("UPDATE pssst_tokens SET name = ''").await.expect("meddling");
    assert!(matches!(store.tokens(false, 10).await, Err(Error::Corrupt(_))));
    database
        .meddle("INSERT INTO pssst_audit (at, actor, action, detail) VALUES (1, '', 'danced', '')")
        .await
        .expect("meddling");
    assert!(matches!(store.audit_log(None, 10).await, Err(Error::Corrupt(_))));
    database.meddle("UPDATE pssst_store SET revision = -7").await.expect("meddling");
    assert!(matches!(store.changes(Revision(0), 10).await, Err(Error::Corrupt(_))));
    assert!(matches!(store.add(client(2, "two")).await, Err(Error::Corrupt(_))));
    database.meddle("DELETE FROM pssst_store").await.expect("meddling");
    assert!(matches!(store.changes(Revision(0), 10).await, Err(Error::Corrupt(_))));
    assert!(matches!(store.add(client(2, "two")).await, Err(Error::Corrupt(_))));
}

pub(crate) async fn refused_clients_are_kept_until_they_are_served(database: &Database) {
    let store = std::sync::Arc::new(database.store.clone());
    store.add(client(1, "one")).await.expect("it is new");
    store.update(&key(1), Update::state(State::Suspended)).await.expect("it is there");
    let follower = Follower::start(store.clone()).await.expect("it starts");
    let policy = AccessPolicy::new(std::sync::Arc::clone(follower.snapshot()), UnknownClients::Refuse);
    let record = async |minute: i64| {
        check(&policy, &key(1));
        check(&policy, &key(2));
        let now = Timestamp::now() + SignedDuration::from_mins(minute);
        let report = policy.refused().report(now, |_| None);
        store.record_refused(&report.clients).await.expect("it is taken");
        assert_eq!(report.clients.len(), 2);
    };
    record(0).await;
    record(2).await;
    let refused = async || {
        let clients = store.refused(10).await.expect("they are read");
        let mut clients: Vec<_> =
            clients.into_iter().map(|client| (client.key, client.name, client.cause, client.requests)).collect();
        clients.sort_by_key(|(key, ..)| *key.as_bytes());
        clients
    };
    let mut expected =
        vec![(key(1), Some("one".to_owned()), RefusedCause::Suspended, 2), (key(2), None, RefusedCause::Unknown, 2)];
    expected.sort_by_key(|(key, ..)| *key.as_bytes());
    assert_eq!(refused().await, expected);
    store.update(&key(1), Update::state(State::Enrolled)).await.expect("it is there");
    store.add(client(2, "two")).await.expect("it is new");
    assert_eq!(refused().await, []);
}
