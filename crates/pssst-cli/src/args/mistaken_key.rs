//! Why a text is not a key, so that the message names the mistake.

use pssst::{ServerKey, ServerSecretKey, XWingPublicKey, XWingSecretKey};

/// Digits of a key.
const DIGITS: usize = 64;
const GENERIC: &str =
    "a key is a PEM document of an X25519 key, or 64 hexadecimal digits; `pssst keygen --out FILE` makes one";
/// What to do about [`digits`] that are not a key.
pub(crate) const COPY_AGAIN: &str = "copy the whole key again: `pssst pubkey FILE` prints the public one";
const OTHER_ALGORITHM: (&str, &str) = (
    "holds a key of another algorithm than X25519",
    "make one with `pssst keygen --out FILE`, or with `openssl genpkey -algorithm X25519`",
);

const X_WING: (&str, &str) = (
    "holds a key of suite f003, which servers have and clients have not",
    "give an X25519 key: `pssst keygen --out FILE` makes one",
);

/// The kind of key that is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    Secret,
    Public,
}

/// Returns what a text holds that is not the key that is wanted, and what to do. Nothing of the
/// text is repeated.
pub(crate) fn explain(text: &str, wanted: Wanted) -> (String, &'static str) {
    let fixed = |(what, remedy): (&str, &'static str)| (what.to_owned(), remedy);
    let text = text.trim();
    if text.is_empty() {
        return fixed(("is empty", "give the file that `pssst keygen --out FILE` wrote"));
    }
    if let Some(label) = label(text) {
        return fixed(document(text, label, wanted));
    }
    if text.starts_with("pssst-token-") {
        return fixed(("holds an enrolment token, not a key", "a token is for `pssst enroll --token FILE`"));
    }
    if text.starts_with('{') && text.contains("\"keys\"") {
        return fixed(("holds a schedule of keys, not a single key", "a schedule is given with --keys FILE"));
    }
    if let Some(what) = digits(text) {
        return (what, COPY_AGAIN);
    }
    if text.len() == 44 && text.ends_with('=') && !text.contains(char::is_whitespace) {
        return fixed(("holds a key in Base64, as WireGuard writes it", GENERIC));
    }
    fixed(("has no key that can be used here", GENERIC))
}

/// Returns what is wrong with a text that was meant as a key in hexadecimal digits.
pub(crate) fn digits(text: &str) -> Option<String> {
    let is_word = !text.contains(|c: char| c.is_whitespace() || c == '/' || c == '.');
    let hex = text.bytes().filter(u8::is_ascii_hexdigit).count();
    // Far more digits than names of files have.
    if !is_word || text.len() > 2 * DIGITS || hex < 40 || hex + 4 < text.len() {
        return None;
    }
    Some(match text.chars().enumerate().find(|(_, c)| !c.is_ascii_hexdigit()) {
        Some((place, c)) => {
            format!("looks like a key, but its character {} is {c:?}, not a hexadecimal digit", place + 1)
        }
        None => format!("looks like a key of {hex} digits; a key has {DIGITS}"),
    })
}

fn label(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("-----BEGIN ")?;
    rest.split_once("-----").map(|(label, _)| label)
}

fn document(text: &str, label: &str, wanted: Wanted) -> (&'static str, &'static str) {
    match label {
        "PRIVATE KEY" if wanted == Wanted::Secret && XWingSecretKey::from_pem(text).is_ok() => X_WING,
        "PUBLIC KEY" if wanted == Wanted::Public && XWingPublicKey::from_pem(text).is_ok() => X_WING,
        "PUBLIC KEY" if wanted == Wanted::Secret && ServerKey::from_text(text).is_ok() => {
            ("holds a public key", "give the file that `pssst keygen --out` wrote: a secret key is needed here")
        }
        "PRIVATE KEY" if wanted == Wanted::Public && ServerSecretKey::from_text(text).is_ok() => {
            ("holds a secret key", "give the public key: `pssst pubkey FILE` prints it")
        }
        "ENCRYPTED PRIVATE KEY" => (
            "holds an encrypted secret key",
            "decrypt it into a file that only its owner can read: (umask 077; openssl pkey -in FILE -out NEW)",
        ),
        "RSA PRIVATE KEY" | "EC PRIVATE KEY" | "DSA PRIVATE KEY" | "EC PARAMETERS" | "OPENSSH PRIVATE KEY" => {
            OTHER_ALGORITHM
        }
        "CERTIFICATE" | "TRUSTED CERTIFICATE" | "X509 CERTIFICATE" | "CERTIFICATE REQUEST" => {
            ("holds a certificate, not a key", GENERIC)
        }
        "PRIVATE KEY" | "PUBLIC KEY" if text.contains("-----END ") => {
            // The identifier of X25519 begins in the same place in every form of its keys.
            if text.contains("AwBQYDK2VuB") || text.contains("MCowBQYDK2VuAyEA") {
                ("holds an X25519 key that is damaged", "restore the file, or make a new key with `pssst keygen`")
            } else {
                OTHER_ALGORITHM
            }
        }
        "PRIVATE KEY" | "PUBLIC KEY" => {
            ("is cut off: it has no END line", "restore the file, or make a new key with `pssst keygen`")
        }
        _ => ("holds a PEM document that is not a key", GENERIC),
    }
}

#[cfg(test)]
mod tests {
    use pssst::SecretKey;

    use super::*;

    #[test]
    fn each_mistake_is_named() {
        let secret = SecretKey::from_bytes([7; 32]);
        let (secret_pem, public_pem) = (secret.expose_pem(), secret.public_key().to_pem());
        let key = format!("{:x}", secret.public_key());
        let with_other = |label: &str| format!("-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n");
        for (text, wanted, expected) in [
            ("", Wanted::Secret, "is empty"),
            ("hello", Wanted::Secret, "has no key that can be used here"),
            (&public_pem, Wanted::Secret, "holds a public key"),
            (&secret_pem, Wanted::Public, "holds a secret key"),
            (&with_other("ENCRYPTED PRIVATE KEY"), Wanted::Secret, "encrypted secret key"),
            (&with_other("OPENSSH PRIVATE KEY"), Wanted::Secret, "another algorithm"),
            (&with_other("PRIVATE KEY"), Wanted::Secret, "another algorithm"),
            (&with_other("CERTIFICATE"), Wanted::Public, "certificate"),
            (&with_other("PGP MESSAGE"), Wanted::Public, "not a key"),
            (&secret_pem[..secret_pem.len() - 30], Wanted::Secret, "cut off"),
            (&secret_pem.replace("BCIE", "BCIF"), Wanted::Secret, "damaged"),
            (&key[1..], Wanted::Public, "a key of 63 digits; a key has 64"),
            (&format!("{key}0"), Wanted::Public, "a key of 65 digits"),
            (&format!("g{}", &key[1..]), Wanted::Public, "its character 1 is 'g'"),
            ("pssst-token-0123", Wanted::Secret, "enrolment token"),
            ("{\"version\": 1, \"keys\": []}", Wanted::Secret, "schedule"),
            ("yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=", Wanted::Public, "Base64"),
        ] {
            let (what, remedy) = explain(text, wanted);
            assert!(what.contains(expected) && !remedy.is_empty(), "{text}: {what}");
        }
        for name in ["server.key", "keys/0123456789012345678901234567890123456789", "deadbeef", "a b"] {
            assert_eq!(digits(name), None, "{name}");
        }
    }
}
