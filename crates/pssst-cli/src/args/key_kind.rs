//! The kinds of keys and secrets in texts.

use pssst::{PublicKey, ServerKey, ServerSecretKey, XWingKeyHash};
use pssst_directory::IssuedPsk;
use pssst_directory_server::{PSK_MASTER_LABEL, psk_master_from_pem};
use pssst_net::Credentials;

/// A kind of key or secret, or a mistake, in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Empty,
    X25519Secret,
    X25519Public,
    XWingSecret,
    XWingPublic,
    Psk,
    PskMaster,
    PrecomputedIdentity,
    /// The hash that stands for a public key of suite f003.
    XWingHash,
    /// A key as text, with a character that is wrong.
    WrongChecksum,
    /// 64 hexadecimal digits: a secret or a public X25519 key.
    Digits,
    Schedule,
    KeyDocument,
    Token,
    OperatorCredential,
    Certificate,
    EncryptedKey,
    OtherAlgorithm,
    /// A document that begins and does not end.
    CutOff,
    /// A document of one of our kinds whose body is not whole.
    Damaged,
    OtherPem,
    Base64,
    /// Digits that no key has as many of, or with an error: what is wrong with them.
    WrongDigits(String),
    Unknown,
}

impl Kind {
    /// Returns what a text holds.
    pub(crate) fn of(text: &str) -> Self {
        let text = text.trim();
        if text.is_empty() {
            return Self::Empty;
        }
        if text.contains("-----BEGIN ") {
            return document(text);
        }
        if let Some(kind) = with_prefix(text) {
            return kind;
        }
        match text {
            // A schedule's entries have secrets, a document's have keys.
            _ if text.starts_with('{') && text.contains("\"keys\"") && text.contains("\"secret\"") => Self::Schedule,
            _ if text.starts_with('{') && text.contains("\"keys\"") => Self::KeyDocument,
            _ if text.parse::<PublicKey>().is_ok() => Self::Digits,
            _ if text.parse::<ServerKey>().is_ok() => Self::XWingPublic,
            _ if text.len() == 44 && text.ends_with('=') && !text.contains(char::is_whitespace) => Self::Base64,
            _ => wrong_digits(text).map_or(Self::Unknown, Self::WrongDigits),
        }
    }

    /// Returns what the text holds, as the object of "holds"; `None` where that is not the mistake.
    pub(crate) const fn name(&self) -> Option<&'static str> {
        Some(match self {
            Self::X25519Secret => "an X25519 secret key",
            Self::X25519Public => "an X25519 public key",
            Self::XWingSecret => "a secret key of suite f003",
            Self::XWingPublic => "a public key of suite f003",
            Self::XWingHash => "the hash of a public key of suite f003",
            Self::Psk => "a pre-shared key",
            Self::PskMaster => "a master of pre-shared keys",
            Self::PrecomputedIdentity => "a precomputed identity",
            Self::Digits => "64 hexadecimal digits, which do not say what they are",
            Self::Schedule => "a schedule of keys",
            Self::KeyDocument => "a directory's key document",
            Self::Token => "an enrolment token",
            Self::OperatorCredential => "an operator's credential",
            Self::Certificate => "a certificate",
            Self::EncryptedKey => "an encrypted secret key",
            Self::OtherAlgorithm => "a key of another algorithm than X25519",
            Self::OtherPem => "a PEM document that is not a key",
            Self::Base64 => "a key in Base64, as WireGuard writes it",
            Self::Empty | Self::CutOff | Self::Damaged | Self::WrongChecksum | Self::WrongDigits(_) | Self::Unknown => {
                return None;
            }
        })
    }
}

/// Returns whether a text is meant as a secret key, even if it is damaged.
pub(crate) fn is_secret(text: &str) -> bool {
    let text = text.trim().to_ascii_lowercase();
    SECRET_PREFIXES.iter().any(|prefix| text.starts_with(prefix))
}

const SECRET_PREFIXES: [&str; 2] = ["pssst-secret-key-1", "pssst-pq-secret-key-1"];

