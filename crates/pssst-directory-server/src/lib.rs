//! The operator's half of the directory: it serves the keys of a pool to clients over TLS 1.3,
//! enrols devices, renews their secrets, and gives operators an API and pages. It also has the
//! schedule of the pool's secret keys, which servers follow.
//!
//! The device's half is the crate [`pssst_directory`]. `docs/directory.md` in the repository
//! describes how to run a directory.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use pssst_directory_server::jiff::Timestamp;
//! use pssst_directory_server::{Directory, Schedule, ScheduleFile, ServerCertificate};
//! use pssst_identity::SqlStore;
//! use pssst_net::pssst::{SecretKey, SysRng};
//!
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! let folder = tempfile::tempdir()?;
//! let file = folder.path().join("keys.json");
//! Schedule::new(SecretKey::generate(&mut SysRng)?, Timestamp::now()).write(&file)?;
//! let schedule = Arc::new(ScheduleFile::open(file, false)?);
//! let store = SqlStore::open(&format!("sqlite:{}", folder.path().join("clients.db").display())).await?;
//! let certificate = ServerCertificate::self_signed(["localhost".to_owned()])?;
//!
//! let directory = Directory::builder(store, schedule, certificate)
//!     .bind("127.0.0.1:0".parse()?, None)
//!     .await?
//!     .serve();
//! println!("https://{}, pin {}", directory.public_addr(), directory.pin());
//! directory.shutdown(Duration::from_secs(5)).await;
//! # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # What it is not
//!
//! * **Not a key server for the world**: it serves the keys of one pool, whose secret keys it has.
//! * **Not in the way of packets**: servers and clients keep working while it is unavailable.

mod admin;
mod answers;
mod certificate;
mod directory;
mod error;
mod headers;
mod limits;
mod peer;
mod psk_master_pem;
mod public;
mod renewal;
mod schedule;
mod schedule_file;
mod state;
mod stats;
mod tally;
mod watched;

pub use admin::Operators;
pub use certificate::ServerCertificate;
pub use directory::{BoundDirectory, Directory, DirectoryBuilder};
pub use error::Error;
pub use psk_master_pem::{PSK_MASTER_LABEL, psk_master_from_pem, psk_master_to_pem};
pub use pssst_directory::jiff;
pub use pssst_support::WatchStatus;
pub use schedule::{NewSecrets, OptionalKind, Retirement, Schedule};
pub use schedule_file::{Generated, Rotated, ScheduleFile};
pub use stats::{DirectoryEvent, DirectoryStats, RenewalRefusal};
