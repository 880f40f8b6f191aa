//! Masters of pre-shared keys as files of their own, for servers without a schedule.

use pssst::PskMaster;
use pssst_support::secret_pem;
use zeroize::Zeroizing;

use crate::Error;

/// The label of a document that holds a master of pre-shared keys.
pub const PSK_MASTER_LABEL: &str = "PSSST PSK MASTER";

/// Returns a master of pre-shared keys as a PEM document, `BEGIN PSSST PSK MASTER`: its 32 bytes.
///
/// ```
/// use pssst_directory_server::{psk_master_from_pem, psk_master_to_pem};
/// # use pssst_identity::pssst::{PskMaster, SysRng};
///
/// let master = PskMaster::generate(&mut SysRng)?;
/// assert_eq!(psk_master_from_pem(&psk_master_to_pem(&master))?, master);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn psk_master_to_pem(master: &PskMaster) -> Zeroizing<String> {
    secret_pem::encode(PSK_MASTER_LABEL, master.expose_bytes())
}

/// Reads what [`psk_master_to_pem`] writes.
///
/// # Errors
/// [`Error::Syntax`] for anything else.
pub fn psk_master_from_pem(pem: &str) -> Result<PskMaster, Error> {
    const EXPECTED: Error = Error::Syntax("a PEM document of a master of pre-shared keys");
    let bytes = secret_pem::decode(PSK_MASTER_LABEL, pem).ok_or(EXPECTED)?;
    let mut master = Zeroizing::new([0; 32]);
    if bytes.len() != master.len() {
        return Err(EXPECTED);
    }
    master.copy_from_slice(&bytes);
    Ok(PskMaster::from_bytes(*master))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_32_bytes_with_the_label_are_a_master() {
        let master = PskMaster::from_bytes([0x5c; 32]);
        let text = psk_master_to_pem(&master);
        assert_eq!(psk_master_from_pem(&text).unwrap(), master);
        let label = |label, len| secret_pem::encode(label, &[0x5c; 40][..len]);
        assert_eq!(psk_master_from_pem(&label(PSK_MASTER_LABEL, 32)).unwrap(), master);
        for wrong in [label(PSK_MASTER_LABEL, 31), label(PSK_MASTER_LABEL, 33), label("PSSST PSK", 32)] {
            assert!(psk_master_from_pem(&wrong).is_err(), "{}", *wrong);
        }
        assert!(psk_master_from_pem(&"5c".repeat(32)).is_err());
    }
}
