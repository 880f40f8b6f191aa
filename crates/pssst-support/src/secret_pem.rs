//! Secrets as PEM documents (RFC 7468) with labels of their own, so that each file says what it
//! holds. No copies of the secrets are left behind.

use pem_rfc7468::{LineEnding, decode as decode_pem, encode as encode_pem, encoded_len};
use zeroize::Zeroizing;

/// Returns a document with this label and these bytes.
///
/// ```
/// use pssst_support::secret_pem;
///
/// let text = secret_pem::encode("PSSST EXAMPLE", &[0x5c; 32]);
/// assert!(text.starts_with("-----BEGIN PSSST EXAMPLE-----\n"));
/// assert_eq!(secret_pem::decode("PSSST EXAMPLE", &text).as_deref(), Some(&vec![0x5c; 32]));
/// assert_eq!(secret_pem::decode("PSSST OTHER", &text), None);
/// ```
///
/// # Panics
/// If the label is not one of RFC 7468, or the text would be longer than memory.
#[expect(clippy::expect_used, reason = "callers give labels that are constants")]
pub fn encode(label: &str, secret: &[u8]) -> Zeroizing<String> {
    const VALID: &str = "the label is valid, and the text fits memory";
    let len = encoded_len(label, LineEnding::LF, secret).expect(VALID);
    let mut buffer = Zeroizing::new(vec![0; len]);
    let text = encode_pem(label, LineEnding::LF, secret, &mut buffer).expect(VALID);
    Zeroizing::new(text.to_owned())
}

/// Returns the bytes of a document with this label; `None` for any other text. Text before the
/// document is passed over, and white space after it.
pub fn decode(label: &str, text: &str) -> Option<Zeroizing<Vec<u8>>> {
    // Longer than what it decodes to, and sized at once: growing would leave copies behind.
    let mut buffer = Zeroizing::new(vec![0; text.len()]);
    let (found, secret) = decode_pem(text.trim_end().as_bytes(), &mut buffer).ok()?;
    let len = secret.len();
    if found != label {
        return None;
    }
    buffer.truncate(len);
    Some(buffer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_survive_what_tools_do_to_them() {
        let secret: Vec<_> = (0..=255).collect();
        let text = encode("PSSST EXAMPLE", &secret);
        let read = |text: &str| decode("PSSST EXAMPLE", text).map(|secret| secret.to_vec());
        let crlf = text.replace('\n', "\r\n");
        for same in [&*text, &crlf, text.trim_end(), &format!("a comment\n{}\n \n", *text)] {
            assert_eq!(read(same).as_ref(), Some(&secret), "{same}");
        }
        let end = text.find("-----END").unwrap();
        for wrong in ["", "hello", &text[..end], &text.replace('A', "!"), &text[1..], &format!("{}{}", *text, *text)] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
