//! Tokens in a database: drawn at random, and stored as hashes.

use pssst::SysRng;
use pssst::rand_core::TryRng;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::{ID_LEN, SECRET_LEN, Token, TokenId};
use crate::Error;

impl Token {
    /// Draws a token.
    ///
    /// # Errors
    /// [`Error::RandomnessUnavailable`].
    pub(crate) fn generate() -> Result<Self, Error> {
        let (mut id, mut secret) = ([0; ID_LEN], Zeroizing::new([0; SECRET_LEN]));
        let drawn = SysRng.try_fill_bytes(&mut id).and_then(|()| SysRng.try_fill_bytes(&mut *secret));
        drawn.map_err(|_| Error::RandomnessUnavailable)?;
        Ok(Self { id: TokenId(id), secret })
    }

    /// Returns the stored form of the secret. It has 256 random bits, so nothing slower than a hash
    /// is needed.
    pub(crate) fn hash(&self) -> [u8; 32] {
        Sha256::digest(*self.secret).into()
    }

    /// Returns whether this is the token with that hash, in constant time.
    pub(crate) fn matches(&self, hash: &[u8]) -> bool {
        self.hash().ct_eq(hash).into()
    }
}
