//! Facts about a packet, and about all packets of a capture.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use pssst_identity::jiff::Timestamp;
use serde::{Serialize, Serializer};

use pssst_inspect::{Contents, Dissection, Event, Kind};

/// A packet with everything known about it. Serialized, it is one flat object.
#[derive(Serialize)]
pub(super) struct Entry {
    #[serde(flatten)]
    pub(super) place: Option<Place>,
    #[serde(flatten)]
    pub(super) dissection: Dissection,
    #[serde(flatten)]
    pub(super) contents: Contents,
    pub(super) events: Vec<Event>,
}

/// Where a packet was seen in a capture.
#[derive(Clone, Copy, Serialize)]
pub(super) struct Place {
    /// Of the frame, from 1.
    pub(super) number: u64,
    #[serde(serialize_with = "nanoseconds")]
    pub(super) time: Option<Timestamp>,
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
    /// Whether it is the first fragment of a datagram, and so incomplete.
    pub(super) fragment: bool,
}

/// What there was in a capture.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) frames: u64,
    pub(super) packets: u64,
    pub(super) requests: u64,
    pub(super) replies: u64,
    pub(super) later_fragments: u64,
    pub(super) dangers: u64,
    /// Packets that may be of PSSST by their length and by what was captured of their header.
    pub(super) understood: u64,
    /// Frames that cannot be read, by their link type.
    pub(super) unknown_links: BTreeMap<i32, u64>,
    /// Blocks that cannot be read, by their type.
    pub(super) unknown_blocks: BTreeMap<u32, u64>,
}

impl Counts {
    pub(super) fn packet(&mut self, dissection: &Dissection, events: &[Event]) {
        self.packets += 1;
        self.understood += u64::from(dissection.may_be_packet());
        match dissection.kind {
            Some(Kind::Request) => self.requests += 1,
            Some(Kind::Reply) => self.replies += 1,
            None => {}
        }
        let is_danger = |event: &&Event| matches!(event, Event::DifferentReplies { danger: true, .. });
        self.dangers += events.iter().filter(is_danger).count() as u64;
    }
}

#[expect(clippy::ref_option, reason = "serde hands over the field like this")]
fn nanoseconds<S: Serializer>(time: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    time.map(|time| format!("{time:.9}")).serialize(serializer)
}
