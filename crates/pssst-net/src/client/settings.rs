//! Options of a client, and what follows from them.

use std::fmt;
use std::time::Duration;

use pssst::{Padding, PendingReply, PreSharedKey, PublicKey, ServerKey, Suite, SysRng};

use super::backoff::Retry;
use super::credentials::Credentials;
use crate::Error;
use crate::wiping::on_wiped_stack;

/// Length in bytes of the shortest packet of suite 0xf003.
const SHORTEST_LONG_PACKET: usize = Suite::XWingAes256GcmSiv.request_overhead(false);

/// The options of a client. They stay as they are, but for the credentials, which the sealer has
/// once the client is connected.
#[derive(Clone)]
pub(super) struct Settings {
    /// The key to begin with.
    pub(super) server_key: ServerKey,
    /// The credentials to begin with.
    pub(super) credentials: Option<Credentials>,
    /// Instead of the credentials' own.
    pub(super) psk: Option<PreSharedKey>,
    /// The suite to begin with, instead of the key's own.
    pub(super) suite: Option<Suite>,
    /// Instead of the suite's own.
    pub(super) padding: Option<Padding>,
    pub(super) wants_fresh_replies: bool,
    /// The server's key for suite 0xf002 to begin with, for paths that do not carry 0xf003.
    pub(super) fallback: Option<PublicKey>,
    pub(super) timeout: Duration,
    pub(super) retry: Retry,
    pub(super) max_in_flight: usize,
    pub(super) max_datagram: usize,
}

/// Seals requests for one key of the server.
pub(super) struct Sealer {
    pub(super) server_key: ServerKey,
    /// Kept for a change of the server's key. Wiped with the last sealer that has them.
    pub(super) credentials: Option<Credentials>,
    pub(super) client: pssst::Client,
    /// Kept for a change of the server's key.
    pub(super) fallback_key: Option<PublicKey>,
    /// Seals short packets, under suite 0xf002 and with the pre-shared key.
    fallback: Option<pssst::Client>,
}

impl Settings {
    pub(super) fn new(server_key: ServerKey) -> Self {
        Self {
            server_key,
            credentials: None,
            psk: None,
            suite: None,
            padding: None,
            wants_fresh_replies: false,
            fallback: None,
            timeout: Duration::from_secs(10),
            retry: Retry::default(),
            max_in_flight: 1024,
            max_datagram: 1232,
        }
    }

    /// Takes the credentials to begin with: nothing else keeps them.
    pub(super) fn take_credentials(&mut self) -> Result<Option<Credentials>, Error> {
        match (self.credentials.take(), self.psk.take()) {
            (Some(credentials), Some(psk)) => Ok(Some(credentials.with_psk(psk))),
            // A pre-shared key belongs to an identity.
            (None, Some(_)) => Err(pssst::Error::UnsupportedOption.into()),
            (credentials, None) => Ok(credentials),
        }
    }

    /// Returns what seals for this key of the server, under this suite or the key's own, with these
    /// credentials, and with this key to fall back to.
    pub(super) fn sealer(
        &self,
        server_key: ServerKey,
        suite: Option<Suite>,
        credentials: Option<Credentials>,
        fallback_key: Option<PublicKey>,
    ) -> Result<Sealer, Error> {
        let client = self.client(&server_key, suite, credentials.as_ref(), self.padding)?;
        let fallback = match &fallback_key {
            // The short packets are as safe from a quantum computer as the pre-shared key is.
            Some(_) if credentials.as_ref().is_none_or(|credentials| credentials.psk().is_none()) => {
                return Err(pssst::Error::UnsupportedOption.into());
            }
            Some(key) if client.suite() == Suite::XWingAes256GcmSiv => {
                Some(self.client(&ServerKey::from(*key), None, credentials.as_ref(), self.fallback_padding())?)
            }
            _ => None,
        };
        Ok(Sealer { server_key, credentials, client, fallback_key, fallback })
    }

    /// Returns the rule for the length of short packets: they must not be as long as long ones.
    fn fallback_padding(&self) -> Option<Padding> {
        self.padding.filter(|padding| !matches!(padding, Padding::ToLength(len) if *len >= SHORTEST_LONG_PACKET))
    }

    fn client(
        &self,
        server_key: &ServerKey,
        suite: Option<Suite>,
        credentials: Option<&Credentials>,
        padding: Option<Padding>,
    ) -> Result<pssst::Client, Error> {
        let mut client = pssst::Client::new(server_key.clone())?;
        if let Some(suite) = suite {
            client = client.with_suite(suite)?;
        }
        if let Some(credentials) = credentials {
            client = credentials.identify(client, server_key)?;
            if let Some(psk) = credentials.psk() {
                client = client.with_psk(psk.clone())?;
            }
        }
        if let Some(padding) = padding {
            client = client.with_padding(padding)?;
        }
        if self.wants_fresh_replies {
            client = client.with_fresh_replies()?;
        }
        Ok(client)
    }
}

impl Sealer {
    /// Returns whether there are short packets to fall back to.
    pub(super) const fn has_fallback(&self) -> bool {
        self.fallback.is_some()
    }

    /// Returns whether a packet of this client has at most so many bytes.
    pub(super) fn fits(&self, max_packet_len: usize) -> bool {
        self.client.packet_len(0).is_ok_and(|len| len <= max_packet_len)
    }

    /// Checks that datagrams of at most so many bytes have room for packets of this client.
    pub(super) fn check_max_datagram(&self, limit: usize) -> Result<(), Error> {
        if self.client.suite() != Suite::XWingAes256GcmSiv || self.has_fallback() || self.fits(limit) {
            return Ok(());
        }
        Err(Error::MaxDatagramTooSmall { needed: self.client.packet_len(0)?, limit })
    }

    /// Returns what seals long packets, or short ones if there are such.
    pub(super) fn client(&self, is_short: bool) -> &pssst::Client {
        self.fallback.as_ref().filter(|_| is_short).unwrap_or(&self.client)
    }

    /// Seals a message. What opens the reply never moves in memory, and the stack keeps no copy of
    /// it.
    pub(super) fn seal(&self, message: &[u8], is_short: bool) -> Result<(Vec<u8>, Box<PendingReply>), Error> {
        on_wiped_stack(|| {
            let (packet, pending) = self.client(is_short).seal_request_to_vec(&mut SysRng, message)?;
            Ok((packet, Box::new(pending)))
        })
    }
}

/// Without secrets.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("server_key", &self.server_key)
            .field("credentials", &self.credentials)
            .field("has_psk", &self.psk.is_some())
            .field("suite", &self.suite)
            .field("padding", &self.padding)
            .field("wants_fresh_replies", &self.wants_fresh_replies)
            .field("fallback", &self.fallback)
            .field("timeout", &self.timeout)
            .field("retry", &self.retry)
            .field("max_in_flight", &self.max_in_flight)
            .field("max_datagram", &self.max_datagram)
            .finish_non_exhaustive()
    }
}
