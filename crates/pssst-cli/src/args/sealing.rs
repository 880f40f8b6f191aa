//! How a client seals its requests, beside suite and identity.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use pssst::{Client, Padding, PreSharedKey};
use pssst_directory::IssuedPsk;
use pssst_service::Failure;

use super::key_file::{self, Access};

/// Options of the suites 0xf002 and 0xf003.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct SealingOptions {
    /// Prove this pre-shared key too, which `pssst enroll` wrote. A client that has one must use
    /// it.
    #[arg(long, value_name = "FILE", requires = "identity")]
    pub(crate) psk: Option<PathBuf>,
    /// Ask for fresh replies: those that stay closed when the server's secret key falls later. They
    /// take 32 bytes more.
    #[arg(long)]
    pub(crate) fresh_replies: bool,
    /// Pad requests to this many bytes, so that their length tells nothing, or `none` [default:
    /// 1232 with suite f003, else none].
    #[arg(long, value_name = "BYTES|none")]
    pad_to: Option<PadTo>,
}

/// The value of `--pad-to`.
#[derive(Clone, Copy, Debug)]
struct PadTo(Padding);

impl FromStr for PadTo {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self(Padding::None));
        }
        match text.parse() {
            Ok(len) if (53..=65_507).contains(&len) => Ok(Self(Padding::ToLength(len))),
            _ => Err("give a length from 53 to 65507 bytes, or none".into()),
        }
    }
}

impl SealingOptions {
    /// Returns the rule for the length of requests, if one is given.
    pub(crate) fn padding(&self) -> Option<Padding> {
        self.pad_to.map(|pad_to| pad_to.0)
    }

    /// Reads the pre-shared key, if one is given.
    pub(crate) fn read_psk(&self, access: &Access) -> Result<Option<PreSharedKey>, Failure> {
        self.read_issued_psk(access).map(|issued| issued.map(|issued| issued.psk))
    }

    /// Reads the pre-shared key with the name of its master, if one is given.
    pub(crate) fn read_issued_psk(&self, access: &Access) -> Result<Option<IssuedPsk>, Failure> {
        let Some(file) = &self.psk else { return Ok(None) };
        let psk = key_file::read_psk(file, access);
        psk.map(Some).map_err(|failure| failure.of_option("psk"))
    }

    /// Returns a builder of a client with these options but the pre-shared key.
    pub(crate) fn build_without_psk(&self, mut builder: pssst_net::ClientBuilder) -> pssst_net::ClientBuilder {
        if let Some(padding) = self.padding() {
            builder = builder.padding(padding);
        }
        if self.fresh_replies { builder.fresh_replies() } else { builder }
    }

    /// Returns a client with these options; the pre-shared key is given where the client has an
    /// identity.
    pub(crate) fn apply(&self, mut client: Client, psk: Option<PreSharedKey>) -> Result<Client, pssst::Error> {
        if let Some(psk) = psk {
            client = client.with_psk(psk)?;
        }
        if let Some(padding) = self.padding() {
            client = client.with_padding(padding)?;
        }
        if self.fresh_replies { client.with_fresh_replies() } else { Ok(client) }
    }

    /// Returns the options whose lack in `after` would protect less.
    pub(crate) fn opened_by_lack(&self, after: &Self) -> impl Iterator<Item = &'static str> {
        let options = [
            ("psk", self.psk.is_some() && after.psk.is_none()),
            ("fresh-replies", self.fresh_replies && !after.fresh_replies),
            ("pad-to", self.pad_to.is_some() && after.pad_to.is_none()),
        ];
        options.into_iter().filter(|(_, is_lost)| *is_lost).map(|(option, _)| option)
    }

    /// Returns whether the pre-shared key is read from standard input.
    pub(crate) fn reads_stdin(&self) -> bool {
        self.psk.as_deref() == Some(Path::new("-"))
    }
}

/// Returns the failure of a precomputed identity that is not for the server's key.
pub(crate) fn no_shared_secret(error: &pssst_net::Error) -> Failure {
    Failure::new(
        error.to_string(),
        "`pssst renew` gets it from the directory, and `pssst precompute` makes it of the client's secret key or the server's",
    )
    .of_option("identity")
}

/// Returns the failure to make a client of these keys and options.
pub(crate) fn cannot_seal(error: pssst::Error) -> Failure {
    match error {
        pssst::Error::Refused(_) | pssst::Error::InvalidKey => Failure::new(
            format!("this server key must not be used: {error}"),
            "anyone could read the requests; ask the server's operator for the right key",
        ),
        pssst::Error::UnsupportedOption => Failure::usage(
            error.to_string(),
            "suite 1 has neither --psk nor --pad-to nor --fresh-replies, and suite f003 needs a server key of its own",
        ),
        pssst::Error::MessageTooLong { limit: 0 } => Failure::usage(
            "--pad-to leaves no room for a message",
            "a padded request takes 53 bytes beside its message under suite f002 and 1141 under f003, or with --identity \
             93 and 1181; give more, or --pad-to none",
        )
        .of_option("pad-to"),
        pssst::Error::MessageTooLong { .. } => {
            Failure::usage(error.to_string(), "send less, raise --pad-to and --max-datagram, or give --pad-to none")
        }
        error => super::no_randomness(error),
    }
}
