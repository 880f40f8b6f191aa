//! The fallback of clients on networks that do not carry the packets of suite 0xf003.

use std::path::PathBuf;

use pssst::{PublicKey, ServerKey, Suite};
use pssst_directory::DirectoryClient;
use pssst_service::Failure;

use super::options;
use super::server_key::failure;

/// The option of clients that may fall back.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct FallbackOption {
    /// Fall back to suite f002 where the network does not carry the long packets of suite f003:
    /// with this X25519 key of the server, `pssst1…` or a file, or `directory` for the one
    /// that the directory has. What is sent then is as safe from quantum computers as --psk is.
    #[arg(long, value_name = "KEY|FILE|directory", requires = "psk")]
    fallback: Option<String>,
}

/// Returns the failure of a limit that leaves no room for suite f003.
pub(crate) fn max_datagram_too_small(error: &pssst_net::Error) -> Failure {
    let what = match error {
        // The library's own words name its method.
        pssst_net::Error::MaxDatagramTooSmall { needed, limit } => {
            format!("suite f003 needs datagrams of {needed} bytes, and {limit} may be sent")
        }
        error => error.to_string(),
    };
    Failure::usage(what, "raise --max-datagram, lower --pad-to, or give --fallback").of_option("max-datagram")
}

/// Returns what to do where the network does not carry packets of this length.
pub(crate) const fn shorter_packets(suite: Suite, packet_len: usize) -> &'static str {
    let is_long = matches!(suite, Suite::XWingAes256GcmSiv) && packet_len >= suite.request_overhead(false);
    if is_long {
        "--pad-to none makes them shorter, and --fallback, which needs --psk, much shorter"
    } else {
        "send a shorter message; --pad-to none pads none"
    }
}

/// The directory's own key.
const DIRECTORY: &str = "directory";

impl FallbackOption {
    /// Returns the server's key to fall back to, if the client may.
    pub(crate) fn key(&self, directory: Option<&DirectoryClient>) -> Result<Option<PublicKey>, Failure> {
        let Some(text) = &self.fallback else { return Ok(None) };
        let wrong = |what: &str, remedy: &str| Failure::usage(what, remedy).of_option("fallback");
        match (text == DIRECTORY, directory) {
            (true, Some(directory)) => match directory.fallback_key() {
                Ok(key) => Ok(Some(key)),
                Err(error) => Err(failure(&error).of_option("fallback")),
            },
            (true, None) => {
                Err(wrong("there is no directory to fall back to a key of", "give the key, or --directory"))
            }
            (false, Some(_)) => Err(wrong(
                "the keys are those of the directory, and change",
                "give --fallback directory, which follows them",
            )),
            (false, None) => options::public_key(text).map(Some).map_err(|failure| failure.of_option("fallback")),
        }
    }

    /// What can be checked without asking a directory.
    pub(crate) fn check(&self, has_directory: bool) -> Result<(), Failure> {
        let needs_directory = self.fallback.as_deref() == Some(DIRECTORY);
        if needs_directory && has_directory { Ok(()) } else { self.key(None).map(drop) }
    }

    /// Returns the file that is read.
    pub(crate) fn file(&self) -> Option<PathBuf> {
        let is_file = |text: &&String| *text != DIRECTORY && text.parse::<ServerKey>().is_err();
        self.fallback.as_ref().filter(is_file).map(PathBuf::from)
    }
}
