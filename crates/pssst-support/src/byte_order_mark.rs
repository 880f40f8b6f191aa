//! What some editors put before a text in UTF-8. It belongs to no text.

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Removes a byte-order mark from a text, in place: no copy of a secret is left behind.
pub fn remove(text: &mut String) {
    if text.as_bytes().starts_with(BYTE_ORDER_MARK) {
        text.remove(0);
    }
}

/// Removes a byte-order mark from a text that was not decoded yet, in place.
pub(crate) fn remove_from_bytes(text: &mut Vec<u8>) {
    if text.starts_with(BYTE_ORDER_MARK) {
        text.drain(..BYTE_ORDER_MARK.len());
    }
}

/// Returns a text without a byte-order mark.
#[cfg(feature = "tls")]
pub(crate) fn strip(text: &[u8]) -> &[u8] {
    text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text)
}
