//! The operator's half of the directory: the keys of a pool to its clients over TLS 1.3, enrolment
//! of devices, and an API and pages for operators; and the schedule of a pool's secret keys, which
//! servers follow as well.
//!
//! The device's half is the crate [`pssst_directory`]. `docs/directory.md` in the repository tells
//! how it is run.

mod admin;
mod certificate;
mod directory;
mod error;
mod followed;
mod headers;
mod limits;
mod peer;
mod public;
mod schedule;
mod schedule_file;
mod state;
mod stats;

pub use admin::Operators;
pub use certificate::ServerCertificate;
pub use directory::{BoundDirectory, Directory, DirectoryBuilder};
pub use error::Error;
pub use pssst_directory::jiff;
pub use schedule::Schedule;
pub use schedule_file::ScheduleFile;
pub use stats::{DirectoryEvent, DirectoryStats};
