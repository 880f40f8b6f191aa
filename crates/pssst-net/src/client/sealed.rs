//! One message, sealed for every IP address that it is sent from.

use std::net::IpAddr;

use arc_swap::ArcSwap;

use super::pending::Registered;
use super::settings::Sealer;
use crate::Error;

/// A message and the packet that carries it.
pub(super) struct SealedMessage<'s> {
    sealer: &'s ArcSwap<Sealer>,
    message: &'s [u8],
    /// Takes the replies, if one is wanted.
    registered: Option<Registered<'s>>,
    packet: Vec<u8>,
    /// Sealed for a path that does not carry long packets.
    is_short: bool,
    /// The IP address that sent the packet.
    sent_from: Option<IpAddr>,
}

impl<'s> SealedMessage<'s> {
    pub(super) fn new(
        sealer: &'s ArcSwap<Sealer>,
        message: &'s [u8],
        registered: Option<Registered<'s>>,
        is_short: bool,
    ) -> Result<Self, Error> {
        let mut this = Self { sealer, message, registered, packet: Vec::new(), is_short, sent_from: None };
        this.seal()?;
        Ok(this)
    }

    /// Returns the packet to send from a socket with this IP address: the same bytes as before, or,
    /// if another address sent those, new ones.
    pub(super) fn packet_from(&mut self, local: Option<IpAddr>) -> Result<&[u8], Error> {
        if self.sent_from.is_some_and(|before| local != Some(before)) {
            self.seal()?;
            self.sent_from = None;
        }
        Ok(&self.packet)
    }

    /// Returns the length of the packet.
    pub(super) const fn packet_len(&self) -> usize {
        self.packet.len()
    }

    /// Returns whether it is sealed for a path that does not carry long packets.
    pub(super) const fn is_short(&self) -> bool {
        self.is_short
    }

    /// Goes over to short packets, if the client has such. True if this is a change.
    pub(super) fn shorten(&mut self) -> Result<bool, Error> {
        if self.is_short || !self.sealer.load().has_fallback() {
            return Ok(false);
        }
        self.is_short = true;
        self.sent_from = None;
        self.seal()?;
        Ok(true)
    }

    /// Records that the packet was sent from this IP address.
    pub(super) const fn set_sent_from(&mut self, local: Option<IpAddr>) {
        self.sent_from = local;
    }

    fn seal(&mut self) -> Result<(), Error> {
        let (packet, pending) = self.sealer.load().seal(self.message, self.is_short)?;
        self.packet = packet;
        if let Some(registered) = &mut self.registered {
            registered.add(pending);
        }
        Ok(())
    }
}
