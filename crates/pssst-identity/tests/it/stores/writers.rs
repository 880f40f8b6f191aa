//! Many who write at once, and one who reads the feed meanwhile.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pssst_identity::pssst::PublicKey;
use pssst_identity::{ClientStatus, ListQuery, Revision, State, Update};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use crate::stores::support::{Store, client, feed, key};

const WRITERS: u32 = 16;
const EACH: u32 = 25;

pub(crate) async fn sixteen_writers_and_a_follower(store: Store) {
    many_writers_and_a_follower(vec![store]).await;
}

/// Through as many handles of one store as there are. Each writer adds its clients and suspends
/// every fifth.
pub(crate) async fn many_writers_and_a_follower(handles: Vec<Store>) {
    // One test at a time: each of them keeps the disk busy by itself.
    static DISK: Mutex<()> = Mutex::const_new(());
    let _disk = DISK.lock().await;
    let done = Arc::new(AtomicBool::new(false));
    let follower = tokio::spawn(follow(handles[0].clone(), Arc::clone(&done)));
    let mut writers = JoinSet::new();
    for (writer, store) in (0..WRITERS).zip(handles.iter().cycle().cloned()) {
        writers.spawn(async move {
            for number in (writer * EACH)..((writer + 1) * EACH) {
                store.add(client(number, &format!("client-{number}"))).await.expect("it is new");
                if number % 5 == 0 {
                    store.update(&key(number), Update::state(State::Suspended)).await.expect("it is there");
                }
            }
        });
    }
    while let Some(ended) = writers.join_next().await {
        ended.expect("a writer");
    }
    done.store(true, Ordering::SeqCst);
    let seen = follower.await.expect("the follower");
    for store in &handles {
        let changes = feed(store, Revision(0), 100).await;
        let revisions: HashSet<_> = changes.iter().map(|change| change.revision).collect();
        let all = (WRITERS * EACH) as usize;
        assert_eq!((changes.len(), revisions.len()), (all, all));
        let told: HashMap<_, _> = changes.into_iter().map(|change| (change.key, change.status)).collect();
        assert!(told == seen, "the follower has missed something");
        let suspended = ListQuery { state: Some(State::Suspended), limit: 1000, ..ListQuery::default() };
        assert_eq!(store.list(&suspended).await.expect("a page").identities.len(), all / 5);
    }
}

type Known = HashMap<PublicKey, Option<ClientStatus>>;

/// What someone knows who has only ever asked for what came after the last answer.
async fn follow(store: Store, done: Arc<AtomicBool>) -> Known {
    let (mut known, mut after) = (Known::new(), Revision(0));
    loop {
        let was_done = done.load(Ordering::SeqCst);
        for change in feed(&store, after, 7).await {
            assert!(change.revision > after);
            after = change.revision;
            known.insert(change.key, change.status);
        }
        if was_done {
            return known;
        }
        tokio::task::yield_now().await;
    }
}
