//! Key files: created with mode 0600, and refused if other users can read them.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

use pssst::{PskMaster, PublicKey, SecretKey, ServerKey, ServerSecretKey};
use pssst_directory::{IssuedPsk, Renewed};
use pssst_directory_server::psk_master_from_pem;
use pssst_identity::Token;
use pssst_link::Link;
use pssst_net::Credentials;
use pssst_support::{FileErrorCause, atomic_file, byte_order_mark, secret_file};
use zeroize::Zeroizing;

use super::key_kind::{Kind, is_secret};
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

/// Reads a client's secret key, PEM or hexadecimal. `-` is standard input.
pub(crate) fn read_secret(path: &Path, access: &Access) -> Result<SecretKey, Failure> {
    read_secret_as(path, access, Wanted::ClientSecret, |text| SecretKey::from_text(text).ok())
}

/// Reads a client's secret key, or the precomputed identity of a device that does not hold it. `-`
/// is standard input.
pub(crate) fn read_identity(path: &Path, access: &Access) -> Result<Credentials, Failure> {
    read_secret_as(path, access, Wanted::Identity, |text| {
        let secret = SecretKey::from_text(text).map(Credentials::new);
        secret.or_else(|_| Credentials::from_precomputed_pem(text)).ok()
    })
}

/// Reads a server's secret key of either kind: PEM, or hexadecimal. `-` is standard input.
pub(crate) fn read_server_secret(path: &Path, access: &Access) -> Result<ServerSecretKey, Failure> {
    read_secret_as(path, access, Wanted::ServerSecret, |text| ServerSecretKey::from_text(text).ok())
}

/// Reads a pre-shared key, PEM. `-` is standard input.
pub(crate) fn read_psk(path: &Path, access: &Access) -> Result<IssuedPsk, Failure> {
    read_secret_as(path, access, Wanted::Psk, |text| IssuedPsk::from_pem(text).ok())
}

/// Replaces the file of a renewed secret as a whole.
fn replace_secret(path: &Path, text: &str) -> Result<(), Failure> {
    atomic_file::replace(path, 0o600, text.as_bytes()).map_err(|error| {
        Failure::new(
            format!("cannot replace {}: {error}", path.display()),
            "check the path and its permissions, and try again: the old secrets can renew as long as servers accept them",
        )
    })
}

/// Replaces the files of renewed secrets: of the pre-shared key, and of the identity of a device
/// that does not hold its secret key.
pub(crate) fn replace_renewed(renewed: &Renewed, psk: Option<&Path>, identity: &Path) -> Result<(), Failure> {
    if let (Some(issued), Some(file)) = (&renewed.psk, psk) {
        replace_secret(file, &issued.expose_pem())?;
    }
    renewed.expose_precomputed_pem().map_or(Ok(()), |text| replace_secret(identity, &text))
}

/// Reads a master of pre-shared keys, PEM. `-` is standard input.
pub(crate) fn read_psk_master(path: &Path, access: &Access) -> Result<PskMaster, Failure> {
    read_secret_as(path, access, Wanted::PskMaster, |text| psk_master_from_pem(text).ok())
}

/// Reads a token for an enrolment, and the link that has it if it is in one. `-` is standard input.
pub(crate) fn read_token(path: &Path, access: &Access) -> Result<(Token, Option<Link>), Failure> {
    let mut damage = None;
    let read = read_secret_as(path, access, Wanted::Token, |text| match text.parse::<Link>() {
        Ok(link) => Some((link.token.as_ref()?.parse().ok()?, Some(link))),
        Err(pssst_link::Error::NotLink) => Some((text.parse().ok()?, None)),
        Err(error) => {
            damage = Some(error);
            None
        }
    });
    match damage {
        Some(error) => Err(Failure::new(format!("{}: {error}", path.display()), "copy the whole link again")),
        None => read,
    }
}

