//! The file of operators.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pssst::rand_core::TryRng;
use pssst::{SysRng, key_text};
use pssst_support::{Change, Contents, Source, WatchStatus, atomic_file, secret_file};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::Error;
use crate::watched::Watched;

/// Before the `1` and the checksummed part, in either case.
const PREFIX: &str = "pssst-operator-";
const HASH_PREFIX: &str = "sha256:";
const SECRET_LEN: usize = 32;
const MAX_NAME_LEN: usize = 64;

/// The operators of a directory, from a text file that may be changed at any time: a line `NAME
/// sha256:HASH` for each token, blank lines, and comments that begin with `#`. Cheap to clone; all
/// clones share one state.
///
/// A token is text with a prefix that scanners for secrets find, and a checksum:
/// `PSSST-OPERATOR-1…`, Bech32m (BIP 350) of 32 random bytes. The hash is SHA-256 of these bytes,
/// in hexadecimal digits: with 256 random bits a slow hash is not needed. The file reveals no
/// token; but anyone who can write it is an operator. One name may have several lines, for a while
/// when its token is replaced by another.
///
/// ```
/// use pssst_directory_server::Operators;
///
/// let (line, token) = Operators::new_credential("alice")?;
/// assert!(line.starts_with("alice sha256:"));
/// // The line goes into the file; the token goes to Alice, and is kept nowhere else.
/// # drop(token);
/// # Ok::<(), pssst_directory_server::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Operators {
    current: Arc<Watched<Vec<Operator>>>,
}

struct Operator {
    name: String,
    hash: [u8; 32],
}

impl Operators {
    /// Opens the file. A [`Directory`](crate::Directory) polls it every second and loads contents
    /// that two polls agree on, but not a file that has become empty: leave a comment in it if
    /// there are to be no operators.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::TooLong`], and [`Error::Syntax`] for a file with any other line.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, Error> {
        Ok(Self { current: Arc::new(Watched::open(vec![Source::new(path)], parse)?) })
    }

    /// Generates a token for an operator. Returns the line for the file, and the token.
    ///
    /// # Errors
    /// [`Error::Syntax`] for anything but a name of 1 to 64 letters, digits and `.`, `-`, `_`, `@`;
    /// [`Error::Protocol`] when the system has no randomness.
    pub fn new_credential(name: &str) -> Result<(String, Zeroizing<String>), Error> {
        check_name(name)?;
        let mut secret = Zeroizing::new([0; SECRET_LEN]);
        SysRng.try_fill_bytes(&mut *secret).map_err(|_| pssst::Error::RandomnessUnavailable)?;
        let hash = base16ct::lower::encode_string(&Sha256::digest(secret.as_slice()));
        Ok((format!("{name} {HASH_PREFIX}{hash}"), key_text::encode_secret(PREFIX, &*secret)))
    }

    /// Creates a token for an operator, delivers it, and adds its line to a file: a token that was
    /// not delivered admits nobody. The file is created if it does not exist, and keeps its
    /// comments. Blocks.
    ///
    /// # Errors
    /// The errors of [`Operators::new_credential`], of [`Operators::open`] and of the delivery. The
    /// file is unchanged then.
    pub fn add(path: &Path, name: &str, deliver: impl FnOnce(&str) -> io::Result<()>) -> Result<(), Error> {
        let (line, token) = Self::new_credential(name)?;
        if !path.exists() {
            secret_file::create_if_missing(path)?;
        }
        edit(path, |text| {
            deliver(&token)?;
            let separator = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
            Ok(format!("{text}{separator}{line}\n"))
        })
    }

    /// Removes all tokens of an operator from a file, and returns how many there were. Blocks.
    ///
    /// # Errors
    /// The errors of [`Operators::open`]. The file is unchanged then.
    pub fn remove(path: &Path, name: &str) -> Result<usize, Error> {
        let mut removed = 0;
        edit(path, |text| {
            let is_other = |line: &&str| line.split_whitespace().next() != Some(name);
            let kept: String = text.lines().filter(is_other).flat_map(|line| [line, "\n"]).collect();
            removed = text.lines().count() - kept.lines().count();
            // A file that has become empty would be refused.
            Ok(if kept.is_empty() { "# No operators.\n".to_owned() } else { kept })
        })?;
        Ok(removed)
    }

    /// Returns the names of the operators, one for each token.
    pub fn names(&self) -> Vec<String> {
        self.current.load().iter().map(|operator| operator.name.clone()).collect()
    }

    /// Reads the file again, takes what is in it at once, and returns whether that is new. Blocks.
    ///
    /// # Errors
    /// The errors of [`Operators::open`]; the previous contents stay in force.
    pub fn reload(&self) -> Result<bool, Error> {
        self.current.reload()
    }

    pub(crate) fn status(&self) -> impl Iterator<Item = (PathBuf, WatchStatus)> {
        self.current.status()
    }

    /// Returns the file that cannot be used and the cause; `None` while all is well.
    pub fn error(&self) -> Option<String> {
        self.current.error()
    }

    /// Takes what two polls have read. Failures are logged. Blocks.
    pub(crate) fn poll(&self) {
        let before = self.current.load().len();
        if !matches!(self.current.poll(), Ok(Change::New)) {
            return;
        }
        match self.current.load().len() {
            now if now < before => tracing::warn!(before, now, "there are fewer operators' tokens"),
            now => tracing::info!(before, now, "the operators' tokens have changed"),
        }
    }

    /// Returns the name of the operator with this token. It takes the same time for every operator
    /// and for every partial match.
    pub(super) fn find(&self, token: &str) -> Option<String> {
        let mut secret = Zeroizing::new([0; SECRET_LEN]);
        key_text::decode(token, PREFIX, &mut *secret).ok()?;
        let hash = Sha256::digest(secret.as_slice());
        let operators = self.current.load();
        let mut found = None;
        for operator in operators.iter() {
            if operator.hash.ct_eq(&hash).into() {
                found = Some(operator);
            }
        }
        found.map(|operator| operator.name.clone())
    }
}

