//! The fixed parts of a link: its scheme, its length, and the checksum at its end.

use sha2::{Digest, Sha256};

/// What every link begins with.
pub const SCHEME: &str = "pssst://";

/// Length in bytes of the longest link.
pub const MAX_LEN: usize = 1024;

/// What stands between the contents and their checksum.
pub(crate) const CHECKSUM: &str = "&check=";

/// Returns the checksum of everything before [`CHECKSUM`]: the front of its SHA-256, in 8
/// hexadecimal digits.
pub(crate) fn checksum(text: &str) -> String {
    let hash: [u8; 32] = Sha256::digest(text).into();
    base16ct::lower::encode_string(&hash[..4])
}
