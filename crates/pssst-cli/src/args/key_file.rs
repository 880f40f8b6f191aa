//! Key files: created with mode 0600, and refused if other users can read them.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

use pssst::{PublicKey, SecretKey};
use pssst_support::{FileError, FileErrorCause, byte_order_mark, secret_file};
use zeroize::Zeroizing;

use pssst_service::Failure;

/// Far more than any key file has.
const MAX_LEN: usize = 16 * 1024;

/// How a secret key file is read.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Access {
    /// Accept secret key files that other users can read, as in secret mounts of some container
    /// runtimes.
    #[arg(long)]
    pub(crate) allow_exposed_keys: bool,
}

/// Reads a secret key, PEM or hexadecimal. `-` is standard input.
pub(crate) fn read_secret(path: &Path, access: &Access) -> Result<SecretKey, Failure> {
    let text = read_unexposed(path, access)?.ok_or_else(|| no_key_in(path))?;
    SecretKey::from_text(&text).map_err(|_| {
        if PublicKey::from_pem(&text).is_ok() {
            Failure::new(
                format!("{} holds a public key", path.display()),
                "give the file that `pssst keygen --out` wrote: a secret key is needed here",
            )
        } else {
            no_key_in(path)
        }
    })
}

/// Reads a file that only its owner may read.
pub(crate) fn read_secret_text(path: &Path, access: &Access) -> Result<Zeroizing<String>, Failure> {
    read_unexposed(path, access)?.ok_or_else(|| {
        Failure::new(
            format!("{} is not a text file, or is too long", path.display()),
            "check that this is the right file",
        )
    })
}

/// Services read their files again at every reload. A pipe would be empty then, or would block.
pub(crate) fn refuse_streams<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Result<(), Failure> {
    let is_stdin = |path: &Path| path == Path::new("-");
    let is_stream = |path: &&Path| is_stdin(path) || path.metadata().is_ok_and(|it| !it.is_file() && !it.is_dir());
    let Some(stream) = paths.into_iter().find(is_stream) else { return Ok(()) };
    let name = if is_stdin(stream) { Path::new("standard input") } else { stream };
    Err(Failure::usage(
        format!("{} is not a regular file, and services reload their files", name.display()),
        "give the name of a file",
    ))
}

/// Reads a public key, PEM or hexadecimal. `-` is standard input.
pub(crate) fn read_public(path: &Path) -> Result<PublicKey, Failure> {
    let remedy = "--server-key takes 64 hexadecimal digits, or a file that holds a public key";
    let text = read(path, open).map_err(|failure| failure.with_remedy(remedy))?;
    let key = text.and_then(|text| PublicKey::from_text(&text).ok());
    key.ok_or_else(|| no_key_in(path).with_remedy(remedy))
}

/// Creates a file that only its owner can read. Never overwrites one.
pub(crate) fn create(path: &Path) -> Result<File, Failure> {
    secret_file::create(path).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => Failure::new(
            format!("{} exists already", path.display()),
            "nothing is overwritten: choose another name, or remove the file first",
        ),
        _ => cannot("create", path, &error),
    })
}

/// Writes a secret key to a new file that only its owner can read. Never overwrites one.
pub(crate) fn create_secret(path: &Path, text: &str) -> Result<(), Failure> {
    let mut file = create(path)?;
    write_or_remove(path, &mut file, format_args!("{text}")).map_err(|error| cannot("write", path, &error))
}

/// Writes a secret to its new file. Half of one is none, and would be in the way of the next: the
/// file is removed then.
pub(super) fn write_or_remove(path: &Path, file: &mut File, text: fmt::Arguments<'_>) -> io::Result<()> {
    let written = file.write_fmt(text).and_then(|()| file.sync_all());
    written.inspect_err(|_| drop(fs::remove_file(path)))
}

fn read_unexposed(path: &Path, access: &Access) -> Result<Option<Zeroizing<String>>, Failure> {
    read(path, if access.allow_exposed_keys { open } else { open_unexposed })
}

/// `None` if the file is not text, or is too long.
fn read(path: &Path, open: fn(&Path) -> Result<File, Failure>) -> Result<Option<Zeroizing<String>>, Failure> {
    // Sized at once: growing would leave copies behind.
    let mut text = Zeroizing::new(String::with_capacity(MAX_LEN + 1));
    let limit = MAX_LEN as u64 + 1;
    let read = if path == Path::new("-") {
        io::stdin().take(limit).read_to_string(&mut text)
    } else {
        open(path)?.take(limit).read_to_string(&mut text)
    };
    match read {
        Ok(len) => {
            byte_order_mark::remove(&mut text);
            Ok((len <= MAX_LEN).then_some(text))
        }
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(None),
        Err(error) => Err(cannot("read", path, &error)),
    }
}

fn open(path: &Path) -> Result<File, Failure> {
    File::open(path).map_err(|error| cannot_open(path, &error))
}

fn open_unexposed(path: &Path) -> Result<File, Failure> {
    secret_file::open(path).map_err(|FileError { cause, .. }| match cause {
        FileErrorCause::Exposed(mode) => Failure::new(
            format!("other users can read the secret in {} (mode {mode:04o})", path.display()),
            format!(
                "treat the secret as exposed and make a new one; or, if no other user had access: chmod 600 {}",
                path.display()
            ),
        ),
        cause => cannot_open(path, &cause.into()),
    })
}

fn cannot_open(path: &Path, error: &io::Error) -> Failure {
    let is_a_key = path.to_str().is_some_and(|text| SecretKey::from_hex(text).is_ok());
    if is_a_key {
        // Without repeating it.
        return Failure::usage(
            "a key was given where its file belongs",
            "every user of this machine can see a command line: count that key as exposed, make a new one with \
             `pssst keygen --out FILE`, and give the file's name",
        );
    }
    cannot("open", path, error)
}

fn cannot(verb: &str, path: &Path, error: &io::Error) -> Failure {
    Failure::new(format!("cannot {verb} {}: {error}", path.display()), "check the path and its permissions")
}

fn no_key_in(path: &Path) -> Failure {
    Failure::new(
        format!("{} has no key that can be used here", path.display()),
        "a key file is a PEM document of an X25519 key, or 64 hexadecimal digits; `pssst keygen --out FILE` makes one",
    )
}
