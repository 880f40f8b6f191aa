//! Reads captures of PSSST packets: the frames of a capture, the fields of a packet, its contents
//! where a secret key is given, and the packets that belong to one transaction.
//!
//! It opens no files and has no command line; `pssst inspect` does.
//!
//! ```
//! use pssst_inspect::{Dissection, Verdict};
//!
//! // A datagram of four bytes: too short for a packet.
//! let dissection = Dissection::of(&[0x80, 0x00, 0x00, 0x01], 4);
//! assert!(matches!(dissection.server, Verdict::Refuses(_)));
//! ```
//!
//! # What it is not
//!
//! * **Not a decryptor for others**: without a server's secret key it shows what anyone on the path
//!   sees, and no more.
//! * **Not a sniffer**: it reads captures that `tcpdump` or Wireshark made.

#![allow(clippy::exhaustive_structs, reason = "internal to the program, and changes in any version")]

mod capture;
mod decryptor;
mod dissection;
mod frame;
mod transactions;

pub use capture::{Error, Frame, Item, each_item};
pub use decryptor::{Contents, Decryptor, Opened, Unopened};
pub use dissection::{Dissection, Kind, PointEncoding, Verdict};
pub use frame::{Content, Datagram, content};
pub use transactions::{Event, Observation, Transactions};
