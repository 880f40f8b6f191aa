//! Keys as PEM, the form that OpenSSL and most tools read and write: PKCS#8 for secret keys,
//! SubjectPublicKeyInfo for public ones, with X25519 as RFC 8410 has it.

use alloc::string::String;

use pkcs8::der::asn1::{BitStringRef, OctetStringRef};
use pkcs8::der::pem::{LineEnding, PemLabel};
use pkcs8::der::zeroize::Zeroizing;
use pkcs8::der::{Decode, Document, Encode, EncodePem, SecretDocument};
use pkcs8::spki::{AlgorithmIdentifierRef, SubjectPublicKeyInfoRef};
use pkcs8::{ObjectIdentifier, PrivateKeyInfoRef};

use crate::key::KEY_LEN;
use crate::{Error, PublicKey, SecretKey};

/// id-X25519 (RFC 8410, section 3), which has no parameters.
const X25519: AlgorithmIdentifierRef<'_> =
    AlgorithmIdentifierRef { oid: ObjectIdentifier::new_unwrap("1.3.101.110"), parameters: None };

impl SecretKey {
    /// Returns the secret as a PKCS#8 document, `BEGIN PRIVATE KEY`, for storage.
    #[expect(clippy::expect_used, clippy::missing_panics_doc, reason = "48 bytes of DER always fit")]
    pub fn expose_pem(&self) -> Zeroizing<String> {
        fn encode(key: &SecretKey) -> pkcs8::der::Result<Zeroizing<String>> {
            // RFC 8410, section 7: an OCTET STRING within the OCTET STRING.
            let inner = Zeroizing::new(OctetStringRef::new(key.expose_bytes())?.to_der()?);
            let document = PrivateKeyInfoRef::new(X25519, OctetStringRef::new(&inner)?);
            SecretDocument::encode_msg(&document)?.to_pem(PrivateKeyInfoRef::PEM_LABEL, LineEnding::LF)
        }
        encode(self).expect("48 bytes of DER always fit")
    }

    /// Reads a PKCS#8 document that holds an unencrypted X25519 key, as
    /// `openssl genpkey -algorithm X25519` writes it. Text around the document is passed over.
    ///
    /// # Errors
    /// [`Error::InvalidKey`] for anything else, and when the document names a public key that is
    /// not this key's.
    pub fn from_pem(pem: &str) -> Result<Self, Error> {
        fn decode(pem: &str) -> Option<SecretKey> {
            let pem = tidy(pem)?;
            let (label, document) = SecretDocument::from_pem(&pem).ok()?;
            let info = PrivateKeyInfoRef::from_der(document.as_bytes()).ok()?;
            let inner = <&OctetStringRef>::from_der(info.private_key.as_bytes()).ok()?;
            if label != PrivateKeyInfoRef::PEM_LABEL || info.algorithm != X25519 {
                return None;
            }
            let key = SecretKey::from_bytes(inner.as_bytes().try_into().ok()?);
            let named = info.public_key.map(|public| public.as_bytes() == Some(key.public_key().as_bytes()));
            (named != Some(false)).then_some(key)
        }
        decode(pem).ok_or(Error::InvalidKey)
    }

    /// Reads a secret key in any of its text forms: PEM, or 64 hexadecimal digits.
    ///
    /// # Errors
    /// [`Error::InvalidKey`] for anything else.
    pub fn from_text(text: &str) -> Result<Self, Error> {
        if is_pem(text) { Self::from_pem(text) } else { Self::from_hex(text) }
    }
}

impl PublicKey {
    /// Returns the key as a SubjectPublicKeyInfo document, `BEGIN PUBLIC KEY`.
    #[expect(clippy::expect_used, clippy::missing_panics_doc, reason = "44 bytes of DER always fit")]
    pub fn to_pem(&self) -> String {
        fn encode(key: &PublicKey) -> pkcs8::der::Result<String> {
            let subject_public_key = BitStringRef::from_bytes(key.as_bytes())?;
            SubjectPublicKeyInfoRef { algorithm: X25519, subject_public_key }.to_pem(LineEnding::LF)
        }
        encode(self).expect("44 bytes of DER always fit")
    }

    /// Reads a SubjectPublicKeyInfo document that holds an X25519 key, as `openssl pkey -pubout`
    /// writes it.
    ///
    /// # Errors
    /// [`Error::InvalidKey`] for anything else.
    pub fn from_pem(pem: &str) -> Result<Self, Error> {
        fn decode(pem: &str) -> Option<[u8; KEY_LEN]> {
            let pem = tidy(pem)?;
            let (label, document) = Document::from_pem(&pem).ok()?;
            let info = SubjectPublicKeyInfoRef::from_der(document.as_bytes()).ok()?;
            if label != SubjectPublicKeyInfoRef::PEM_LABEL || info.algorithm != X25519 {
                return None;
            }
            info.subject_public_key.as_bytes()?.try_into().ok()
        }
        decode(pem).map(Self::from_bytes).ok_or(Error::InvalidKey)
    }

    /// Reads a public key in any of its text forms: PEM, or 64 hexadecimal digits.
    ///
    /// # Errors
    /// [`Error::InvalidKey`] for anything else.
    pub fn from_text(text: &str) -> Result<Self, Error> {
        if is_pem(text) { Self::from_pem(text) } else { text.parse() }
    }
}

/// Returns the first document alone, in lines of 64 characters: what RFC 7468 has generators write.
/// Parsers of other programs also take text around it, other lines and white space (section 2).
fn tidy(text: &str) -> Option<Zeroizing<String>> {
    const DASHES: &str = "-----";
    let (_, rest) = text.split_once("-----BEGIN ")?;
    let (label, rest) = rest.split_once(DASHES)?;
    let (body, rest) = rest.split_once("-----END ")?;
    rest.strip_prefix(label)?.strip_prefix(DASHES)?;
    // Sized at once: growing would leave copies behind.
    let mut pem = Zeroizing::new(String::with_capacity(2 * (text.len() + 64)));
    pem.extend(["-----BEGIN ", label, DASHES, "\n"]);
    let mut column = 0;
    for c in body.chars().filter(|c| !c.is_ascii_whitespace()) {
        if column == 64 {
            pem.push('\n');
            column = 0;
        }
        pem.push(c);
        column += 1;
    }
    pem.extend(["\n-----END ", label, DASHES, "\n"]);
    Some(pem)
}

fn is_pem(text: &str) -> bool {
    text.contains("-----BEGIN ")
}
