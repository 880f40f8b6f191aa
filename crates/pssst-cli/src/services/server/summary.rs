//! What became of the packets, in a line.

use std::fmt;

use pssst_identity::AccessStats;
use pssst_net::Stats;

use crate::args::format::nonzero_counts;

/// Counters of a server in a line, with the causes of refused clients.
pub(super) struct Summary {
    pub(super) stats: Stats,
    pub(super) clients: Option<AccessStats>,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stats, clients } = self;
        let outcomes = nonzero_counts(stats.outcomes().map(|(outcome, count)| (outcome.name(), count)));
        write!(f, "received {}{outcomes}", stats.received)?;
        if let Some(AccessStats { unknown, suspended, revoked, expired, psk_required, .. }) = *clients {
            let causes = [
                ("clients_unknown", unknown),
                ("clients_suspended", suspended),
                ("clients_revoked", revoked),
                ("clients_expired", expired),
                ("clients_psk_required", psk_required),
            ];
            f.write_str(&nonzero_counts(causes))?;
        }
        let network =
            [("receive_errors", stats.receive_errors), ("kernel_drops", stats.kernel_drops.unwrap_or_default())];
        f.write_str(&nonzero_counts(network))
    }
}
