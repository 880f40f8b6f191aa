//! Identities of the clients of a PSSST server.
//!
//! The protocol proves that the sender of a request holds a client key. This crate says which
//! client that is and whether to serve it: identities are kept in an [`IdentityStore`] (memory, a
//! text file, SQLite, PostgreSQL), and servers ask an [`IdentitySnapshot`] in memory, for each
//! packet, which a feed of changes keeps current.
//!
//! ```
//! use pssst_identity::pssst::{SecretKey, SysRng};
//! use pssst_identity::{IdentityStore, MemoryStore, NewIdentity, State, Update};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let store = MemoryStore::new();
//! let key = SecretKey::generate(&mut SysRng)?.public_key();
//! // The key is checked here, once: packets need an exact look-up only.
//! store.add(NewIdentity::new(key, "boiler-7")?.with_label("site", "north")?).await?;
//! assert_eq!(store.find_by_name("boiler-7").await?.map(|identity| identity.key), Some(key));
//!
//! store.update(&key, Update::state(State::Revoked)).await?;
//! # Ok(()) }
//! ```
//!
//! # What it is not
//!
//! * **Not a login**: a key is proven by the packet that it came in, and by nothing else.
//! * **Not rights**: labels are handed to the handler of a request, which decides what a client may
//!   do.
//! * **Not asked for each packet**: while the database is unavailable, servers use the last
//!   snapshot.
//!
//! # Features
//!
//! | feature | adds |
//! |---|---|
//! | `file` (default) | a store in a text file |
//! | `sqlite` | a store in SQLite, whose C source is compiled along |
//! | `postgres` | a store in PostgreSQL, for a pool of servers |

mod access_policy;
mod audit;
mod change_signal;
mod error;
#[cfg(feature = "file")]
mod file;
mod follower;
mod identity;
mod memory;
mod open;
mod refused;
mod sample;
mod server_report;
mod shared_secrets;
mod snapshot;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod sql;
mod state;
mod store;
mod token;

pub use access_policy::{AccessPolicy, AccessStats, UnknownClients};
pub use audit::{Action, AuditArchive, AuditEntry, AuditQuery, NewAuditEntry};
pub use change_signal::{ChangeReceiver, ChangeSignal};
pub use error::{DatabaseError, Error};
#[cfg(feature = "file")]
pub use file::FileStore;
pub use follower::{Follower, FollowerStatus};
pub use identity::{ClientStatus, Identity, Labels, NewIdentity, Update};
pub use jiff;
pub use memory::MemoryStore;
pub use open::{check_location, open, open_existing};
pub use pssst;
pub use refused::{RefusedCause, RefusedClient, RefusedClients, RefusedReport};
pub use sample::PacketSample;
pub use server_report::ServerReport;
pub use shared_secrets::SharedSecrets;
pub use snapshot::IdentitySnapshot;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub use sql::SqlStore;
pub use state::State;
pub use store::{Change, Changes, ClientTotals, IdentityStore, ListQuery, Page, Revision};
pub use token::{EnrollError, Token, TokenGrant, TokenId, TokenInfo};
