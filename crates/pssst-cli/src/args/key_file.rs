//! Key files: created with mode 0600, and refused if other users can read them.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

use pssst::{PskMaster, PublicKey, SecretKey, ServerKey, ServerSecretKey};
use pssst_directory::StoredPsk;
use pssst_support::{FileErrorCause, atomic_file, byte_order_mark, secret_file};
use zeroize::Zeroizing;

use super::mistaken_key::{self, Wanted};
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
    read_secret_as(path, access, SecretKey::from_text)
}

/// Reads a server's secret key of either kind: PEM, or hexadecimal. `-` is standard input.
pub(crate) fn read_server_secret(path: &Path, access: &Access) -> Result<ServerSecretKey, Failure> {
    read_secret_as(path, access, ServerSecretKey::from_text)
}

/// Reads a pre-shared key: 64 hexadecimal digits, and perhaps the name of its master. `-` is
/// standard input.
pub(crate) fn read_psk(path: &Path, access: &Access) -> Result<StoredPsk, Failure> {
    read_secret_as(path, access, |text| StoredPsk::parse(text).map_err(|_| pssst::Error::InvalidKey))
}

/// Replaces the file of a pre-shared key as a whole.
pub(crate) fn replace_psk(path: &Path, psk: &StoredPsk) -> Result<(), Failure> {
    atomic_file::replace(path, 0o600, psk.to_text().as_bytes()).map_err(|error| {
        Failure::new(
            format!("cannot replace {}: {error}", path.display()),
            "check the path and its permissions, and try again: the old pre-shared key can renew as long as its master \
             is accepted",
        )
    })
}

/// Reads a master of pre-shared keys, 64 hexadecimal digits. `-` is standard input.
pub(crate) fn read_psk_master(path: &Path, access: &Access) -> Result<PskMaster, Failure> {
    read_secret_as(path, access, PskMaster::from_hex)
}

fn read_secret_as<K>(
    path: &Path,
    access: &Access,
    parse: impl FnOnce(&str) -> Result<K, pssst::Error>,
) -> Result<K, Failure> {
    let (text, exposed) = read(path)?;
    let key = parse(&text).map_err(|_| no_key_in(path, &text, Wanted::Secret))?;
    match exposed.filter(|_| !access.allow_exposed_keys) {
        None => Ok(key),
        // Only now: other files may well be for all to read.
        Some(mode) => Err(Failure::new(
            format!("other users can read the secret in {} (mode {mode:04o})", path.display()),
            format!(
                "if it is a public key, give the file of the secret one; else treat the secret as exposed and make a new one, \
                 or, if no other user had access: chmod 600 {}",
                path.display()
            ),
        )),
    }
}

/// Reads a file that only its owner may read.
pub(crate) fn read_secret_text(path: &Path, access: &Access) -> Result<Zeroizing<String>, Failure> {
    match read(path)? {
        (text, None) => Ok(text),
        (text, Some(_)) if access.allow_exposed_keys => Ok(text),
        (_, Some(mode)) => Err(Failure::new(
            format!("other users can read {} (mode {mode:04o})", path.display()),
            "check that this is the right file; if it is, treat the secret as exposed, and write the new one with umask 077",
        )),
    }
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
    let (text, _) = read(path)?;
    PublicKey::from_text(&text).map_err(|_| no_key_in(path, &text, Wanted::Public))
}

/// Reads a server's public key of either kind, PEM or hexadecimal. `-` is standard input.
pub(crate) fn read_server_key(path: &Path) -> Result<ServerKey, Failure> {
    let (text, _) = read(path)?;
    ServerKey::from_text(&text).map_err(|_| no_key_in(path, &text, Wanted::Public))
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

/// Reads a file, and returns its mode as well if other users can read or change it.
fn read(path: &Path) -> Result<(Zeroizing<String>, Option<u32>), Failure> {
    // Sized at once: growing would leave copies behind.
    let mut text = Zeroizing::new(String::with_capacity(MAX_LEN + 1));
    let limit = MAX_LEN as u64 + 1;
    let mut exposed = None;
    let read = if path == Path::new("-") {
        io::stdin().take(limit).read_to_string(&mut text)
    } else {
        let file = File::open(path).map_err(|error| cannot_open(path, &error))?;
        match secret_file::check(&file) {
            Ok(()) => {}
            Err(FileErrorCause::Exposed(mode)) => exposed = Some(mode),
            Err(cause) => return Err(cannot("read", path, &cause.into())),
        }
        file.take(limit).read_to_string(&mut text)
    };
    match read {
        Ok(len) if len <= MAX_LEN => {
            byte_order_mark::remove(&mut text);
            Ok((text, exposed))
        }
        Err(error) if error.kind() != io::ErrorKind::InvalidData => Err(cannot("read", path, &error)),
        Ok(_) | Err(_) => Err(Failure::new(
            format!("{} is not a text file, or is too long for a key", path.display()),
            "check that this is the right file",
        )),
    }
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
    if let Some(what) = path.to_str().and_then(mistaken_key::digits) {
        return Failure::usage(format!("{} {what}", path.display()), mistaken_key::COPY_AGAIN);
    }
    cannot("open", path, error)
}

fn cannot(verb: &str, path: &Path, error: &io::Error) -> Failure {
    Failure::new(format!("cannot {verb} {}: {error}", path.display()), "check the path and its permissions")
}

fn no_key_in(path: &Path, text: &str, wanted: Wanted) -> Failure {
    let (what, remedy) = mistaken_key::explain(text, wanted);
    Failure::new(format!("{} {what}", path.display()), remedy)
}
