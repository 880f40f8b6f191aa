//! Keys as PEM, the form that OpenSSL and most tools read and write: PKCS#8 for secret keys,
//! SubjectPublicKeyInfo for public ones, with X25519 as RFC 8410 has it, and X-Wing as its draft
//! (draft-connolly-cfrg-xwing-kem, section 5.8).

use alloc::string::String;

use pkcs8::der::asn1::{BitStringRef, OctetStringRef};
use pkcs8::der::pem::{LineEnding, PemLabel};
use pkcs8::der::zeroize::Zeroizing;
use pkcs8::der::{Decode, Document, Encode, EncodePem, SecretDocument};
use pkcs8::spki::{AlgorithmIdentifierRef, SubjectPublicKeyInfoRef};
use pkcs8::{ObjectIdentifier, PrivateKeyInfoRef};

use crate::{Error, PublicKey, SecretKey, ServerKey, ServerSecretKey, key_text};
#[cfg(feature = "pq")]
use crate::{XWingPublicKey, XWingSecretKey};

/// id-X25519 (RFC 8410, section 3), which has no parameters.
const X25519: AlgorithmIdentifierRef<'_> =
    AlgorithmIdentifierRef { oid: ObjectIdentifier::new_unwrap("1.3.101.110"), parameters: None };

/// id-XWing, which has no parameters.
#[cfg(feature = "pq")]
const XWING: AlgorithmIdentifierRef<'_> =
    AlgorithmIdentifierRef { oid: ObjectIdentifier::new_unwrap("1.3.6.1.4.1.62253.25722"), parameters: None };

impl SecretKey {
    /// Returns the secret as a PKCS#8 document, `BEGIN PRIVATE KEY`, for storage.
    pub fn expose_pem(&self) -> Zeroizing<String> {
        secret_pem(X25519, || {
            // RFC 8410, section 7: an OCTET STRING within the OCTET STRING.
            Ok(Zeroizing::new(OctetStringRef::new(self.expose_bytes())?.to_der()?))
        })
    }

    /// Reads a PKCS#8 document that holds an unencrypted X25519 key, as
    /// `openssl genpkey -algorithm X25519` writes it. Text around the document is passed over.
    ///
    /// # Errors
    /// [`Error::InvalidKey`] for anything else, and when the document names a public key that is
    /// not this key's.
    pub fn from_pem(pem: &str) -> Result<Self, Error> {
        read_secret(pem, |info| {
            let inner = <&OctetStringRef>::from_der(info.private_key.as_bytes()).ok()?;
            if info.algorithm != X25519 {
                return None;
            }
            let key = Self::from_bytes(inner.as_bytes().try_into().ok()?);
            let named = info.public_key.map(|public| public.as_bytes() == Some(key.public_key().as_bytes()));
            (named != Some(false)).then_some(key)
        })
    }

    /// Reads a secret key in any of its text forms: PEM, `PSSST-SECRET-KEY-1…`, or 64 hexadecimal
    /// digits.
    ///
    /// # Errors
    /// [`Error::KeyChecksum`] when the checksum does not fit, [`Error::InvalidKey`] for anything
    /// else.
    pub fn from_text(text: &str) -> Result<Self, Error> {
        if is_pem(text) {
            Self::from_pem(text)
        } else if key_text::has_prefix(text, key_text::SECRET_KEY) {
            Self::from_bech32(text)
        } else {
            Self::from_hex(text)
        }
    }
}

#[cfg(feature = "pq")]
impl XWingSecretKey {
    /// Returns the secret as a PKCS#8 document, `BEGIN PRIVATE KEY`, for storage: it holds the
    /// seed.
    pub fn expose_pem(&self) -> Zeroizing<String> {
        secret_pem(XWING, || Ok(Zeroizing::new(self.expose_bytes().to_vec())))
    }

    /// Reads a PKCS#8 document that holds an unencrypted X-Wing key. Text around the document is
    /// passed over.
    ///
    /// # Errors
    /// [`Error::InvalidKey`] for anything else.
    pub fn from_pem(pem: &str) -> Result<Self, Error> {
        read_secret(pem, |info| {
            let seed = info.private_key.as_bytes().try_into().ok()?;
            (info.algorithm == XWING && info.public_key.is_none()).then(|| Self::from_bytes(seed))
        })
    }
}

impl ServerSecretKey {
    /// Returns the secret as a PKCS#8 document, which names its kind.
    pub fn expose_pem(&self) -> Zeroizing<String> {
        match self {
            Self::X25519(key) => key.expose_pem(),
            #[cfg(feature = "pq")]
            Self::XWing(key) => key.expose_pem(),
        }
    }

    /// Reads a secret key: PEM or text with a prefix, of either kind, or 64 hexadecimal digits of
    /// an X25519 key.
    ///
    /// # Errors
    /// [`Error::KeyChecksum`] when the checksum does not fit, [`Error::InvalidKey`] for anything
    /// else.
    pub fn from_text(text: &str) -> Result<Self, Error> {
        #[cfg(feature = "pq")]
        if key_text::has_prefix(text, key_text::XWING_SECRET_KEY) {
            return XWingSecretKey::from_bech32(text).map(Self::XWing);
        } else if let Ok(key) = XWingSecretKey::from_pem(text) {
            return Ok(Self::XWing(key));
        }
        SecretKey::from_text(text).map(Self::X25519)
    }
}

