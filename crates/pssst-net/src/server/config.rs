//! The part of a server that may change while it runs.

use std::fmt;
use std::sync::Arc;

use pssst::{ClientCheck, KeyCheck, Keyring, PublicKey, ServerKey, Suite};

use super::Handler;
use crate::rate_limit::{RateLimit, RateLimiter};
use crate::udp::MAX_DATAGRAM;

/// Everything of a server that may change while it runs: keys and suites, client check, limits,
/// handler.
///
/// It is replaced as one, by [`Server::set_config`](super::Server::set_config): each packet is
/// served under one configuration as a whole. A copy is cheap.
///
/// ```
/// use pssst_net::pssst::{KeyCheck, PublicKey, SecretKey, SysRng};
/// use pssst_net::{Handler, RateLimit, Reply, Request, ServerConfig};
///
/// let enrolled = SecretKey::generate(&mut SysRng)?.public_key();
/// let handler = Handler::from_fn(|request: Request<&[u8]>| Some(Reply::copy_from(request.message())));
/// let config = ServerConfig::new(SecretKey::generate(&mut SysRng)?, handler)
///     .client_check(move |key: &PublicKey| if *key == enrolled { KeyCheck::Accept } else { KeyCheck::RejectUnknown })
///     .rate_limit(RateLimit::new(1_000));
/// # let _ = config;
/// # Ok::<(), pssst_net::pssst::Error>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct ServerConfig {
    server: Arc<pssst::Server>,
    /// The public keys of `server`, in the order of its keyring.
    server_keys: Arc<[Arc<ServerKey>]>,
    client_check: Arc<dyn ClientCheck + Send + Sync>,
    undecrypted: Option<Arc<OnUndecrypted>>,
    rate_limit: Option<RateLimit>,
    client_rate_limit: Option<RateLimit>,
    amplification: Amplification,
    handler: Handler,
}

impl ServerConfig {
    /// Returns a configuration with these keys, that is a [`SecretKey`](pssst::SecretKey), a
    /// [`Keyring`](pssst::Keyring) or, to choose suites, a [`pssst::Server`]; and this handler.
    ///
    /// Every valid client key is served, no rate is limited, and replies are at most three times as
    /// long as their requests.
    pub fn new(keys: impl Into<pssst::Server>, handler: Handler) -> Self {
        let server = keys.into();
        Self {
            server_keys: server_keys(&server),
            server: Arc::new(server),
            client_check: Arc::new(|_: &PublicKey| KeyCheck::Validate),
            undecrypted: None,
            rate_limit: None,
            client_rate_limit: None,
            amplification: Amplification { anonymous: Some(3), authenticated: Some(3) },
            handler,
        }
    }

    /// Replaces the keys, and what else a [`pssst::Server`] has. The old keys are wiped as soon as
    /// no worker uses them.
    pub fn keys(self, keys: impl Into<pssst::Server>) -> Self {
        let server = keys.into();
        Self { server_keys: server_keys(&server), server: Arc::new(server), ..self }
    }

    /// Replaces the handler. Requests that the old one has begun are finished by it.
    pub fn handler(self, handler: Handler) -> Self {
        Self { handler, ..self }
    }

    /// Sets the decision on client keys, as in [`pssst::Server::open_request_with`]: ask a list of
    /// enrolled clients here. By default every valid key is served. If it panics, the request is
    /// refused as one of an unknown client.
    pub fn client_check(self, check: impl ClientCheck + Send + Sync + 'static) -> Self {
        Self { client_check: Arc::new(check), ..self }
    }

    /// Shows each packet that did not decrypt to `offer`, as it was received, after its batch was
    /// served: for a sample that is examined elsewhere. Nothing is shown by default.
    ///
    /// With a table of shared secrets ([`ClientCheck::look_up`]) a client that is not enrolled
    /// cannot be told from a forgery here; another thread can, with the true secret. `offer` is
    /// called on the worker, and must not wait.
    pub fn on_undecrypted(self, offer: impl Fn(&[u8]) + Send + Sync + 'static) -> Self {
        Self { undecrypted: Some(Arc::new(offer)), ..self }
    }

    /// Sets how many times longer a reply datagram may be than its request, 3 by default; `None`
    /// for no limit. Longer replies are not sent, and are counted.
    ///
    /// The sender's address of a request can be forged, so a server answers any address that an
    /// attacker points it at. Three times is what QUIC allows towards addresses that are not
    /// validated (RFC 9000, section 8.1).
    pub fn max_amplification(mut self, times: impl Into<Option<u32>>) -> Self {
        self.amplification.anonymous = times.into();
        self
    }

    /// Sets the limit of [`max_amplification`](Self::max_amplification) for authenticated clients,
    /// whose requests others can repeat, too. 3 by default.
    pub fn max_authenticated_amplification(mut self, times: impl Into<Option<u32>>) -> Self {
        self.amplification.authenticated = times.into();
        self
    }

    /// Limits the requests of each prefix of source addresses. Unlimited by default. A server that
    /// takes a configuration with the limit that it has keeps what it has counted; under another
    /// limit all sources begin anew.
    pub fn rate_limit(self, limit: impl Into<Option<RateLimit>>) -> Self {
        Self { rate_limit: limit.into(), ..self }
    }

    /// Limits the requests of each client that proved its key, wherever they come from. Unlimited
    /// by default. Unlike [`rate_limit`](Self::rate_limit) it costs the opening of a packet, and
    /// nobody can use up the limit of another client, except by repeating its packets.
    pub fn client_rate_limit(self, limit: impl Into<Option<RateLimit>>) -> Self {
        Self { client_rate_limit: limit.into(), ..self }
    }