fn read_secret_as<K>(
    path: &Path,
    access: &Access,
    wanted: Wanted,
    parse: impl FnOnce(&str) -> Option<K>,
) -> Result<K, Failure> {
    let (text, exposed) = read(path, Some(wanted))?;
    let key = parse(&text).ok_or_else(|| mistaken(path, &text, wanted))?;
    // Which may be those of a public key.
    let digits = match Kind::of(&text) {
        Kind::Digits => "if it is a public key, give the file of the secret one; else ",
        _ => "",
    };
    match exposed.filter(|_| !access.allow_exposed_keys) {
        None => Ok(key),
        // Only now: other files may well be for all to read.
        Some(mode) => Err(Failure::new(
            format!("other users can read the secret in {} (mode {mode:04o})", path.display()),
            format!(
                "{digits}treat the secret as exposed and make a new one, or, if no other user had access: chmod 600 {}",
                path.display()
            ),
        )),
    }
}

/// Reads a credential that is not a key, from a file that only its owner may read.
pub(crate) fn read_secret_text(path: &Path, access: &Access) -> Result<Zeroizing<String>, Failure> {
    match read(path, None)? {
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

/// Reads a client's public key, PEM or hexadecimal. `-` is standard input.
pub(crate) fn read_public(path: &Path) -> Result<PublicKey, Failure> {
    let (text, _) = read(path, Some(Wanted::ClientPublic))?;
    PublicKey::from_text(&text).map_err(|_| mistaken(path, &text, Wanted::ClientPublic))
}

/// Reads a server's public key of either kind, PEM or hexadecimal. `-` is standard input.
pub(crate) fn read_server_key(path: &Path) -> Result<ServerKey, Failure> {
    let (text, _) = read(path, Some(Wanted::ServerPublic))?;
    ServerKey::from_text(&text).map_err(|_| mistaken(path, &text, Wanted::ServerPublic))
}

/// Returns what a file holds instead of a schedule, if it is recognised.
pub(crate) fn not_a_schedule(path: &Path) -> Option<Failure> {
    let (text, _) = read(path, None).ok()?;
    let kind = Kind::of(&text);
    (kind != Kind::Schedule && kind.name().is_some()).then(|| mistaken(path, &text, Wanted::Schedule))
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
    let written = file.write_fmt(text).and_then(|()| file.sync_all()).and_then(|()| atomic_file::sync_name(path));
    written.inspect_err(|_| drop(fs::remove_file(path)))
}

/// Reads a file, and returns its mode as well if other users can read or change it.
fn read(path: &Path, wanted: Option<Wanted>) -> Result<(Zeroizing<String>, Option<u32>), Failure> {
    // Sized at once: growing would leave copies behind.
    let mut text = Zeroizing::new(String::with_capacity(MAX_LEN + 1));
    let limit = MAX_LEN as u64 + 1;
    let mut exposed = None;
    let read = if path == Path::new("-") {
        io::stdin().take(limit).read_to_string(&mut text)
    } else {
        let file = File::open(path).map_err(|error| cannot_open(path, &error, wanted))?;
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

fn cannot_open(path: &Path, error: &io::Error, wanted: Option<Wanted>) -> Failure {
    let is_a_key = path.to_str().is_some_and(|text| is_secret(text) || SecretKey::from_hex(text).is_ok());
    if is_a_key {
        // Without repeating it.
        return Failure::usage(
            "a key was given where its file belongs",
            "every user of this machine can see a command line: count that key as exposed, make a new one with \
             `pssst keygen --out FILE`, and give the file's name",
        );
    }
    let mistake = wanted.zip(path.to_str()).and_then(|(wanted, text)| mistaken_key::in_place_of_a_file(text, wanted));
    if let Some((what, remedy)) = mistake {
        return Failure::usage(what, remedy);
    }
    cannot("open", path, error)
}

fn cannot(verb: &str, path: &Path, error: &io::Error) -> Failure {
    Failure::new(format!("cannot {verb} {}: {error}", path.display()), "check the path and its permissions")
}

fn mistaken(path: &Path, text: &str, wanted: Wanted) -> Failure {
    let (what, remedy) = mistaken_key::explain(text, wanted);
    let name = if path == Path::new("-") { Path::new("standard input") } else { path };
    Failure::new(format!("{} {what}", name.display()), remedy)
}