impl PublicKey {
    /// Returns the key as a SubjectPublicKeyInfo document, `BEGIN PUBLIC KEY`.
    pub fn to_pem(&self) -> String {
        public_pem(X25519, self.as_bytes())
    }

    /// Reads a SubjectPublicKeyInfo document that holds an X25519 key, as `openssl pkey -pubout`
    /// writes it.
    ///
    /// # Errors
    /// [`Error::InvalidKey`] for anything else.
    pub fn from_pem(pem: &str) -> Result<Self, Error> {
        read_public(pem, X25519)
    }

    /// Reads a public key in any of its text forms: PEM, `pssst1…`, or 64 hexadecimal
    /// digits.
    ///
    /// # Errors
    /// [`Error::KeyChecksum`] when the checksum does not fit, [`Error::InvalidKey`] for anything
    /// else.
    pub fn from_text(text: &str) -> Result<Self, Error> {
        if is_pem(text) { Self::from_pem(text) } else { text.parse() }
    }
}

#[cfg(feature = "pq")]
impl XWingPublicKey {
    /// Returns the key as a SubjectPublicKeyInfo document, `BEGIN PUBLIC KEY`.
    pub fn to_pem(&self) -> String {
        public_pem(XWING, self.as_bytes())
    }

    /// Reads a SubjectPublicKeyInfo document that holds an X-Wing key.
    ///
    /// # Errors
    /// [`Error::InvalidKey`] for anything else.
    pub fn from_pem(pem: &str) -> Result<Self, Error> {
        read_public(pem, XWING)
    }
}

impl ServerKey {
    /// Returns the key as a SubjectPublicKeyInfo document, which names its kind.
    pub fn to_pem(&self) -> String {
        match self {
            Self::X25519(key) => key.to_pem(),
            #[cfg(feature = "pq")]
            Self::XWing(key) => key.to_pem(),
        }
    }

    /// Reads a public key of either kind in any of its text forms: PEM, `pssst1…` for X25519,
    /// or hexadecimal digits.
    ///
    /// # Errors
    /// [`Error::KeyChecksum`] when the checksum does not fit, [`Error::InvalidKey`] for anything
    /// else.
    pub fn from_text(text: &str) -> Result<Self, Error> {
        if !is_pem(text) {
            return text.parse();
        }
        #[cfg(feature = "pq")]
        if let Ok(key) = XWingPublicKey::from_pem(text) {
            return Ok(Self::XWing(key));
        }
        PublicKey::from_pem(text).map(Self::X25519)
    }
}

#[expect(clippy::expect_used, reason = "keys of these lengths always fit")]
fn secret_pem(
    algorithm: AlgorithmIdentifierRef<'_>,
    private_key: impl FnOnce() -> pkcs8::der::Result<Zeroizing<alloc::vec::Vec<u8>>>,
) -> Zeroizing<String> {
    let encode = || {
        let private_key = private_key()?;
        let document = PrivateKeyInfoRef::new(algorithm, OctetStringRef::new(&private_key)?);
        SecretDocument::encode_msg(&document)?.to_pem(PrivateKeyInfoRef::PEM_LABEL, LineEnding::LF)
    };
    encode().expect("keys of these lengths always fit")
}

#[expect(clippy::expect_used, reason = "keys of these lengths always fit")]
fn public_pem(algorithm: AlgorithmIdentifierRef<'_>, key: &[u8]) -> String {
    let encode = || {
        let subject_public_key = BitStringRef::from_bytes(key)?;
        SubjectPublicKeyInfoRef { algorithm, subject_public_key }.to_pem(LineEnding::LF)
    };
    encode().expect("keys of these lengths always fit")
}

fn read_secret<K>(pem: &str, read: impl FnOnce(PrivateKeyInfoRef<'_>) -> Option<K>) -> Result<K, Error> {
    let decode = || {
        let pem = tidy(pem)?;
        let (label, document) = SecretDocument::from_pem(&pem).ok()?;
        let info = PrivateKeyInfoRef::from_der(document.as_bytes()).ok()?;
        if label == PrivateKeyInfoRef::PEM_LABEL { read(info) } else { None }
    };
    decode().ok_or(Error::InvalidKey)
}

fn read_public<K>(pem: &str, algorithm: AlgorithmIdentifierRef<'_>) -> Result<K, Error>
where
    K: for<'k> TryFrom<&'k [u8]>,
{
    let decode = || {
        let pem = tidy(pem)?;
        let (label, document) = Document::from_pem(&pem).ok()?;
        let info = SubjectPublicKeyInfoRef::from_der(document.as_bytes()).ok()?;
        if label != SubjectPublicKeyInfoRef::PEM_LABEL || info.algorithm != algorithm {
            return None;
        }
        K::try_from(info.subject_public_key.as_bytes()?).ok()
    };
    decode().ok_or(Error::InvalidKey)
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
