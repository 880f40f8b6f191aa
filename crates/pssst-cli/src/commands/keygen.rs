//! `pssst keygen`: a new secret key, or a master of pre-shared keys.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use pssst::{PskMaster, SecretKey, ServerKey, ServerSecretKey, SysRng, XWingSecretKey};
use pssst_directory::MasterId;
use pssst_directory_server::psk_master_to_pem;
use serde_json::json;
use zeroize::Zeroizing;

use pssst_service::Failure;

use crate::args::format::{JsonOption, print, show_fingerprint, shown};
use crate::args::key_file;
use crate::args::no_randomness;
use crate::args::options::SuiteOption;
use pssst_service::stderr::notice;

/// Create a secret key and print its public key.
///
/// With --psk-master it creates a master of pre-shared keys instead. The file gets mode 0600 and is
/// never overwritten. The key's fingerprint, for people who compare keys, goes to standard error,
/// unless the public key does. Servers and clients use the same kind of key; for suite f003 a
/// server has a key of its own beside it.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The new file. `-` writes the secret to standard output, and the public key or the master's
    /// name to standard error.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// The suite that the key is for: f003 has keys of its own, which servers need. Clients, and
    /// all other suites, have the same kind.
    #[arg(long, value_enum, value_name = "SUITE", default_value = "f002")]
    suite: SuiteOption,
    /// The form of the secret key. With hex the public key is printed as hexadecimal digits, too.
    #[arg(long, value_enum, default_value = "pem")]
    format: Format,
    /// Create a master of pre-shared keys instead, for servers without a schedule (`--psk-master`),
    /// and print its name. `pssst clients psk` makes the clients' keys of it.
    #[arg(long, conflicts_with_all = ["suite", "format"])]
    psk_master: bool,
    #[command(flatten)]
    output: JsonOption,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// PKCS#8, which OpenSSL reads for all suites but f003.
    Pem,
    /// 64 hexadecimal digits, which the other implementations of PSSST read. Not for suite f003.
    Hex,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let (text, name, public) = if args.psk_master { psk_master()? } else { secret_key(args)? };
    if args.out == Path::new("-") {
        if args.output.json {
            return Err(Failure::usage(
                "the secret goes to standard output, and so does JSON",
                "name a file with --out",
            ));
        }
        notice(name);
        return io::stdout().write_all(text.as_bytes()).map_err(|error| Failure::output(&error));
    }
    key_file::create_secret(&args.out, &text)?;
    if args.output.json {
        let fingerprint = public.as_ref().map(ServerKey::fingerprint).map(|words| words.to_string());
        let (key, master) = if args.psk_master { (None, Some(name)) } else { (Some(name), None) };
        return print(json!({
            "file": args.out, "public_key": key, "fingerprint": fingerprint, "psk_master": master
        }));
    }
    public.iter().for_each(show_fingerprint);
    match (args.format, &public) {
        (Format::Pem, Some(key)) => print(shown(key)),
        _ => print(name),
    }
}

/// A secret as text, what it is known by, and its public key if it has one.
type New = (Zeroizing<String>, String, Option<ServerKey>);

fn secret_key(args: &Args) -> Result<New, Failure> {
    let secret = match args.suite {
        SuiteOption::XWingAes256GcmSiv => XWingSecretKey::generate(&mut SysRng).map(ServerSecretKey::XWing),
        SuiteOption::X25519AesGcm128 | SuiteOption::X25519Aes256GcmSiv => {
            SecretKey::generate(&mut SysRng).map(ServerSecretKey::X25519)
        }
    }
    .map_err(no_randomness)?;
    let text = match (args.format, &secret) {
        (Format::Pem, secret) => secret.expose_pem(),
        (Format::Hex, ServerSecretKey::X25519(secret)) => Zeroizing::new(format!("{}\n", *secret.expose_hex())),
        (Format::Hex, _) => {
            return Err(Failure::usage(
                "hexadecimal digits do not say which kind a key is",
                "omit --format: keys of suite f003 are PEM documents",
            ));
        }
    };
    let public = secret.public_key();
    let name = match args.format {
        Format::Pem => public.to_string(),
        Format::Hex => format!("{public:x}"),
    };
    Ok((text, name, Some(public)))
}

fn psk_master() -> Result<New, Failure> {
    let master = PskMaster::generate(&mut SysRng).map_err(no_randomness)?;
    Ok((psk_master_to_pem(&master), MasterId::from(master.id()).to_string(), None))
}
