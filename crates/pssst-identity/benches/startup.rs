//! How long a server takes to read the clients when it starts, from SQLite and from PostgreSQL.
//!
//! `cargo bench -p pssst-identity --bench startup` takes a million clients; `-- 100000` as many as
//! that. Without `--bench` (as `cargo test` runs it) it takes few.

use std::sync::Arc;
use std::time::Instant;

use pssst_identity::pssst::SecretKey;
use pssst_identity::{Follower, IdentityStore, NewIdentity, SqlStore};
use pssst_test::Postgres;

const PIECE: usize = 10_000;

fn main() {
    let clients = std::env::args().skip(1).find_map(|argument| argument.parse().ok());
    let is_bench = std::env::args().any(|argument| argument == "--bench");
    let clients = clients.unwrap_or(if is_bench { 1_000_000 } else { 2_000 });

    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let folder = tempfile::tempdir().expect("a folder");
        start_up("SQLite", &format!("sqlite:{}", folder.path().join("clients.db").display()), clients).await;
        start_up("PostgreSQL", &Postgres::shared().fresh_database(), clients).await;
    });
}

async fn start_up(name: &str, url: &str, clients: usize) {
    let store = SqlStore::open(url).await.expect("the store opens");
    let start = Instant::now();
    for first in (0..clients).step_by(PIECE) {
        let new = (first..clients.min(first + PIECE)).map(|number| {
            let mut secret = [7; 32];
            // Not where X25519 clears bits.
            secret[8..16].copy_from_slice(&number.to_le_bytes());
            NewIdentity::new(SecretKey::from_bytes(secret).public_key(), format!("sensor-{number}"))
                .expect("a good key")
        });
        store.add_all(new.collect()).await.expect("all are added");
    }
    println!(
        "{name}: {clients} clients added in {:.1} s, the making of their keys included",
        start.elapsed().as_secs_f64()
    );

    let start = Instant::now();
    let follower = Follower::start(Arc::new(store)).await.expect("the store is read");
    println!(
        "{name}: a server knows {} clients after {:.2} s",
        follower.snapshot().len(),
        start.elapsed().as_secs_f64()
    );
    assert_eq!(follower.snapshot().len(), clients);
}
