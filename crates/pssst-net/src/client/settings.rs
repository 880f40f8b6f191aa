//! Options of a client, and what follows from them.

use std::fmt;
use std::time::Duration;

use pssst::{Padding, PendingReply, PreSharedKey, SecretKey, ServerKey, Suite, SysRng};

use super::backoff::Retry;
use crate::Error;
use crate::wiping::on_wiped_stack;

/// The options of a client, which stay as they are.
#[derive(Clone)]
pub(super) struct Settings {
    /// The key to begin with.
    pub(super) server_key: ServerKey,
    /// Kept for a change of the server's key. Wiped when the client is dropped.
    pub(super) identity: Option<SecretKey>,
    /// Wiped when the client is dropped.
    pub(super) psk: Option<PreSharedKey>,
    /// The suite to begin with, instead of the key's own.
    pub(super) suite: Option<Suite>,
    /// Instead of the suite's own.
    pub(super) padding: Option<Padding>,
    pub(super) wants_fresh_replies: bool,
    pub(super) timeout: Duration,
    pub(super) retry: Retry,
    pub(super) max_in_flight: usize,
    pub(super) max_datagram: usize,
}

/// Seals requests for one key of the server.
pub(super) struct Sealer {
    pub(super) server_key: ServerKey,
    pub(super) client: pssst::Client,
}

impl Settings {
    pub(super) fn new(server_key: ServerKey) -> Self {
        Self {
            server_key,
            identity: None,
            psk: None,
            suite: None,
            padding: None,
            wants_fresh_replies: false,
            timeout: Duration::from_secs(10),
            retry: Retry::default(),
            max_in_flight: 1024,
            max_datagram: 1232,
        }
    }

    /// Returns what seals for this key of the server, under this suite or the key's own.
    pub(super) fn sealer(&self, server_key: ServerKey, suite: Option<Suite>) -> Result<Sealer, Error> {
        let mut client = pssst::Client::new(server_key.clone())?;
        if let Some(suite) = suite {
            client = client.with_suite(suite)?;
        }
        if let Some(identity) = &self.identity {
            client = client.with_identity(identity)?;
        }
        if let Some(psk) = &self.psk {
            client = client.with_psk(psk.clone())?;
        }
        if let Some(padding) = self.padding {
            client = client.with_padding(padding)?;
        }
        if self.wants_fresh_replies {
            client = client.with_fresh_replies()?;
        }
        Ok(Sealer { server_key, client })
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
            .field("has_psk", &self.psk.is_some())
            .field("padding", &self.padding)
            .field("wants_fresh_replies", &self.wants_fresh_replies)
            .field("timeout", &self.timeout)
            .field("retry", &self.retry)
            .field("max_in_flight", &self.max_in_flight)
            .field("max_datagram", &self.max_datagram)
            .finish_non_exhaustive()
    }
}