/// Changes a file of operators that is right, as one.
fn edit(path: &Path, change: impl FnOnce(&str) -> Result<String, Error>) -> Result<(), Error> {
    let _lock = atomic_file::lock(path)?;
    let contents = Source::new(path).read()?;
    parse(std::slice::from_ref(&contents))?;
    let text = String::from_utf8_lossy(&contents);
    let changed = change(&text)?;
    if changed != text {
        atomic_file::replace(path, 0o600, changed.as_bytes())?;
    }
    Ok(())
}

fn parse(contents: &[Contents]) -> Result<Vec<Operator>, Error> {
    const EXPECTED: Error = Error::Syntax("operators: lines of a name and sha256: with 64 hexadecimal digits");
    let text = contents.first().and_then(|content| std::str::from_utf8(content).ok()).ok_or(EXPECTED)?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let operator = |line: &str| {
        let (name, hash) = line.split_once(char::is_whitespace).ok_or(EXPECTED)?;
        check_name(name)?;
        let digits = hash.trim_start().strip_prefix(HASH_PREFIX).ok_or(EXPECTED)?;
        let mut hash = [0; 32];
        match base16ct::mixed::decode(digits, &mut hash) {
            Ok(decoded) if decoded.len() == 32 => Ok(Operator { name: name.to_owned(), hash }),
            _ => Err(EXPECTED),
        }
    };
    lines.map(operator).collect()
}

