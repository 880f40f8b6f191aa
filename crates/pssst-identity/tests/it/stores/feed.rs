//! What every store tells of its changes.

use std::time::Duration;

use pssst_identity::jiff::Timestamp;
use pssst_identity::{Change, Error, Revision, State, Update};

use crate::stores::support::{Store, client, feed, key};

pub(crate) async fn the_latest_change_of_each_is_told_in_order(store: Store) {
    let empty = store.changes(Revision(0), 10).await.expect("the feed");
    assert!(empty.changes.is_empty() && !empty.store.is_empty());
    store.add_all(vec![client(1, "one"), client(2, "two"), client(3, "three")]).await.expect("they are new");
    store.update(&key(1), Update::state(State::Suspended)).await.expect("update");
    store.update(&key(1), Update::state(State::Revoked)).await.expect("update");
    let until = Timestamp::from_millisecond(1_900_000_000_001).expect("a time");
    store.update(&key(2), Update { expires: Some(Some(until)), ..Update::default() }).await.expect("update");
    let all = store.changes(Revision(0), 10).await.expect("the feed");
    assert_eq!(all.store, empty.store);
    assert!(all.latest > empty.latest);
    let told: Vec<_> = all.changes.iter().map(|change| (change.key, name_and_state(change))).collect();
    let expected = [
        (key(3), Some(("three", State::Enrolled))),
        (key(1), Some(("one", State::Revoked))),
        (key(2), Some(("two", State::Enrolled))),
    ];
    assert_eq!(told, expected);
    assert_eq!(all.changes[2].status.as_ref().and_then(|status| status.expires), Some(until));
    assert_eq!(all.changes[2].revision, all.latest);
    assert!(all.changes.is_sorted_by(|a, b| a.revision < b.revision));
    assert!(store.changes(all.latest, 10).await.expect("the feed").changes.is_empty());
    for beyond in [Revision(all.latest.0 + 1), Revision(u64::MAX)] {
        let changes = store.changes(beyond, 10).await.expect("the feed");
        assert!(changes.changes.is_empty() && changes.latest == all.latest);
    }
}

pub(crate) async fn a_removal_is_told_and_a_key_that_came_back(store: Store) {
    store.add_all(vec![client(1, "one"), client(2, "two")]).await.expect("they are new");
    let before = store.changes(Revision(0), 10).await.expect("the feed").latest;
    store.remove(&key(1)).await.expect("it is there");
    let changes = feed(&store, before, 10).await;
    assert_eq!((changes.len(), changes[0].key, &changes[0].status), (1, key(1), &None));
    assert_eq!(feed(&store, Revision(0), 10).await.len(), 2);
    store.add(client(1, "uno")).await.expect("it is new");
    let changes = feed(&store, changes[0].revision, 10).await;
    assert_eq!((changes.len(), name_and_state(&changes[0])), (1, Some(("uno", State::Enrolled))));
    assert_eq!(feed(&store, Revision(0), 10).await.len(), 2);
}

pub(crate) async fn pages_of_the_feed_join(store: Store) {
    let new = (0..50).map(|number| client(number, &format!("n{number}"))).collect();
    store.add_all(new).await.expect("they are new");
    for number in (0..50).step_by(3) {
        store.remove(&key(number)).await.expect("it is there");
    }
    let whole = feed(&store, Revision(0), 1000).await;
    assert_eq!(whole.len(), 50);
    assert_eq!(whole.iter().filter(|change| change.status.is_none()).count(), 17);
    for page_len in [1, 7, 50] {
        assert_eq!(feed(&store, Revision(0), page_len).await, whole, "pages of {page_len}");
    }
    assert!(store.changes(Revision(0), 0).await.expect("the feed").changes.is_empty());
}

pub(crate) async fn a_failed_change_is_no_change(store: Store) {
    store.add_all(vec![client(1, "one"), client(2, "two")]).await.expect("they are new");
    let before = store.changes(Revision(0), 10).await.expect("the feed");
    assert!(matches!(store.add(client(1, "x")).await, Err(Error::KeyTaken(_))));
    assert!(matches!(store.add(client(3, "two")).await, Err(Error::NameTaken(_))));
    let rename = Update { name: Some("two".into()), ..Update::default() };
    assert!(matches!(store.update(&key(1), rename).await, Err(Error::NameTaken(_))));
    assert!(matches!(store.remove(&key(3)).await, Err(Error::NotFound(_))));
    assert_eq!(store.changes(Revision(0), 10).await.expect("the feed"), before);
}

pub(crate) async fn hints_follow_changes(store: Store) {
    let mut receiver = store.subscribe();
    store.add(client(1, "one")).await.expect("it is new");
    for change in ["add", "update", "remove"] {
        let hint = tokio::time::timeout(Duration::from_secs(20), receiver.changed()).await;
        assert_eq!(hint, Ok(true), "no hint of {change}");
        // Told once by the store itself and once by its database: one of them may come late.
        match change {
            "add" => store.update(&key(1), Update::state(State::Revoked)).await.map(drop).expect("update"),
            "update" => store.remove(&key(1)).await.expect("remove"),
            _ => {}
        }
    }
}

fn name_and_state(change: &Change) -> Option<(&str, State)> {
    change.status.as_ref().map(|status| (status.name.as_str(), status.state))
}
