//! Decisions of a server's owner: suites, policy, pre-shared keys, padding.

use x25519_batch::X25519;

use super::{FreshReplies, ReplyPadding, Server};
use crate::packet::Header;
use crate::{Error, PskMaster, Refusal, Suite, SuiteSet};

impl Server {
    /// The most masters of pre-shared keys: the current one, and one before or after it.
    pub const MAX_PSK_MASTERS: usize = 2;

    /// Returns the server with these suites: it accepts no others. [R-04]
    #[must_use]
    pub fn with_suites(self, suites: SuiteSet) -> Self {
        Self { suites, ..self }
    }

    /// Returns a server that refuses anonymous requests, by their flags and so before they cost
    /// anything. [R-33]
    ///
    /// ```
    /// use pssst::{Client, Refusal, SecretKey, Server, SysRng};
    ///
    /// let secret = SecretKey::generate(&mut SysRng)?;
    /// let client = Client::new(secret.public_key())?;
    /// let server = Server::new(secret).authenticated_only();
    ///
    /// let (mut packet, _) = client.seal_request_to_vec(&mut SysRng, b"ping")?;
    /// assert_eq!(server.open_request(&mut packet).err(), Some(Refusal::AnonymousRefused));
    /// # Ok::<(), pssst::Error>(())
    /// ```
    #[must_use]
    pub fn authenticated_only(self) -> Self {
        Self { is_authenticated_only: true, ..self }
    }

    /// Returns the server with this rule for fresh replies. Requests get what they ask for by
    /// default.
    #[must_use]
    pub fn with_fresh_replies(self, fresh_replies: FreshReplies) -> Self {
        Self { fresh_replies, ..self }
    }

    /// Returns the server with this rule for the length of replies.
    #[must_use]
    pub fn with_reply_padding(self, reply_padding: ReplyPadding) -> Self {
        Self { reply_padding, ..self }
    }

    /// Returns the server with these masters of pre-shared keys, the current one first: each
    /// request that is made with a pre-shared key is tried with them in order. Without one, such
    /// requests are refused. [R-44]
    ///
    /// # Errors
    /// [`Error::KeyringFull`] for more than [`Server::MAX_PSK_MASTERS`].
    pub fn with_psk_masters(mut self, masters: impl IntoIterator<Item = PskMaster>) -> Result<Self, Error> {
        self.psk_masters = [const { None }; Self::MAX_PSK_MASTERS];
        for (index, master) in masters.into_iter().enumerate() {
            *self.psk_masters.get_mut(index).ok_or(Error::KeyringFull)? = Some(master);
        }
        Ok(self)
    }

    /// Returns the server with this X25519 backend instead of the machine's best: for tests, for
    /// comparisons, and for machines that must do without some instructions. The outcomes do not
    /// depend on it.
    ///
    /// ```
    /// use pssst::{SecretKey, Server, SysRng, X25519, X25519Backend};
    ///
    /// let mut server = Server::new(SecretKey::generate(&mut SysRng)?);
    /// if let Some(x25519) = X25519::with_backend(X25519Backend::Avx2) {
    ///     server = server.with_x25519(x25519);
    /// }
    /// # Ok::<(), pssst::Error>(())
    /// ```
    #[must_use]
    pub fn with_x25519(self, x25519: X25519) -> Self {
        Self { x25519, ..self }
    }

    /// Returns the suites that the server accepts: those that are switched on, that it has a key
    /// for, and that its rule for fresh replies leaves.
    pub fn suites(&self) -> SuiteSet {
        self.suites.iter().filter(|suite| self.accepts(*suite)).collect()
    }

    pub(super) fn accepts(&self, suite: Suite) -> bool {
        let is_left = self.fresh_replies != FreshReplies::Require || suite.has_claim();
        self.suites.contains(suite) && self.keyring.key(suite, 0).is_some() && is_left
    }

    /// Refuses what the owner does not serve, by the header alone. [R-33] [R-39] [R-44]
    pub(super) fn admit(&self, header: Header) -> Result<(), Refusal> {
        if self.is_authenticated_only && !header.has_client_auth() {
            return Err(Refusal::AnonymousRefused);
        }
        match self.fresh_replies {
            FreshReplies::Refuse if header.is_fresh() => return Err(Refusal::FreshRefused),
            FreshReplies::Require if !header.is_fresh() => return Err(Refusal::FreshRequired),
            _ => {}
        }
        if header.has_psk() && self.psk_masters().next().is_none() {
            return Err(Refusal::DecryptFailed);
        }
        Ok(())
    }

    pub(super) fn psk_masters(&self) -> impl Iterator<Item = &PskMaster> {
        self.psk_masters.iter().flatten()
    }
}