/// So restricted that it is safe in headers, logs and lines; and no colon, since the names of
/// certificates have one.
fn check_name(name: &str) -> Result<(), Error> {
    let is_name = (1..=MAX_NAME_LEN).contains(&name.len())
        && name.bytes().all(|c| c.is_ascii_alphanumeric() || b".-_@".contains(&c));
    if is_name { Ok(()) } else { Err(Error::Syntax("the name of an operator: letters, digits and . - _ @")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, text).unwrap();
        file
    }

    #[test]
    fn tokens_name_their_operators() {
        let [(alice, alices), (second, seconds), (bob, bobs)] =
            ["alice", "alice", "bob"].map(|name| Operators::new_credential(name).unwrap());
        let file = file(&format!("# operators\n\n{alice}\n  {second}\r\n{}\n", bob.replace(' ', "\t ")));
        let operators = Operators::open(file.path()).unwrap();
        for (token, name) in [(&alices, "alice"), (&seconds, "alice"), (&bobs, "bob")] {
            assert_eq!(operators.find(token).as_deref(), Some(name));
        }
        let (_, unknown) = Operators::new_credential("alice").unwrap();
        for wrong in [&unknown[..], "", PREFIX, &alices[..alices.len() - 1], &format!("{}0", *alices), &alices[1..]] {
            assert_eq!(operators.find(wrong), None);
        }
        std::fs::write(&file, bob).unwrap();
        assert!(operators.reload().unwrap());
        assert_eq!((operators.find(&alices), operators.find(&bobs)), (None, Some("bob".to_owned())));
        // An unusable file neither locks operators out nor admits anyone.
        std::fs::write(&file, "alice").unwrap();
        assert!(operators.reload().is_err());
        assert_eq!((operators.find(&alices), operators.find(&bobs)), (None, Some("bob".to_owned())));
    }

    #[test]
    fn a_secret_that_somebody_made_up_is_none() {
        let hash = base16ct::lower::encode_string(&Sha256::digest(b"hunter2"));
        let file = file(&format!("alice sha256:{hash}\n"));
        assert_eq!(Operators::open(file.path()).unwrap().find("hunter2"), None);
    }

    fn add(path: &Path, name: &str) -> Result<String, Error> {
        let mut delivered = String::new();
        let deliver = |token: &str| {
            token.clone_into(&mut delivered);
            Ok(())
        };
        Operators::add(path, name, deliver)?;
        Ok(delivered)
    }

    #[test]
    fn a_token_that_nobody_got_admits_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("operators.txt");
        add(&path, "alice").unwrap();
        let before = std::fs::read_to_string(&path).unwrap();
        let refused = Operators::add(&path, "bob", |_| Err(io::ErrorKind::StorageFull.into()));
        assert!(matches!(refused, Err(Error::File(_))), "{refused:?}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), before);
    }

    #[test]
    fn removing_an_operator_removes_all_tokens_of_that_name_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("operators.txt");
        for name in ["alice", "bob", "alice", "alice2"] {
            add(&path, name).unwrap();
        }
        assert_eq!(Operators::open(&path).unwrap().names(), ["alice", "bob", "alice", "alice2"]);
        let followed = Operators::open(&path).unwrap();
        for (name, removed, left) in [("alice", 2, 2), ("carol", 0, 2), ("bob", 1, 1), ("alice2", 1, 0)] {
            assert_eq!(Operators::remove(&path, name).unwrap(), removed);
            // Even when nobody is left the file is not empty, which would count as damage.
            followed.reload().unwrap();
            assert_eq!(followed.names().len(), left);
        }
    }

    #[test]
    fn an_operator_is_added_to_whole_files_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("operators.txt");
        let alices = add(&path, "alice").unwrap();
        // An editor left no newline at the end.
        let text = format!("# staff\n{}", std::fs::read_to_string(&path).unwrap().trim_end());
        std::fs::write(&path, &text).unwrap();
        let bobs = add(&path, "bob").unwrap();
        let operators = Operators::open(&path).unwrap();
        for (token, name) in [(&alices, "alice"), (&bobs, "bob")] {
            assert_eq!(operators.find(token).as_deref(), Some(name));
        }
        assert!(std::fs::read_to_string(&path).unwrap().starts_with("# staff\nalice sha256:"));
        // Half a line, as an interrupted writer leaves it, is not joined with another.
        let broken = format!("{text}\ncarol sha256:00");
        std::fs::write(&path, &broken).unwrap();
        assert!(matches!(add(&path, "dave"), Err(Error::Syntax(_))));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), broken);
    }

    #[test]
    fn other_lines_are_refused() {
        let hash = "00".repeat(32);
        for line in ["alice", "alice 00", &format!("alice {hash}"), &format!("a:b sha256:{hash}"), "alice sha256:00"] {
            assert!(matches!(Operators::open(file(line).path()), Err(Error::Syntax(_))), "{line}");
        }
        for name in ["", "a b", "a:b", "ä", &"a".repeat(65)] {
            assert!(Operators::new_credential(name).is_err(), "{name}");
        }
    }
}
