//! Why a text is not the key that is needed, so that the message names the mistake.

use super::key_kind::{Kind, wrong_digits};

/// The kind of file that an option needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// A client's X25519 secret key, or what a device has instead.
    Identity,
    /// A client's X25519 secret key.
    ClientSecret,
    /// A server's secret key of either kind.
    ServerSecret,
    /// A client's public key, X25519.
    ClientPublic,
    /// A server's public key of either kind.
    ServerPublic,
    Psk,
    PskMaster,
    Schedule,
    Token,
}

impl Wanted {
    /// Returns what is needed, as the subject of "is needed here".
    const fn name(self) -> &'static str {
        match self {
            Self::Identity => "an X25519 secret key or a precomputed identity",
            Self::ClientSecret => "an X25519 secret key",
            Self::ServerSecret => "a secret key",
            Self::ClientPublic => "an X25519 public key",
            Self::ServerPublic => "a public key",
            Self::Psk => "a pre-shared key",
            Self::PskMaster => "a master of pre-shared keys",
            Self::Schedule => "a schedule of keys",
            Self::Token => "an enrolment token",
        }
    }

    /// Returns where one is from.
    const fn remedy(self) -> &'static str {
        match self {
            Self::Identity | Self::ClientSecret => "give the file that `pssst keygen --out FILE` wrote",
            Self::ServerSecret => {
                "give the file that `pssst keygen --out FILE` wrote; for suite f003, `pssst keygen --suite f003 --out FILE`"
            }
            Self::ClientPublic | Self::ServerPublic => {
                "give the public key: `pssst pubkey FILE` prints that of a secret key"
            }
            Self::Psk => "give the file that `pssst enroll` or `pssst clients psk` wrote for this client",
            Self::PskMaster => "give the file that `pssst keygen --psk-master --out FILE` wrote",
            Self::Schedule => "give the file that `pssst keys init FILE` wrote",
            Self::Token => "a token is what `pssst token create` printed: PSSST-TOKEN-1 and 70 more characters",
        }
    }

    const fn is_secret_key(self) -> bool {
        matches!(self, Self::Identity | Self::ClientSecret | Self::ServerSecret)
    }

    const fn is_key(self) -> bool {
        self.is_secret_key() || matches!(self, Self::ClientPublic | Self::ServerPublic)
    }
}

/// What keys look like.
const FORMS: &str = "a key is a PEM document of an X25519 key, text that begins with pssst1 or PSSST-SECRET-KEY-1, or 64 hexadecimal \
     digits; `pssst keygen --out FILE` makes one";
const SERVER_PUBLIC_FORMS: &str = "a public key is a PEM document, text that begins with pssst1, 64 hexadecimal digits, or 2,432 for suite f003; \
     `pssst pubkey FILE` prints that of a secret key";
/// What to do about digits that are not a key.
pub(crate) const COPY_AGAIN: &str = "copy the whole key again: `pssst pubkey FILE` prints the public one";
const WRONG_CHECKSUM: &str = "its checksum does not fit: a character is wrong, missing or one too many";
const RESTORE: &str = "copy the file again from where it was written";

/// Returns what a text holds that is not what is wanted, and what to do. Nothing of the text is
/// repeated, but single characters of digits.
pub(crate) fn explain(text: &str, wanted: Wanted) -> (String, &'static str) {
    let kind = Kind::of(text);
    let needed = format!("and {} is needed here", wanted.name());
    if let Some(name) = kind.name() {
        let remedy = match kind {
            Kind::EncryptedKey if wanted.is_secret_key() => {
                "decrypt it into a file that only its owner can read: (umask 077; openssl pkey -in FILE -out NEW)"
            }
            Kind::OtherAlgorithm if wanted.is_secret_key() => {
                "make one with `pssst keygen --out FILE`, or with `openssl genpkey -algorithm X25519`"
            }
            _ => wanted.remedy(),
        };
        return (format!("holds {name}, {needed}"), remedy);
    }
    match kind {
        Kind::Empty => (format!("is empty, {needed}"), wanted.remedy()),
        Kind::CutOff => (format!("is cut off: it has no END line, {needed}"), RESTORE),
        Kind::Damaged => (format!("is damaged, {needed}"), RESTORE),
        Kind::WrongChecksum => (format!("holds a key with an error: {WRONG_CHECKSUM}"), COPY_AGAIN),
        Kind::WrongDigits(what) if wanted.is_key() => (what, COPY_AGAIN),
        _ if wanted == Wanted::ServerPublic => (format!("has no key, {needed}"), SERVER_PUBLIC_FORMS),
        _ if wanted.is_key() => (format!("has no key, {needed}"), FORMS),
        _ => (format!("holds something else, {needed}"), wanted.remedy()),
    }
}

