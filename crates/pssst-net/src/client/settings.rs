//! Options of a client, and what follows from them.

use std::fmt;
use std::time::Duration;

use pssst::{PendingReply, PublicKey, SecretKey, Suite, SysRng};

use super::backoff::Retry;
use crate::Error;
use crate::wiping::on_wiped_stack;

/// The options of a client, which stay as they are.
#[derive(Clone)]
pub(super) struct Settings {
    /// The key to begin with.
    pub(super) server_key: PublicKey,
    /// Kept for a change of the server's key. Wiped when the client is dropped.
    pub(super) identity: Option<SecretKey>,
    /// The suite to begin with.
    pub(super) suite: Suite,
    pub(super) timeout: Duration,
    pub(super) retry: Retry,
    pub(super) max_in_flight: usize,
    pub(super) max_datagram: usize,
}

/// Seals requests for one key of the server.
pub(super) struct Sealer {
    pub(super) server_key: PublicKey,
    pub(super) suite: Suite,
    pub(super) client: pssst::Client,
}

impl Settings {
    pub(super) fn new(server_key: PublicKey) -> Self {
        Self {
            server_key,
            identity: None,
            suite: Suite::default(),
            timeout: Duration::from_secs(10),
            retry: Retry::default(),
            max_in_flight: 1024,
            max_datagram: 1232,
        }
    }

    /// Returns what seals for this key of the server, under this suite.
    pub(super) fn sealer(&self, server_key: PublicKey, suite: Suite) -> Result<Sealer, Error> {
        let client = pssst::Client::new(server_key)?.with_suite(suite);
        let client = match &self.identity {
            Some(identity) => client.with_identity(identity)?,
            None => client,
        };
        Ok(Sealer { server_key, suite, client })
    }
}

impl Sealer {
    /// Seals a message. What opens the reply never moves in memory, and the stack keeps no copy of
    /// it.
    pub(super) fn seal(&self, message: &[u8]) -> Result<(Vec<u8>, Box<PendingReply>), Error> {
        on_wiped_stack(|| {
            let (packet, pending) = self.client.seal_request_to_vec(&mut SysRng, message)?;
            Ok((packet, Box::new(pending)))
        })
    }
}

/// Without secrets.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("server_key", &self.server_key)
            .field("client_key", &self.identity.as_ref().map(SecretKey::public_key))
            .field("suite", &self.suite)
            .field("timeout", &self.timeout)
            .field("retry", &self.retry)
            .field("max_in_flight", &self.max_in_flight)
            .field("max_datagram", &self.max_datagram)
            .finish_non_exhaustive()
    }
}
