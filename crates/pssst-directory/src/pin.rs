//! Pins of certificates, for directories without a public authority.

use std::fmt;
use std::str::FromStr;

use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use webpki::EndEntityCert;

use crate::Error;

const PREFIX: &str = "sha256:";

/// SHA-256 of a certificate's public key (its `SubjectPublicKeyInfo`, RFC 7469 section 2.4),
/// written `sha256:` and 64 hexadecimal digits. It stays valid for a new certificate of the same
/// key.
///
/// ```
/// use pssst_directory::Pin;
///
/// let pin: Pin = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855".parse()?;
/// assert_eq!(pin.to_string(), "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
/// # Ok::<(), pssst_directory::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pin([u8; 32]);

impl Pin {
    /// Takes a pin from its bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Returns the pin's bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Returns the pin of a certificate, DER.
    ///
    /// # Errors
    /// [`Error::Syntax`] when it is not an X.509 certificate.
    pub fn of(certificate: &[u8]) -> Result<Self, Error> {
        let certificate = CertificateDer::from(certificate);
        let certificate = EndEntityCert::try_from(&certificate).map_err(|_| Error::Syntax("an X.509 certificate"))?;
        Ok(Self(Sha256::digest(certificate.subject_public_key_info()).into()))
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", base16ct::lower::encode_string(&self.0))
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pin({self})")
    }
}

impl FromStr for Pin {
    type Err = Error;

    /// Reads what `Display` writes, with digits of either case. White space around it is ignored.
    fn from_str(text: &str) -> Result<Self, Error> {
        const EXPECTED: Error = Error::Syntax("a pin: sha256: and 64 hexadecimal digits");
        let digits = text.trim().strip_prefix(PREFIX).ok_or(EXPECTED)?;
        let mut pin = [0; 32];
        match base16ct::mixed::decode(digits, &mut pin) {
            Ok(decoded) if decoded.len() == 32 => Ok(Self(pin)),
            _ => Err(EXPECTED),
        }
    }
}

#[cfg(test)]
mod tests {
    use rcgen::PublicKeyData;

    use super::*;

    #[test]
    fn pins_name_the_key_of_a_certificate() {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate =
            |name: &str| rcgen::CertificateParams::new([name.to_owned()]).unwrap().self_signed(&key).unwrap();
        let pin = Pin::of(certificate("a.example").der()).unwrap();
        assert_eq!(pin, Pin(Sha256::digest(key.subject_public_key_info()).into()));
        assert_eq!(pin, Pin::of(certificate("b.example").der()).unwrap());
        assert_ne!(pin, Pin::of(rcgen::generate_simple_self_signed([]).unwrap().cert.der()).unwrap());
        assert_eq!(pin.to_string().to_uppercase().replace("SHA", " sha").parse::<Pin>().unwrap(), pin);
    }

    #[test]
    fn nothing_else_is_a_pin() {
        let digits = "00".repeat(32);
        for text in ["", "sha256:", &digits, &format!("sha256:{digits}00"), &format!("sha512:{digits}"), "sha256:zz"] {
            assert!(text.parse::<Pin>().is_err(), "{text}");
        }
        assert!(Pin::of(&[0x30, 0x00]).is_err());
        assert!(Pin::of(&[]).is_err());
    }
}
