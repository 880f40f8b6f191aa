//! The heavier channel of PSSST: how current server keys reach clients and servers, and client keys reach the pool.

mod atomic_file;
mod client;
mod clock;
mod document;
mod enrollment;
mod error;
mod pin;
mod refusal;
mod schedule;
mod schedule_file;
mod secret_file;
mod service;

pub use client::{DirectoryClient, DirectoryClientBuilder};
pub use clock::Clock;
pub use document::{KeyDocument, KeyState, PublishedKey};
pub use enrollment::{EnrollmentRequest, EnrollmentResponse, PURPOSE, Problem};
pub use error::Error;
pub use jiff;
pub use pin::Pin;
pub use refusal::Refusal;
pub use schedule::Schedule;
pub use schedule_file::ScheduleFile;
pub use service::{
    BoundDirectory, Directory, DirectoryBuilder, DirectoryEvent, DirectoryStats, Operators, ServerCertificate,
};