/// Returns what was given where a key or its file belongs and is neither, and what to do; `None`
/// for what may be the name of a file. Long digits are not repeated.
pub(crate) fn in_place_of_a_file(text: &str, wanted: Wanted) -> Option<(String, &'static str)> {
    let needed = wanted.name();
    match Kind::of(text) {
        Kind::XWingHash if wanted == Wanted::ServerPublic => {
            return Some((
                format!("{text} is the hash of a key of suite f003, and the key is needed here"),
                "`pssst keys show SCHEDULE --public-key pssst-pq1...` prints the key, and `pssst keys fetch --directory \
                 URL --out FILE` writes it to a file",
            ));
        }
        kind @ (Kind::XWingHash | Kind::XWingPublic | Kind::X25519Public) => {
            let what = format!("this is {}, and {needed} is needed here", kind.name().unwrap_or_default());
            return Some((what, wanted.remedy()));
        }
        Kind::WrongChecksum => return Some((format!("{text}: {WRONG_CHECKSUM}"), COPY_AGAIN)),
        _ => {}
    }
    let what = wrong_digits(text).filter(|_| wanted.is_key())?;
    let start = text.get(..72).filter(|_| text.len() > 72).map(|start| format!("{start}..."));
    Some((format!("{} {what}", start.as_deref().unwrap_or(text)), COPY_AGAIN))
}

#[cfg(test)]
mod tests {
    use pssst::{PreSharedKey, PskMaster, SecretKey, XWingSecretKey};
    use pssst_directory::IssuedPsk;
    use pssst_directory_server::psk_master_to_pem;

    use super::*;

    #[test]
    fn each_kind_is_recognised() {
        let secret = SecretKey::from_bytes([7; 32]);
        let xwing = XWingSecretKey::from_bytes([7; 32]);
        let psk = IssuedPsk { psk: PreSharedKey::from_bytes([7; 32]), master: [7; 8].into() };
        let with_other = |label: &str| format!("-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n");
        let secret_pem = secret.expose_pem();
        for (text, expected) in [
            ("", Kind::Empty),
            ("hello", Kind::Unknown),
            (&*secret_pem, Kind::X25519Secret),
            (&secret.public_key().to_pem(), Kind::X25519Public),
            (&secret.expose_hex(), Kind::Digits),
            (&secret.expose_bech32(), Kind::X25519Secret),
            (&secret.public_key().to_string(), Kind::X25519Public),
            (&secret.public_key().to_string()[1..], Kind::Unknown),
            (&secret.public_key().to_string()[..60], Kind::WrongChecksum),
            (&secret.expose_bech32()[..60], Kind::WrongChecksum),
            (&xwing.expose_bech32(), Kind::XWingSecret),
            (&xwing.public_key().hash().to_string(), Kind::XWingHash),
            (&xwing.expose_pem(), Kind::XWingSecret),
            (&xwing.public_key().to_pem(), Kind::XWingPublic),
            (&format!("{}\n", xwing.public_key()), Kind::XWingPublic),
            (&psk.expose_pem(), Kind::Psk),
            (&psk_master_to_pem(&PskMaster::from_bytes([7; 32])), Kind::PskMaster),
            (&with_other("PSSST PSK MASTER"), Kind::Damaged),
            (&with_other(IssuedPsk::PEM_LABEL), Kind::Damaged),
            (&with_other("ENCRYPTED PRIVATE KEY"), Kind::EncryptedKey),
            (&with_other("OPENSSH PRIVATE KEY"), Kind::OtherAlgorithm),
            (&with_other("PRIVATE KEY"), Kind::OtherAlgorithm),
            (&with_other("CERTIFICATE"), Kind::Certificate),
            (&with_other("PGP MESSAGE"), Kind::OtherPem),
            (&secret_pem[..secret_pem.len() - 30], Kind::CutOff),
            (&secret_pem[..15], Kind::CutOff),
            (&secret_pem.replace("BCIE", "BCIF"), Kind::Damaged),
            (&xwing.expose_pem().replace("ByHoEI", "ByHoEJ"), Kind::Damaged),
            (
                &xwing.public_key().to_pem().replace("MIIE1DANBgsrBgEEAYPmLYHIegOC", "MIIE1DANBgsrBgEEAYPmLYHIegOD"),
                Kind::Damaged,
            ),
            ("PSSST-TOKEN-10123", Kind::Token),
            ("pssst-operator-10123", Kind::OperatorCredential),
            ("{\"version\": 1, \"keys\": [{ \"secret\": 1 }]}", Kind::Schedule),
            ("{\"version\": 1, \"keys\": [{ \"key\": 1 }]}", Kind::KeyDocument),
            ("yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=", Kind::Base64),
        ] {
            assert_eq!(Kind::of(text), expected, "{text}");
        }
    }

    #[test]
    fn digits_are_counted() {
        let key = format!("{:x}", SecretKey::from_bytes([7; 32]).public_key());
        let xwing = XWingSecretKey::from_bytes([7; 32]).public_key().to_string();
        for (text, expected) in [
            (&key[1..], "a key of 63 digits; an X25519 key has 64, and a public key of suite f003 2432"),
            (&format!("{key}0"), "a key of 65 digits"),
            (&format!("g{}", &key[1..]), "its character 1 is 'g'"),
            (&xwing[1..], "a key of 2431 digits"),
            (&format!("{xwing}0"), "a key of 2433 digits"),
            (&format!("{}x", &xwing[1..]), "its character 2432 is 'x'"),
        ] {
            let (what, remedy) = explain(text, Wanted::ServerPublic);
            assert!(what.contains(expected) && remedy == COPY_AGAIN, "{text}: {what}");
        }
        for name in ["server.key", "keys/0123456789012345678901234567890123456789", "deadbeef", "a b"] {
            assert_eq!(wrong_digits(name), None, "{name}");
        }
    }
}
