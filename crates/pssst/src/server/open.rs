//! Opening one request.
//!
//! [`Server::open_batch`] has the steps as pseudo-code, [`stage`](super::stage) each of them, and a
//! [batch](super::batch) takes each step for all of its packets before the next.

use super::stage::{Stage, Z2};
use super::{ClientCheck, KeyCheck, Request, Server};
use crate::agreement::KeyAgreement;
use crate::batch::of_pair;
use crate::{PublicKey, Refusal};

impl Server {
    /// Opens a request in place, with the full check of the client key, if there is one.
    ///
    /// # Errors
    /// In the order of the checks [R-22]: [`Refusal::Truncated`], [`Refusal::NotRequest`],
    /// [`Refusal::ReservedFlags`], [`Refusal::UnsupportedSuite`], [`Refusal::AnonymousRefused`],
    /// [`Refusal::FreshRefused`] or [`Refusal::FreshRequired`], [`Refusal::WeakKey`],
    /// [`Refusal::DecryptFailed`], [`Refusal::BadPadding`], [`Refusal::ClientAuthFailed`],
    /// [`Refusal::ClientKeyAlias`]. Drop the packet, count the cause, answer nothing. [R-29]
    pub fn open_request<'p>(&self, packet: &'p mut [u8]) -> Result<Request<'p>, Refusal> {
        self.open_request_with(packet, &|_: &PublicKey| KeyCheck::Validate)
    }

    /// Opens a request in place. `check` decides on the client key, if there is one.
    ///
    /// ```
    /// # use std::collections::HashSet;
    /// # use pssst::{Client, KeyCheck, PublicKey, SecretKey, Server, SysRng};
    /// # let secret = SecretKey::generate(&mut SysRng)?;
    /// # let identity = SecretKey::generate(&mut SysRng)?;
    /// # let client = Client::new(secret.public_key())?.with_identity(&identity)?;
    /// # let server = Server::new(secret);
    /// # let (mut packet, _) = client.seal_request_to_vec(&mut SysRng, b"")?;
    /// // Each key was validated when it was put here.
    /// let enrolled = HashSet::from([identity.public_key()]);
    ///
    /// let request = server.open_request_with(&mut packet, &|key: &PublicKey| {
    ///     if enrolled.contains(key) { KeyCheck::Accept } else { KeyCheck::RejectUnknown }
    /// })?;
    /// assert_eq!(request.client_key(), Some(&identity.public_key()));
    /// # Ok::<(), pssst::Error>(())
    /// ```
    ///
    /// # Errors
    /// The errors of [`Server::open_request`], [`Refusal::UnknownClient`],
    /// [`Refusal::ClientRefused`] and [`Refusal::PskRequired`].
    pub fn open_request_with<'p>(
        &self,
        packet: &'p mut [u8],
        check: &(impl ClientCheck + ?Sized),
    ) -> Result<Request<'p>, Refusal> {
        let mut stage = Stage::screen(packet, self)?;
        while let Stage::Screened(packet) = stage {
            let Some((_, key)) = packet.next_key(self) else { return Err(Refusal::DecryptFailed) };
            let zx = of_pair(self.x25519, key.scalar(), packet.exchange_value());
            stage = packet.decrypt(self, &zx)?;
        }
        if let Stage::Named(packet) = stage {
            stage = if let Some(looked_up) = packet.look_up(self, check) {
                packet.bind(self, Z2::LookedUp(&looked_up), check)?
            } else {
                let scalar = packet.key(self).map_or(&[0; 32], KeyAgreement::scalar);
                let z2 = of_pair(self.x25519, scalar, packet.client_key.as_bytes());
                packet.bind(self, Z2::Computed(&z2), check)?
            };
        }
        if let Stage::Claimed(packet) = stage {
            let product = of_pair(self.x25519, packet.ephemeral, packet.client_key);
            stage = packet.verify(&product, check)?;
        }
        if let Stage::Proven(packet) = stage {
            #[cfg(test)]
            crate::work::add(|work| work.classifications += 1);
            let class = self.x25519.classify(packet.client_key.as_bytes());
            stage = packet.accept(class)?;
        }
        stage.into_request()
    }
}