    /// Returns the public keys: those of each kind in the order in which they are tried.
    pub fn server_keys(&self) -> Vec<ServerKey> {
        self.server_keys.iter().map(|key| (**key).clone()).collect()
    }
}

impl fmt::Debug for ServerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerConfig")
            .field("server", &self.server)
            .field("rate_limit", &self.rate_limit)
            .field("client_rate_limit", &self.client_rate_limit)
            .field("amplification", &self.amplification)
            .finish_non_exhaustive()
    }
}

fn server_keys(server: &pssst::Server) -> Arc<[Arc<ServerKey>]> {
    server.keyring().server_keys().map(Arc::new).collect()
}

/// Called with packets that did not decrypt.
pub(super) type OnUndecrypted = dyn Fn(&[u8]) + Send + Sync;

/// A configuration in use, with what belongs to it and outlives it under an equal limit.
pub(crate) struct ActiveConfig {
    pub(super) config: ServerConfig,
    rate_limiter: Option<Arc<RateLimiter>>,
    client_rate_limiter: Option<Arc<RateLimiter>>,
}

impl ActiveConfig {
    /// Makes a configuration ready for use after `previous`, if there was one.
    pub(super) fn new(config: ServerConfig, previous: Option<&Self>) -> Self {
        let limiter = |limit: Option<RateLimit>, kept: Option<&Arc<RateLimiter>>| {
            let kept = kept.filter(|kept| Some(kept.limit()) == limit).cloned();
            kept.or_else(|| limit.map(|limit| Arc::new(RateLimiter::new(limit))))
        };
        let rate_limiter = limiter(config.rate_limit, previous.and_then(|previous| previous.rate_limiter.as_ref()));
        let client_rate_limiter =
            limiter(config.client_rate_limit, previous.and_then(|previous| previous.client_rate_limiter.as_ref()));
        Self { config, rate_limiter, client_rate_limiter }
    }

    pub(super) fn server(&self) -> &pssst::Server {
        &self.config.server
    }

    pub(super) fn handler(&self) -> &Handler {
        &self.config.handler
    }

    pub(super) fn client_check(&self) -> &(dyn ClientCheck + Send + Sync) {
        &*self.config.client_check
    }

    pub(super) fn undecrypted(&self) -> Option<&OnUndecrypted> {
        self.config.undecrypted.as_deref()
    }

    pub(super) fn rate_limiter(&self) -> Option<&RateLimiter> {
        self.rate_limiter.as_deref()
    }

    pub(super) fn client_rate_limiter(&self) -> Option<&RateLimiter> {
        self.client_rate_limiter.as_deref()
    }

    /// Returns the length in bytes of the longest reply to a request of this length.
    pub(super) fn max_reply(&self, request_len: usize, is_authenticated: bool) -> usize {
        self.config.amplification.max_reply(request_len, is_authenticated)
    }

    /// Returns where the requests of the key at this place are counted: X-Wing keys come after all
    /// places of X25519 keys.
    pub(super) fn count_place(&self, index: usize) -> usize {
        let is_xwing = |key: &Arc<ServerKey>| key.has_suite(Suite::XWingAes256GcmSiv);
        match self.config.server_keys.iter().position(is_xwing) {
            Some(first) if index >= first => Keyring::CAPACITY + (index - first),
            _ => index,
        }
    }

    /// Returns the key at this place of the keyring.
    pub(super) fn key(&self, index: usize) -> Option<Arc<ServerKey>> {
        self.config.server_keys.get(index).cloned()
    }
}

/// Limits on the length of a reply, as multiples of its request's.
#[derive(Clone, Copy, Debug)]
struct Amplification {
    anonymous: Option<u32>,
    authenticated: Option<u32>,
}

impl Amplification {
    fn max_reply(self, request_len: usize, is_authenticated: bool) -> usize {
        let factor = if is_authenticated { self.authenticated } else { self.anonymous };
        let limit = factor.map_or(MAX_DATAGRAM, |factor| request_len.saturating_mul(factor as usize));
        limit.min(MAX_DATAGRAM)
    }
}

#[cfg(test)]
mod tests {
    use pssst::SecretKey;

    use super::*;

    #[test]
    fn replies_are_limited_by_their_requests_and_by_datagrams() {
        let amplification = Amplification { anonymous: Some(3), authenticated: None };
        assert_eq!(amplification.max_reply(60, false), 180);
        assert_eq!(amplification.max_reply(60, true), 65_507);
        assert_eq!(amplification.max_reply(usize::MAX, false), 65_507);
        let none = Amplification { anonymous: Some(0), ..amplification };
        assert_eq!(none.max_reply(60, false), 0);
    }

    #[test]
    fn an_equal_rate_limit_keeps_its_counts() {
        let config = ServerConfig::new(SecretKey::from_bytes([7; 32]), Handler::from_fn(|_| None));
        let source = std::net::IpAddr::from([192, 0, 2, 1]);
        let now = std::time::Instant::now();
        let admits = |active: &ActiveConfig| active.rate_limiter().is_none_or(|limiter| limiter.admits(source, now));

        let limited = ActiveConfig::new(config.clone().rate_limit(RateLimit::new(1)), None);
        assert!(admits(&limited) && !admits(&limited));
        assert!(!admits(&ActiveConfig::new(limited.config.clone(), Some(&limited))));
        assert!(admits(&ActiveConfig::new(config.clone().rate_limit(RateLimit::new(2)), Some(&limited))));
        assert!(admits(&ActiveConfig::new(config, Some(&limited))));
    }
}
