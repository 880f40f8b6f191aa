//! Captures into facts: the frames of a capture, the fields of a packet, what the server's key
//! shows of it, and which packets belong together. It reads no files and knows no command line;
//! `pssst inspect` does.

mod capture;
mod decryptor;
mod dissection;
mod frame;
mod transactions;

pub use capture::{Error, Frame, each_frame};
pub use decryptor::{Decryptor, Opened};
pub use dissection::{Dissection, Kind, PointEncoding, Verdict};
pub use frame::{Content, Datagram, content};
pub use transactions::{Event, Observation, Transactions};
