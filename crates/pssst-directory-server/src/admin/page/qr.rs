//! QR codes, as pictures without a script.

use pssst_link::MAX_LEN;
use qrcode::Color;
use zeroize::Zeroizing;

/// Modules around a code that have to be light.
const QUIET_ZONE: usize = 4;

/// A code as a path of SVG. Its text may be a secret, and so is the picture.
pub(super) struct QrCode {
    /// Width and height, with the quiet zone.
    pub(super) width: usize,
    /// A rectangle for each run of dark modules.
    pub(super) path: Zeroizing<String>,
}

impl QrCode {
    /// Returns the code of a link.
    pub(super) fn new(text: &str) -> Option<Self> {
        debug_assert!(text.len() <= MAX_LEN, "longer texts than links have larger codes");
        let code = qrcode::QrCode::new(text.as_bytes()).ok()?;
        let (size, colors) = (code.width(), code.into_colors());
        // At once: a string that grows leaves pieces behind.
        let mut path = Zeroizing::new(String::with_capacity(colors.len() * 20));
        for (y, row) in colors.chunks(size).enumerate() {
            let mut x = 0;
            for run in row.chunk_by(|left, right| left == right) {
                if run.first() == Some(&Color::Dark) {
                    let [left, top, len] = [x + QUIET_ZONE, y + QUIET_ZONE, run.len()].map(|number| number.to_string());
                    path.extend(["M", &left, " ", &top, "h", &len, "v1h-", &len, "z"]);
                }
                x += run.len();
            }
        }
        Some(Self { width: size + 2 * QUIET_ZONE, path })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The browser's test reads a code back; this one sees that the path has every module.
    #[test]
    fn the_path_has_the_modules_of_the_code() {
        let text = "pssst://pool.example:45678/?key=1&check=00000000";
        let code = qrcode::QrCode::new(text).unwrap();
        let QrCode { width, path } = QrCode::new(text).unwrap();
        assert_eq!(width, code.width() + 8);
        let dark: usize =
            path.split('M').skip(1).map(|run| run.split(['h', 'v']).nth(1).unwrap().parse::<usize>().unwrap()).sum();
        assert_eq!(dark, code.to_colors().iter().filter(|color| **color == Color::Dark).count());
        assert!(path.starts_with("M4 4h7v1h-7z"), "the finder pattern: {}", &path[..20]);
    }
}
