//! The state of a pool at one glance, for the page and the API.

use jiff::Timestamp;
use pssst_directory::{PublishedKey, PublishedMaster};
use pssst_identity::{ClientTotals, IdentityStore, TokenInfo};

use super::access::Operator;
use super::failure::Failure;
use super::views::{AuditView, RefusedView, ServerView};
use crate::state::Shared;

/// Refused clients and entries of the audit log that are shown.
const SHOWN: usize = 5;
/// Tokens that are counted.
pub(super) const MAX_TOKENS: usize = 1000;

pub(super) struct Overview {
    pub(super) now: Timestamp,
    pub(super) clients: ClientTotals,
    pub(super) servers: Vec<ServerView>,
    pub(super) keys: Vec<PublishedKey>,
    pub(super) psk_masters: Vec<PublishedMaster>,
    /// When the next rotation can start, if not now.
    pub(super) next_rotation: Option<Timestamp>,
    /// The fault of the file of keys.
    pub(super) key_fault: Option<String>,
    /// Those that can be used, up to [`MAX_TOKENS`].
    pub(super) tokens: Vec<TokenInfo>,
    pub(super) certificate_expires: Timestamp,
    pub(super) refused: Vec<RefusedView>,
    pub(super) audit: Vec<AuditView>,
}

impl Overview {
    pub(super) async fn read(shared: &Shared, operator: &Operator) -> Result<Self, Failure> {
        let store = &operator.store;
        let (clients, servers, tokens, refused, audit) = tokio::try_join!(
            store.totals(),
            store.servers(),
            store.tokens(true, MAX_TOKENS),
            store.refused(SHOWN),
            store.audit_log(None, SHOWN),
        )?;
        let (schedule, now) = (shared.schedule.load(), shared.schedule.now());
        Ok(Self {
            now,
            clients,
            servers: servers.into_iter().map(Into::into).collect(),
            keys: schedule.keys(now, &shared.suites).collect(),
            psk_masters: schedule.psk_masters(now).collect(),
            next_rotation: schedule.next_rotation(now),
            key_fault: shared.schedule.error(),
            tokens,
            certificate_expires: shared.certificate.expiry(),
            refused: refused.into_iter().map(Into::into).collect(),
            audit: audit.into_iter().map(Into::into).collect(),
        })
    }

    pub(super) fn servers_alive(&self) -> usize {
        self.servers.iter().filter(|server| server.is_alive).count()
    }
}
