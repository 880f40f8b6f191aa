//! The device's half of the directory: it gives clients the current server keys, and enrols the
//! keys of devices.
//!
//! PSSST itself does not distribute keys. A pool's directory serves them over TLS 1.3; a client
//! fetches them periodically, and a new device enrols its key there with a one-time token. An
//! enrolled client renews there what it got at its enrolment: its pre-shared key, and what it
//! shares with the server's keys if it does not hold its secret key. Between two fetches only
//! datagrams of PSSST are needed.
//!
//! ```no_run
//! use pssst_directory::DirectoryClient;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let directory = DirectoryClient::builder("https://keys.example.com").cache("/var/lib/sensor/keys.json").build()?;
//! let document = directory.fetch().await?;
//! println!("the server's key is {}, valid until {:?}", directory.server_key()?, document.keys[0].not_after);
//! # Ok(()) }
//! ```
//!
//! # What it is not
//!
//! * **Not a server**: that is the crate `pssst-directory-server`, which a device never compiles.
//! * **Not a public-key infrastructure**: the directory is known by the system's authorities, by an
//!   authority in a file, or by the [`Pin`] of its certificate's key.

mod client;
mod clock;
mod enrollment;
mod error;
mod json;
mod key_set;
mod master_id;
mod pin;
mod psk;
mod refusal;
mod renewal;

pub use client::{DirectoryClient, DirectoryClientBuilder, FetchStatus};
pub use clock::Clock;
pub use enrollment::{EnrollmentRequest, EnrollmentResponse, PURPOSE, Problem};
pub use error::Error;
pub use jiff;
pub use key_set::{CurrentKey, KeySet, KeyState, PublishedKey, PublishedMaster};
pub use master_id::MasterId;
pub use pin::Pin;
pub use psk::IssuedPsk;
pub use refusal::Refusal;
pub use renewal::{IssuedSecret, RenewalRequest, Renewed};