/// Returns what a text is that begins like a key with a checksum.
fn with_prefix(text: &str) -> Option<Kind> {
    let lower = text.get(..16).unwrap_or(text).to_ascii_lowercase();
    if lower.starts_with("pssst-token-1") {
        return Some(Kind::Token);
    }
    if lower.starts_with("pssst-operator-1") {
        return Some(Kind::OperatorCredential);
    }
    if is_secret(text) {
        return Some(match ServerSecretKey::from_text(text) {
            Ok(ServerSecretKey::X25519(_)) => Kind::X25519Secret,
            Ok(_) => Kind::XWingSecret,
            Err(_) => Kind::WrongChecksum,
        });
    }
    let is_key = lower.starts_with("pssst1").then(|| text.parse::<PublicKey>().is_ok());
    let is_hash = lower.starts_with("pssst-pq1").then(|| text.parse::<XWingKeyHash>().is_ok());
    Some(match (is_key, is_hash) {
        (Some(true), _) => Kind::X25519Public,
        (_, Some(true)) => Kind::XWingHash,
        (None, None) => return None,
        _ => Kind::WrongChecksum,
    })
}

/// Digits of an X25519 key.
const DIGITS: usize = 64;

/// Returns what is wrong with a text that was meant as a key in hexadecimal digits.
pub(crate) fn wrong_digits(text: &str) -> Option<String> {
    let is_word = !text.contains(|c: char| c.is_whitespace() || c == '/' || c == '.');
    let hex = text.bytes().filter(u8::is_ascii_hexdigit).count();
    // More digits than most names of files have.
    if !is_word || hex < 40 || hex + 4 < text.len() {
        return None;
    }
    Some(match text.chars().enumerate().find(|(_, c)| !c.is_ascii_hexdigit()) {
        Some((place, c)) => {
            format!("looks like a key, but its character {} is {c:?}, not a hexadecimal digit", place + 1)
        }
        None => format!(
            "looks like a key of {hex} digits; an X25519 key has {DIGITS}, and a public key of suite f003 {}",
            2 * pssst::XWING_PUBLIC_KEY_LEN
        ),
    })
}

fn document(text: &str) -> Kind {
    let label = text.split_once("-----BEGIN ").and_then(|(_, rest)| rest.split_once("-----")).map(|(label, _)| label);
    let Some(label) = label else { return Kind::CutOff };
    if !text.contains("-----END ") {
        return Kind::CutOff;
    }
    match label {
        "PRIVATE KEY" => match ServerSecretKey::from_text(text) {
            Ok(ServerSecretKey::X25519(_)) => Kind::X25519Secret,
            Ok(_) => Kind::XWingSecret,
            Err(_) => damaged_or_other(text),
        },
        "PUBLIC KEY" => match ServerKey::from_text(text) {
            Ok(ServerKey::X25519(_)) => Kind::X25519Public,
            Ok(_) => Kind::XWingPublic,
            Err(_) => damaged_or_other(text),
        },
        IssuedPsk::PEM_LABEL if IssuedPsk::from_pem(text).is_ok() => Kind::Psk,
        PSK_MASTER_LABEL if psk_master_from_pem(text).is_ok() => Kind::PskMaster,
        Credentials::PRECOMPUTED_LABEL if Credentials::from_precomputed_pem(text).is_ok() => Kind::PrecomputedIdentity,
        IssuedPsk::PEM_LABEL | PSK_MASTER_LABEL | Credentials::PRECOMPUTED_LABEL => Kind::Damaged,
        "ENCRYPTED PRIVATE KEY" => Kind::EncryptedKey,
        "RSA PRIVATE KEY" | "EC PRIVATE KEY" | "DSA PRIVATE KEY" | "EC PARAMETERS" | "OPENSSH PRIVATE KEY" => {
            Kind::OtherAlgorithm
        }
        "CERTIFICATE" | "TRUSTED CERTIFICATE" | "X509 CERTIFICATE" | "CERTIFICATE REQUEST" => Kind::Certificate,
        _ => Kind::OtherPem,
    }
}

/// The identifiers of X25519 and of X-Wing are in the same place in every form of their keys.
fn damaged_or_other(text: &str) -> Kind {
    let marks = ["AwBQYDK2VuB", "MCowBQYDK2VuAyEA", "AwDQYLKwYBBAGD5i2ByHoE", "MIIE1DANBgsrBgEEAYPmLYHIegO"];
    if marks.iter().any(|mark| text.contains(mark)) { Kind::Damaged } else { Kind::OtherAlgorithm }
}
