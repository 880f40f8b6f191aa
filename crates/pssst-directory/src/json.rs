//! Secrets in JSON, without copies that are left behind.

use std::io;

use serde::Serialize;
use zeroize::Zeroizing;

/// Returns a value as JSON. The text is sized at once, since growing would leave copies behind.
pub(crate) fn to_wiped_vec<T: Serialize>(value: &T) -> Zeroizing<Vec<u8>> {
    let mut len = Len(0);
    // Strings, numbers and lists cannot fail.
    serde_json::to_writer(&mut len, value).unwrap_or_default();
    let mut text = Zeroizing::new(Vec::with_capacity(len.0));
    serde_json::to_writer(&mut *text, value).unwrap_or_default();
    text
}

/// Counts what is written.
struct Len(usize);

impl io::Write for Len {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads 64 hexadecimal digits.
pub(crate) fn from_hex(text: &str) -> Option<Zeroizing<[u8; 32]>> {
    let mut bytes = Zeroizing::new([0; 32]);
    let is_whole = base16ct::mixed::decode(text, &mut *bytes).is_ok_and(|decoded| decoded.len() == 32);
    is_whole.then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_never_grow() {
        let text = to_wiped_vec(&serde_json::json!({ "a": ["\u{1}\"", 7, null] }));
        assert_eq!(&**text, br#"{"a":["\u0001\"",7,null]}"#);
        assert_eq!(text.capacity(), text.len());
    }

    #[test]
    fn digits_are_64() {
        assert_eq!(from_hex(&"5C".repeat(32)).as_deref(), Some(&[0x5c; 32]));
        for wrong in [&"5c".repeat(31), &"5c".repeat(33), &"5g".repeat(32), &format!(" {}", "5c".repeat(32)), ""] {
            assert!(from_hex(wrong).is_none(), "{wrong}");
        }
    }
}
