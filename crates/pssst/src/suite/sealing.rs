//! Sealing and opening. A packet's suite is matched once for each; behind the match everything is
//! monomorphic.

use super::aead::{self, Direction, TransactionSecret};
use super::{first, second};
use crate::packet::{Header, TAG_LEN};
use crate::{Error, Refusal, Suite};

impl Suite {
    /// Encrypts in place and returns the tag.
    pub(crate) fn seal(
        self,
        secret: &TransactionSecret,
        direction: Direction<'_>,
        header: Header,
        body: &mut [u8],
    ) -> Result<[u8; TAG_LEN], Error> {
        match self {
            Self::X25519AesGcm128 => aead::seal::<first::Aes128Gcm>(secret, direction, header, body),
            _ => aead::seal::<second::Aes256GcmSiv>(secret, direction, header, body),
        }
    }

    /// Decrypts in place. A body that is refused is left as it was, so that another key can be
    /// tried.
    pub(crate) fn open(
        self,
        secret: &TransactionSecret,
        direction: Direction<'_>,
        header: Header,
        body: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> Result<(), Refusal> {
        #[cfg(test)]
        crate::work::add(|work| work.openings += 1);
        match self {
            Self::X25519AesGcm128 => aead::open::<first::Aes128Gcm>(secret, direction, header, body, tag),
            _ => aead::open::<second::Aes256GcmSiv>(secret, direction, header, body, tag),
        }
    }
}
