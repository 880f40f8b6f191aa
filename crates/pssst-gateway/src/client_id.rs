//! Clients as admission control tells them apart, and the share of each in the upstream.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex};

use pssst_net::Request;
use pssst_net::pssst::PublicKey;
use pssst_support::sync::lock;

/// Concurrent requests that a client may have for each slot that is free. One client alone gets two
/// thirds of the slots, and any number of greedy clients leave some to the others.
const SHARE_OF_FREE: usize = 2;

/// A client: its key, or, if it is anonymous, its address (of IPv6 the first 64 bits).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ClientId {
    Key(PublicKey),
    Address(IpAddr),
}

impl ClientId {
    pub(crate) fn of(request: &Request) -> Self {
        match (request.client_key(), request.peer().ip().to_canonical()) {
            (Some(key), _) => Self::Key(*key),
            (None, IpAddr::V6(address)) => {
                Self::Address(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into())
            }
            (None, address) => Self::Address(address),
        }
    }
}

/// The concurrent requests of each client. Only clients with any are in the table, so it is as
/// small as the limit on all of them.
#[derive(Debug, Default)]
pub(crate) struct Shares(Mutex<HashMap<ClientId, usize>>);

/// One concurrent request of a client, until it is dropped.
pub(crate) struct Share {
    shares: Arc<Shares>,
    client: ClientId,
}

impl Shares {
    /// Takes a place for a client while this many slots are free, unless it has its share.
    pub(crate) fn take(self: &Arc<Self>, client: ClientId, free: usize) -> Option<Share> {
        let mut shares = lock(&self.0);
        let held = shares.get(&client).copied().unwrap_or(0);
        if held >= free.saturating_mul(SHARE_OF_FREE) {
            return None;
        }
        shares.insert(client, held + 1);
        Some(Share { shares: Arc::clone(self), client })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut shares = lock(&self.shares.0);
        match shares.get_mut(&self.client) {
            Some(held) if *held > 1 => *held -= 1,
            _ => drop(shares.remove(&self.client)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn greedy_clients_leave_slots_to_others() {
        const SLOTS: usize = 90;
        let shares = Arc::<Shares>::default();
        let mut held: Vec<Vec<Share>> = Vec::new();
        for greedy in 0..4_u8 {
            let client = ClientId::Address([192, 0, 2, greedy].into());
            let mut taken = Vec::new();
            loop {
                let used = held.iter().map(Vec::len).sum::<usize>() + taken.len();
                let Some(share) = shares.take(client, SLOTS - used) else { break };
                taken.push(share);
            }
            held.push(taken);
        }
        assert_eq!(held.iter().map(Vec::len).collect::<Vec<_>>(), [60, 20, 7, 2]);
        let modest = shares.take(ClientId::Address([192, 0, 2, 9].into()), 1);
        assert!(modest.is_some());
        drop((held, modest));
        assert!(lock(&shares.0).is_empty());
    }
}
