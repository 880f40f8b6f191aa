//! What every store does with identities.

use pssst_identity::jiff::Timestamp;
use pssst_identity::pssst::{PublicKey, Refusal};
use pssst_identity::{ClientTotals, Error, Labels, ListQuery, NewIdentity, Revision, State, Update};

use crate::stores::support::{Store, client, feed, key};

pub(crate) async fn what_was_added_is_found(store: Store) {
    let new = client(1, "boiler-7").with_label("site", "north wing").expect("a label").with_state(State::Suspended);
    let before = Timestamp::from_millisecond(Timestamp::now().as_millisecond()).expect("now");
    let added = store.add(new).await.expect("it is new");
    assert_eq!((added.key, added.name.as_str(), added.state), (key(1), "boiler-7", State::Suspended));
    assert_eq!(added.labels, Labels::from([("site".into(), "north wing".into())]));
    assert!(before <= added.created && added.created == added.changed && added.expires.is_none());
    assert_eq!(store.get(&key(1)).await.expect("get"), Some(added.clone()));
    assert_eq!(store.find_by_name("boiler-7").await.expect("find"), Some(added));
    assert_eq!(store.get(&key(2)).await.expect("get"), None);
    for other in ["Boiler-7", "boiler", "boiler-_", "boiler-%"] {
        assert_eq!(store.find_by_name(other).await.expect("find"), None, "{other}");
    }
    assert!(store.add_all(Vec::new()).await.expect("nothing").is_empty());
}

pub(crate) async fn pages_come_in_the_order_of_bytes(store: Store) {
    let names = ["a", "B", "é", "Z", "z", "a-1", "a_1", "aa", "ä", "10", "9", "\u{10348}", "\u{ff5e}"];
    let mut sorted = names.to_vec();
    sorted.sort_unstable();
    let new = names.iter().zip(1..).map(|(name, number)| client(number, name)).collect();
    store.add_all(new).await.expect("they are new");
    store.update(&key(3), Update::state(State::Revoked)).await.expect("é is there");
    for limit in [1, 2, 5, 12, 13, 100] {
        let (mut listed, mut query) = (Vec::new(), ListQuery { limit, ..ListQuery::default() });
        loop {
            let page = store.list(&query).await.expect("a page");
            assert!(page.identities.len() <= limit);
            assert_eq!(page.next.is_some(), listed.len() + page.identities.len() < names.len(), "limit {limit}");
            listed.extend(page.identities.into_iter().map(|identity| identity.name));
            let Some(next) = page.next else { break };
            query.after = Some(next);
        }
        assert_eq!(listed, sorted, "limit {limit}");
    }
    let page = store.list(&ListQuery { limit: 0, ..ListQuery::default() }).await.expect("a page");
    assert_eq!((page.identities.len(), page.next.as_deref()), (1, Some("10")));
    let revoked = ListQuery { state: Some(State::Revoked), ..ListQuery::default() };
    let page = store.list(&revoked).await.expect("a page");
    assert_eq!(page.identities.iter().map(|identity| identity.name.as_str()).collect::<Vec<_>>(), ["é"]);
    store.update(&key(4), Update::psk_issued("0011223344556677")).await.expect("Z is there");
    for (requires_psk, expected) in
        [(true, vec!["Z"]), (false, sorted.into_iter().filter(|name| *name != "Z").collect())]
    {
        let query = ListQuery { requires_psk: Some(requires_psk), ..ListQuery::default() };
        let page = store.list(&query).await.expect("a page");
        assert_eq!(page.identities.iter().map(|identity| identity.name.as_str()).collect::<Vec<_>>(), expected);
    }
}

