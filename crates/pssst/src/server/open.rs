//! Opening one request.
//!
//! [`Server::open_batch`] has the steps as pseudo-code, [`stage`](super::stage) each of them, and a
//! [batch](super::batch) takes each step for all of its packets before the next.

use super::stage::Stage;
use super::{KeyCheck, Request, Server};
use crate::{PublicKey, Refusal};

impl Server {
    /// Opens a request in place, with the full check of the client key, if there is one.
    ///
    /// # Errors
    /// In the order of the checks [R-22]: [`Refusal::Truncated`], [`Refusal::NotRequest`],
    /// [`Refusal::ReservedFlags`], [`Refusal::UnsupportedSuite`], [`Refusal::AnonymousRefused`],
    /// [`Refusal::WeakKey`], [`Refusal::DecryptFailed`], [`Refusal::Truncated`] again,
    /// [`Refusal::ClientAuthFailed`], [`Refusal::ClientKeyAlias`]. Drop the packet, count the
    /// cause, answer nothing. [R-29]
    pub fn open_request<'p>(&self, packet: &'p mut [u8]) -> Result<Request<'p>, Refusal> {
        self.open_request_with(packet, |_| KeyCheck::Validate)
    }

    /// Opens a request in place. `check` is called with the client key, if there is one and its
    /// proof holds.
    ///
    /// ```
    /// # use std::collections::HashSet;
    /// # use pssst::{Client, KeyCheck, SecretKey, Server, SysRng};
    /// # let secret = SecretKey::generate(&mut SysRng)?;
    /// # let identity = SecretKey::generate(&mut SysRng)?;
    /// # let client = Client::new(secret.public_key())?.with_identity(&identity)?;
    /// # let server = Server::new(secret);
    /// # let (mut packet, _) = client.seal_request_to_vec(&mut SysRng, b"")?;
    /// // Each key was validated when it was put here.
    /// let enrolled = HashSet::from([identity.public_key()]);
    ///
    /// let request = server.open_request_with(&mut packet, |key| {
    ///     if enrolled.contains(key) { KeyCheck::Accept } else { KeyCheck::RejectUnknown }
    /// })?;
    /// assert_eq!(request.client_key(), Some(&identity.public_key()));
    /// # Ok::<(), pssst::Error>(())
    /// ```
    ///
    /// # Errors
    /// The errors of [`Server::open_request`], [`Refusal::UnknownClient`] and
    /// [`Refusal::ClientRefused`].
    pub fn open_request_with<'p>(
        &self,
        packet: &'p mut [u8],
        check: impl Fn(&PublicKey) -> KeyCheck,
    ) -> Result<Request<'p>, Refusal> {
        let mut stage = Stage::screen(packet, self)?;
        for (key_index, key) in self.keyring.iter().enumerate() {
            let Stage::Screened(packet) = stage else { break };
            let shared_value = self.x25519.multiply(key.secret.expose_bytes(), packet.exchange_value);
            stage = packet.decrypt(key_index, key, &shared_value)?;
        }
        if let Stage::Claimed(packet) = stage {
            let product = self.x25519.multiply(packet.ephemeral, packet.client_key);
            stage = packet.verify(&product, check)?;
        }
        if let Stage::Proven(packet) = stage {
            let class = self.x25519.classify(packet.client_key.as_bytes());
            stage = packet.accept(class)?;
        }
        stage.into_request()
    }
}
