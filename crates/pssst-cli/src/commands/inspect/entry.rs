//! Facts about a packet, and about all packets of a capture.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use pssst::OVERHEAD;
use pssst_identity::jiff::Timestamp;
use serde::{Serialize, Serializer};

use pssst_inspect::Event;
use pssst_inspect::Opened;
use pssst_inspect::{Dissection, Kind};

/// A packet with everything known about it. Serialized, it is one flat object.
#[derive(Serialize)]
pub(super) struct Entry {
    #[serde(flatten)]
    pub(super) place: Option<Place>,
    #[serde(flatten)]
    pub(super) dissection: Dissection,
    pub(super) opened: Option<Opened>,
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
        let is_short = dissection.length < OVERHEAD;
        let has_other_header = dissection.flags.is_some()
            && (dissection.reserved_flags != Some(0) || dissection.suite.is_some() && dissection.suite_name.is_none());
        self.understood += u64::from(!is_short && !has_other_header);
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