pub(crate) async fn searches_take_every_character_as_it_is(store: Store) {
    let label = |new: NewIdentity, name: &str, value: &str| new.with_label(name, value).expect("a label");
    let all = vec![
        label(client(1, "load_100%"), "Site", "North Wing"),
        label(client(2, "loadx100x"), "path", r"c:\temp"),
        label(client(3, "ÉCLAIR"), "straße", "Ünter"),
        client(4, "plain"),
    ];
    store.add_all(all).await.expect("they are new");
    let hex = key(4).to_string();
    let cases: &[(&str, &[&str])] = &[
        ("_", &["load_100%"]),
        ("%", &["load_100%"]),
        ("0%", &["load_100%"]),
        ("d_1", &["load_100%"]),
        ("load", &["load_100%", "loadx100x"]),
        (r"\", &["loadx100x"]),
        (r":\T", &["loadx100x"]),
        (r"\%", &[]),
        ("site=north w", &["load_100%"]),
        ("SITE=NORTH", &["load_100%"]),
        ("éclair", &["ÉCLAIR"]),
        ("Éclair", &["ÉCLAIR"]),
        ("straße=ü", &["ÉCLAIR"]),
        (&hex[10..40], &["plain"]),
        (&hex.to_uppercase(), &["plain"]),
        ("no such thing", &[]),
        ("'", &[]),
        ("*", &[]),
    ];
    for (search, expected) in cases {
        let query = ListQuery { search: Some((*search).to_owned()), ..ListQuery::default() };
        let page = store.list(&query).await.expect("a page");
        let found: Vec<_> = page.identities.iter().map(|identity| identity.name.as_str()).collect();
        assert_eq!(found, *expected, "{search:?}");
    }
    let query = ListQuery { search: Some("load".into()), limit: 1, ..ListQuery::default() };
    let first = store.list(&query).await.expect("a page");
    let second = store.list(&ListQuery { after: first.next, ..query }).await.expect("a page");
    assert_eq!((second.identities[0].name.as_str(), second.next), ("loadx100x", None));
}

pub(crate) async fn clients_are_counted_and_found_by_label(store: Store) {
    assert_eq!(store.totals().await.expect("totals"), ClientTotals::default());
    let (past, future) = ("2020-01-01T00:00:00Z".parse().ok(), "2100-01-01T00:00:00Z".parse().ok());
    let site = |number, name: &str, site: &str| client(number, name).with_label("Site", site).expect("a label");
    let all: Vec<NewIdentity> = vec![
        site(1, "a", "oslo"),
        site(2, "b", "Oslo").with_expiry(future),
        site(3, "c", "oslo-2").with_expiry(past),
        client(4, "site=oslo-is-not-a-label").with_state(State::Suspended).with_expiry(past),
        client(5, "e").with_state(State::Revoked).with_label("a", "100%").expect("a label"),
    ];
    store.add_all(all).await.expect("they are new");
    let totals = store.totals().await.expect("totals");
    assert_eq!((totals.enrolled, totals.expired, totals.suspended, totals.revoked), (2, 1, 1, 1));
    assert_eq!(totals.all(), 5);
    for (label, expected) in [
        ("site=oslo", vec!["a", "b"]),
        ("SITE=Oslo-2", vec!["c"]),
        ("a=100%", vec!["e"]),
        ("a=100_", vec![]),
        ("site=osl", vec![]),
        ("site=oslo\n", vec![]),
        ("site=\0", vec![]),
        ("e", vec![]),
    ] {
        let page = store.list(&ListQuery { label: Some(label.into()), ..ListQuery::default() }).await.expect("a page");
        let found: Vec<_> = page.identities.iter().map(|identity| identity.name.as_str()).collect();
        assert_eq!(found, expected, "{label:?}");
    }
    store.remove(&key(1)).await.expect("it is there");
    store.update(&key(2), Update::state(State::Revoked)).await.expect("it is there");
    let totals = store.totals().await.expect("totals");
    assert_eq!((totals.enrolled, totals.expired, totals.suspended, totals.revoked), (0, 1, 1, 2));
}

pub(crate) async fn a_taken_key_or_name_is_refused(store: Store) {
    store.add(client(1, "one")).await.expect("it is new");
    let taken = store.add(client(1, "two")).await.expect_err("the key is taken");
    assert!(matches!(taken, Error::KeyTaken(taken) if taken == key(1)), "{taken}");
    let taken = store.add(client(2, "one")).await.expect_err("the name is taken");
    assert!(matches!(&taken, Error::NameTaken(name) if name == "one"), "{taken}");
    // An identical identity is refused too.
    assert!(matches!(store.add(client(1, "one")).await, Err(Error::KeyTaken(_))));
    store.add(client(2, "One")).await.expect("another name");
}

pub(crate) async fn all_are_added_or_none(store: Store) {
    store.add(client(1, "one")).await.expect("it is new");
    let many =
        |clash: NewIdentity| (100..700).map(|n| client(n, &format!("many-{n}"))).chain([clash]).collect::<Vec<_>>();
    assert!(matches!(store.add_all(many(client(1, "x"))).await, Err(Error::KeyTaken(taken)) if taken == key(1)));
    assert!(matches!(store.add_all(many(client(2, "one"))).await, Err(Error::NameTaken(name)) if name == "one"));
    assert!(matches!(store.add_all(many(client(300, "x"))).await, Err(Error::KeyTaken(taken)) if taken == key(300)));
    assert!(
        matches!(store.add_all(many(client(2, "many-300"))).await, Err(Error::NameTaken(name)) if name == "many-300")
    );
    assert_eq!(store.list(&ListQuery::default()).await.expect("a page").identities.len(), 1);
    assert_eq!(feed(&store, Revision(0), 1000).await.len(), 1);
    let added = store.add_all(many(client(2, "x"))).await.expect("all are new");
    assert_eq!((added.len(), added[0].key, added[600].key), (601, key(100), key(2)));
    assert_eq!(feed(&store, Revision(0), 1000).await.len(), 602);
}

pub(crate) async fn keys_that_are_no_true_keys_are_refused(store: Store) {
    let field_prime = {
        let mut bytes = [0xff; 32];
        (bytes[0], bytes[31]) = (0xed, 0x7f);
        bytes
    };
    let order_8 = "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800";
    let weak = [[0; 32], [1].into_iter().chain([0; 31]).collect::<Vec<u8>>().try_into().expect("32"), field_prime];
    let weak = weak.map(PublicKey::from_bytes).into_iter().chain([order_8.parse().expect("a key")]);
    for weak in weak {
        assert!(matches!(NewIdentity::new(weak, "x"), Err(Error::Key(Refusal::WeakKey))), "{weak}");
    }
    // The high bit is ignored in the arithmetic, so this is the same point in another encoding.
    let mut alias = *key(1).as_bytes();
    alias[31] |= 0x80;
    let alias = PublicKey::from_bytes(alias);
    assert!(matches!(NewIdentity::new(alias, "x"), Err(Error::Key(Refusal::ClientKeyAlias))));
    store.add(client(1, "one")).await.expect("it is new");
    assert_eq!(store.get(&alias).await.expect("get"), None);
    assert!(matches!(store.remove(&alias).await, Err(Error::NotFound(_))));
}

pub(crate) async fn an_update_changes_what_it_says_and_no_more(store: Store) {
    let new = client(1, "one").with_label("a", "b").expect("a label");
    let old = store.add(new).await.expect("it is new");
    let suspended = store.update(&key(1), Update::state(State::Suspended)).await.expect("update");
    assert!(suspended.changed >= old.changed);
    let mut expected = old.clone();
    (expected.state, expected.changed) = (State::Suspended, suspended.changed);
    assert_eq!(suspended, expected);
    let labels = Labels::from([("c".into(), "d \"e\" \\ =".into())]);
    let until = Timestamp::from_millisecond(1_900_000_000_123).expect("a time");
    let update = Update {
        name: Some("uno".into()),
        labels: Some(labels.clone()),
        expires: Some(Some(until)),
        ..Update::default()
    };
    let changed = store.update(&key(1), update).await.expect("update");
    (expected.name, expected.labels, expected.expires) = ("uno".into(), labels, Some(until));
    expected.changed = changed.changed;
    assert_eq!(changed, expected);
    assert_eq!(store.get(&key(1)).await.expect("get"), Some(expected.clone()));
    assert_eq!(store.find_by_name("one").await.expect("find"), None);
    assert_eq!(store.find_by_name("uno").await.expect("find"), Some(expected));
    let query = |search: &str| ListQuery { search: Some(search.into()), ..ListQuery::default() };
    assert_eq!(store.list(&query("a=b")).await.expect("a page").identities.len(), 0);
    assert_eq!(store.list(&query("c=d")).await.expect("a page").identities.len(), 1);
    let based_on = Timestamp::from_millisecond(changed.changed.as_millisecond() - 1).ok();
    let outdated = store.update(&key(1), Update { based_on, ..Update::state(State::Enrolled) }).await;
    assert!(matches!(outdated, Err(Error::Outdated(time)) if time == changed.changed), "{outdated:?}");
    assert_eq!(store.get(&key(1)).await.expect("get"), Some(changed.clone()));
    let based_on = Some(changed.changed);
    store.update(&key(1), Update { based_on, ..Update::state(State::Suspended) }).await.expect("update");
    let resumed = store.update(&key(1), Update { expires: Some(None), ..Update::state(State::Enrolled) }).await;
    let resumed = resumed.expect("update");
    assert_eq!((resumed.state, resumed.expires), (State::Enrolled, None));
    assert!(
        matches!(store.update(&key(2), Update::default()).await, Err(Error::NotFound(missing)) if missing == key(2))
    );
    let bad_name = Update { name: Some("two words".into()), ..Update::default() };
    assert!(matches!(store.update(&key(1), bad_name).await, Err(Error::InvalidName(_))));
    // A name that is another client's key would name that client, and one with a hyphen is an
    // option of the command line.
    for name in [key(2).to_string(), key(2).to_string().to_uppercase(), "-f".into()] {
        assert!(matches!(NewIdentity::new(key(3), &name), Err(Error::InvalidName(_))), "{name}");
    }
    let bad_label = Update { labels: Some(Labels::from([("a=b".into(), "c".into())])), ..Update::default() };
    assert!(matches!(store.update(&key(1), bad_label).await, Err(Error::InvalidLabel(_))));
    assert_eq!(store.get(&key(1)).await.expect("get"), Some(resumed));
}

pub(crate) async fn revoked_is_final(store: Store) {
    store.add(client(1, "one")).await.expect("it is new");
    let revoked = store.update(&key(1), Update::state(State::Revoked)).await.expect("update");
    for state in [State::Enrolled, State::Suspended] {
        let update = Update { name: Some("other".into()), ..Update::state(state) };
        assert!(matches!(store.update(&key(1), update).await, Err(Error::Revoked(asked)) if asked == state));
    }
    assert_eq!(store.get(&key(1)).await.expect("get"), Some(revoked));
    store.update(&key(1), Update::state(State::Revoked)).await.expect("once more");
    let renamed = Update { name: Some("late-one".into()), ..Update::default() };
    assert_eq!(store.update(&key(1), renamed).await.expect("update").state, State::Revoked);
}

pub(crate) async fn names_move_only_to_free_ones(store: Store) {
    store.add_all(vec![client(1, "one"), client(2, "two")]).await.expect("they are new");
    let rename = |name: &str| Update { name: Some(name.into()), ..Update::default() };
    assert!(matches!(store.update(&key(1), rename("two")).await, Err(Error::NameTaken(name)) if name == "two"));
    store.update(&key(1), rename("one")).await.expect("its own name");
    store.update(&key(1), rename("three")).await.expect("a free name");
    store.update(&key(2), rename("one")).await.expect("a name that became free");
    assert_eq!(store.find_by_name("one").await.expect("find").map(|identity| identity.key), Some(key(2)));
    assert_eq!(store.find_by_name("two").await.expect("find"), None);
}

pub(crate) async fn what_was_removed_is_free_again(store: Store) {
    store.add(client(1, "one").with_state(State::Revoked)).await.expect("it is new");
    store.remove(&key(1)).await.expect("it is there");
    assert!(matches!(store.remove(&key(1)).await, Err(Error::NotFound(missing)) if missing == key(1)));
    assert_eq!(store.get(&key(1)).await.expect("get"), None);
    assert_eq!(store.find_by_name("one").await.expect("find"), None);
    store.add(client(2, "one")).await.expect("the name is free");
    store.add(client(1, "uno")).await.expect("the key is free");
    store.remove(&key(1)).await.expect("it is there again");
    store.add(client(1, "uno")).await.expect("and free again");
}

pub(crate) async fn times_keep_their_milliseconds(store: Store) {
    let time = |text: &str| text.parse::<Timestamp>().expect("a time");
    let cases = [
        ("1969-12-31T23:59:59.999Z", "1969-12-31T23:59:59.999Z"),
        ("2026-02-03T04:05:06.789999999Z", "2026-02-03T04:05:06.789Z"),
        ("2026-02-03T04:05:06Z", "2026-02-03T04:05:06Z"),
        ("9999-12-30T00:00:00.001Z", "9999-12-30T00:00:00.001Z"),
    ];
    for (number, (given, kept)) in (1..).zip(cases) {
        let new = client(number, &format!("n{number}")).with_expiry(time(given)).with_created(time(given));
        let added = store.add(new).await.expect("it is new");
        let stored = store.get(&key(number)).await.expect("get").expect("it is there");
        assert_eq!(stored, added);
        assert_eq!((stored.expires, stored.created), (Some(time(kept)), time(kept)));
        let changes = feed(&store, Revision(0), 100).await;
        let status = changes.last().and_then(|change| change.status.as_ref()).expect("it is in the feed");
        assert_eq!(status.expires, Some(time(kept)));
    }
}

pub(crate) async fn odd_questions_find_nothing(store: Store) {
    store.add_all(vec![client(1, "a"), client(2, "b")]).await.expect("they are new");
    let long = "x".repeat(100_000);
    for name in ["", "\0", "a\0", "a b", "\u{1b}", &long] {
        assert_eq!(store.find_by_name(name).await.expect("find"), None, "{name:?}");
    }
    for search in ["\0", "a\0", &long, &"%".repeat(30_000)] {
        let query = ListQuery { search: Some(search.into()), ..ListQuery::default() };
        assert!(store.list(&query).await.expect("a page").identities.is_empty());
    }
    for (after, expected) in [("", 2), ("\0", 2), ("a", 1), ("a\0", 1), ("a\0b", 1), ("b\0", 0), (&long, 0)] {
        let query = ListQuery { after: Some(after.into()), ..ListQuery::default() };
        assert_eq!(store.list(&query).await.expect("a page").identities.len(), expected, "{after:?}");
    }
    let query = ListQuery { search: Some(String::new()), ..ListQuery::default() };
    assert_eq!(store.list(&query).await.expect("a page").identities.len(), 2);
}

pub(crate) async fn a_client_may_have_to_use_its_pre_shared_key(store: Store) {
    let added = store.add_all(vec![client(1, "one"), client(2, "two").with_requires_psk(true)]).await;
    let [one, two] = added.expect("they are new").try_into().expect("two");
    assert_eq!((one.requires_psk, two.requires_psk), (false, true));
    assert_eq!(store.get(&key(2)).await.expect("get"), Some(two.clone()));
    let listed = store.list(&ListQuery::default()).await.expect("a page").identities;
    assert_eq!(listed, [one.clone(), two.clone()]);

    let required = store.update(&key(1), Update::requires_psk(true)).await.expect("update");
    let mut expected = one;
    (expected.requires_psk, expected.changed) = (true, required.changed);
    assert_eq!(required, expected);
    let free = store.update(&key(2), Update::requires_psk(false)).await.expect("update");
    let mut expected = two;
    (expected.requires_psk, expected.changed) = (false, free.changed);
    assert_eq!(free, expected);
    // It stays through other changes, and is moved to another store.
    let suspended = store.update(&key(1), Update::state(State::Suspended)).await.expect("update");
    assert!(suspended.requires_psk);
    assert_eq!(store.get(&key(1)).await.expect("get"), Some(suspended.clone()));
    let moved = NewIdentity::from_identity(suspended).expect("a good one");
    store.remove(&key(1)).await.expect("it is there");
    assert!(store.add(moved).await.expect("it is new").requires_psk);
    let told: Vec<_> =
        feed(&store, Revision(0), 10).await.into_iter().map(|change| (change.key, change.status)).collect();
    let told: Vec<_> = told.iter().map(|(key, status)| (*key, status.as_ref().map(|now| now.requires_psk))).collect();
    assert_eq!(told, [(key(2), Some(false)), (key(1), Some(true))]);
}
