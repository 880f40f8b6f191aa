//! A directory on loopback with a made-up fleet, to look at its pages and to try its API. Run it
//! with `cargo run -p pssst-directory-server --example directory`, and open the address that it
//! prints. What it makes is gone when it ends.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use pssst::{ClientCheck, ClientClaim, PskMaster, SecretKey, Suite, SysRng};
use pssst_directory::jiff;
use pssst_directory_server::{Directory, Operators, Schedule, ScheduleFile, ServerCertificate};
use pssst_identity::{
    AccessPolicy, Follower, IdentityStore, NewIdentity, ServerReport, SqlStore, State, TokenGrant, UnknownClients,
    Update,
};
use pssst_link::Link;
use pssst_net::pssst;

const HOUR: Duration = Duration::from_hours(1);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let file = |name: &str| folder.path().join(name);

    // The servers' keys. Servers of the pool read the same file, or a copy of it.
    let old = Timestamp::now() - 720 * HOUR;
    let schedule = Schedule::new(SecretKey::generate(&mut SysRng)?, old);
    schedule.with_psk_master(PskMaster::generate(&mut SysRng)?, old).write(&file("keys.json"))?;
    let schedule = Arc::new(ScheduleFile::open(file("keys.json"), false)?);

    // The store of clients.
    let store = SqlStore::open(&format!("sqlite:{}", file("clients.db").display())).await?;
    add_fleet(&store.with_actor("example")).await?;

    // The operators, who may change it.
    let (line, operator_token) = Operators::new_credential("alice")?;
    std::fs::write(file("operators"), line)?;

    // With files instead of this one, a certificate is replaced while the directory serves.
    let certificate = ServerCertificate::self_signed(["127.0.0.1".to_owned(), "localhost".to_owned()])?;

    let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
    let bound = Directory::builder(store, schedule, certificate)
        .operators(Operators::open(file("operators"))?)
        .bind(any_port, Some(any_port))
        .await?;
    // For the links of tokens: where devices find this directory, and how they know it.
    bound.set_link(Link {
        server: Some("127.0.0.1:45678".to_owned()),
        directory: Some(bound.public_addr().to_string()),
        pin: Some(*bound.pin().as_bytes()),
        ..Link::default()
    });
    let directory = bound.serve();

    println!("public: https://{}", directory.public_addr());
    println!("admin:  https://{}", directory.admin_addr().unwrap_or(any_port));
    println!("pin:    {}", directory.pin());
    println!("name:   alice");
    println!("token:  {}", *operator_token);

    tokio::signal::ctrl_c().await?;
    let stats = directory.shutdown(Duration::from_secs(5)).await;
    println!("{stats:?}");
    Ok(())
}

async fn add_fleet(store: &SqlStore) -> Result<(), Box<dyn Error>> {
    let key = |_: u32| SecretKey::generate(&mut SysRng).map(|secret| secret.public_key());
    let mut fleet = Vec::new();
    for number in 1..=120 {
        let site = ["berlin", "lisbon", "oslo"][number as usize % 3];
        let kind = ["boiler", "gauge", "valve"][number as usize / 3 % 3];
        let client = NewIdentity::new(key(number)?, format!("{kind}-{number:03}"))?
            .with_label("site", site)?
            .with_label("firmware", format!("2.{}", number % 5))?;
        let expires = (number % 10 == 0).then(|| Timestamp::now() + 24 * number * HOUR);
        fleet.push(client.with_expiry(expires));
    }
    // Whatever a device calls itself, the pages show it as text.
    fleet.push(NewIdentity::new(key(0)?, "<script>alert(1)</script>")?.with_label("site", "\"><img/src=x>")?);
    fleet.push(NewIdentity::new(key(0)?, "pump-001")?.with_expiry(Timestamp::now() - HOUR));
    let clients = store.add_all(fleet).await?;
    for (place, state) in [(4, State::Suspended), (8, State::Suspended), (14, State::Revoked)] {
        store.update(&clients[place].key, Update::state(state)).await?;
    }

    // A server that serves, one that fell silent, and those that they refused.
    let now = Timestamp::now();
    for (name, started, last) in [("gateway-1 192.0.2.1:45678", 50, 0), ("gateway-2 192.0.2.2:45678", 9, 3)] {
        let server = ServerReport::new(name, env!("CARGO_PKG_VERSION"), now - started * HOUR)?;
        store.record_server(&server.at(now - last * HOUR)).await?;
    }
    let follower = Follower::start(Arc::new(store.clone())).await?;
    let policy = AccessPolicy::new(Arc::clone(follower.snapshot()), UnknownClients::Refuse);
    for client in [clients[4].key, clients[14].key, key(0)?] {
        policy.check(&ClientClaim::new(&client, Suite::default(), 0, false));
    }
    store.record_refused(&policy.refused().report(Timestamp::now(), |_| None).clients).await?;

    let expires = now + 24 * HOUR;
    let labels = [("site".to_owned(), "oslo".to_owned())].into();
    let grant = TokenGrant { name: Some("valve-200".to_owned()), labels, expires, client_expires: None };
    store.create_token(grant.clone()).await?;
    let withdrawn = store.create_token(TokenGrant { name: None, ..grant.clone() }).await?;
    store.withdraw_token(withdrawn.id()).await?;
    let used = store.create_token(TokenGrant { name: None, ..grant }).await?;
    store.enroll(&used, &key(0)?, Some("valve-300")).await?;
    Ok(())
}
