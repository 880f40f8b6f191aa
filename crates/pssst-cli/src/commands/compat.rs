//! `pssst compat`: the pairing convention of the PSSST implementations, so that any two of them
//! test each other.
//!
//! Each side is a program that talks lines `TAG:hex` on standard input and output, and plays server
//! and client at once.

use std::io::{self, BufRead, Read, Write};

use pssst::rand_core::TryRng;
use pssst::{Client, PendingReply, PublicKey, SecretKey, Server, SysRng};

use pssst_service::Failure;

use crate::args::no_randomness;
use crate::args::options::SuiteOption;

/// Test this implementation against another one.
///
/// Over standard input and output, both programs print lines `TAG:hex`: their keys and 64 random
/// bytes first, then requests that hold these bytes for the other's key, then the other's bytes
/// reversed as the replies. Any mismatch fails. Join two programs by pipes both ways.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The suite of our requests; the other program must know it.
    #[arg(long, short, value_enum, default_value = "1")]
    suite: SuiteOption,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let stdout = io::stdout();
    let mut side = Side::new(args.suite, stdout.lock())?;
    for line in io::stdin().lock().take(MAX_INPUT_LEN).lines() {
        let line = line.map_err(|error| mismatch(format!("cannot read a line: {error}")))?;
        if side.take(line.trim())? == Progress::Ended {
            return Ok(());
        }
    }
    if side.has_both_replies() { Ok(()) } else { Err(mismatch("the other program ended before it sent both replies")) }
}

/// Far more than an exchange has.
const MAX_INPUT_LEN: u64 = 1 << 20;
/// Length of the message that each side sends, in bytes.
const PLAINTEXT_LEN: usize = 64;

#[derive(PartialEq, Eq)]
enum Progress {
    Going,
    Ended,
}

/// What one side knows: its own keys and plaintext, and the values from the other side.
struct Side<W> {
    output: W,
    suite: SuiteOption,
    identity: SecretKey,
    server: Server,
    plaintext: [u8; PLAINTEXT_LEN],
    pending: Option<[PendingReply; 2]>,
    peer_client_key: Option<PublicKey>,
    peer_plaintext: Option<Vec<u8>>,
    checked: [bool; 2],
}

impl<W: Write> Side<W> {
    fn new(suite: SuiteOption, output: W) -> Result<Self, Failure> {
        let server_secret = SecretKey::generate(&mut SysRng).map_err(no_randomness)?;
        let identity = SecretKey::generate(&mut SysRng).map_err(no_randomness)?;
        let mut plaintext = [0; PLAINTEXT_LEN];
        SysRng.try_fill_bytes(&mut plaintext).map_err(|_| no_randomness(pssst::Error::RandomnessUnavailable))?;

        let server_key = server_secret.public_key();
        let mut side = Self {
            output,
            suite,
            identity,
            server: Server::new(server_secret),
            plaintext,
            pending: None,
            peer_client_key: None,
            peer_plaintext: None,
            checked: [false; 2],
        };
        let client_key = side.identity.public_key();
        side.emit("SERVER_KEY", server_key.as_bytes())?;
        side.emit("CLIENT_KEY", client_key.as_bytes())?;
        side.emit("PLAINTEXT", &plaintext)?;
        Ok(side)
    }

    /// Processes one line of the other side.
    fn take(&mut self, line: &str) -> Result<Progress, Failure> {
        let (tag, hex) = line.split_once(':').unwrap_or((line, ""));
        let mut value = base16ct::mixed::decode_vec(hex)
            .map_err(|_| mismatch(format!("{tag} is not followed by hexadecimal digits")))?;
        match tag {
            "SERVER_KEY" => self.send_requests(public_key(tag, &value)?)?,
            "CLIENT_KEY" => self.peer_client_key = Some(public_key(tag, &value)?),
            "PLAINTEXT" => self.peer_plaintext = Some(value),
            "REQUEST" => self.answer("REPLY", &mut value, None)?,
            "REQUEST_AUTH" => {
                let client_key = self.peer_client_key.ok_or_else(|| mismatch("REQUEST_AUTH came before CLIENT_KEY"))?;
                self.answer("REPLY_AUTH", &mut value, Some(client_key))?;
            }
            "REPLY" => self.check_reply(tag, 0, &mut value)?,
            "REPLY_AUTH" => self.check_reply(tag, 1, &mut value)?,
            "DONE" => return Ok(Progress::Ended),
            _ => return Err(mismatch(format!("unknown line {tag:?}"))),
        }
        Ok(Progress::Going)
    }

    fn send_requests(&mut self, server_key: PublicKey) -> Result<(), Failure> {
        let seal = |client: &Client| {
            client
                .seal_request_to_vec(&mut SysRng, &self.plaintext)
                .map_err(|error| mismatch(format!("sealing: {error}")))
        };
        let unusable = |error| mismatch(format!("SERVER_KEY: {error}"));
        let client = Client::new(server_key).map_err(unusable)?.with_suite(self.suite.into()).map_err(unusable)?;
        let (request, pending) = seal(&client)?;
        let client = client.with_identity(&self.identity).map_err(unusable)?;
        let (authenticated_request, authenticated_pending) = seal(&client)?;

        self.pending = Some([pending, authenticated_pending]);
        self.emit("REQUEST", &request)?;
        self.emit("REQUEST_AUTH", &authenticated_request)
    }

    fn answer(&mut self, tag: &str, packet: &mut [u8], client_key: Option<PublicKey>) -> Result<(), Failure> {
        let request =
            self.server.open_request(packet).map_err(|error| mismatch(format!("opening a request: {error}")))?;
        let (message, proven_key, sealer) = request.into_parts();
        if self.peer_plaintext.as_deref() != Some(&*message) {
            return Err(mismatch("a request's message is not the plaintext"));
        }
        if proven_key != client_key {
            return Err(mismatch("a request's client key is not the client's"));
        }
        message.reverse();
        let reply =
            sealer.seal_to_vec(&mut SysRng, message).map_err(|error| mismatch(format!("sealing a reply: {error}")))?;
        self.emit(tag, &reply)
    }

    fn check_reply(&mut self, tag: &str, which: usize, packet: &mut [u8]) -> Result<(), Failure> {
        let [anonymous, authenticated] =
            self.pending.as_ref().ok_or_else(|| mismatch(format!("{tag} came before SERVER_KEY")))?;
        let pending = if which == 0 { anonymous } else { authenticated };
        let message = pending.open(packet).map_err(|error| mismatch(format!("opening {tag}: {error}")))?;
        message.reverse();
        if *message != self.plaintext {
            return Err(mismatch(format!("{tag} is not the plaintext reversed")));
        }
        self.checked[which] = true;
        if self.has_both_replies() { self.emit("DONE", &[]) } else { Ok(()) }
    }

    fn has_both_replies(&self) -> bool {
        self.checked == [true; 2]
    }

    fn emit(&mut self, tag: &str, value: &[u8]) -> Result<(), Failure> {
        let line = format!("{tag}:{}\n", base16ct::lower::encode_string(value));
        match self.output.write_all(line.as_bytes()).and_then(|()| self.output.flush()) {
            Ok(()) => Ok(()),
            // A peer that has both replies may leave without our last word, but not before.
            Err(error) if self.has_both_replies() => Err(Failure::output(&error)),
            Err(error) => Err(mismatch(format!("the other program ended before it sent both replies: {error}"))),
        }
    }
}

fn public_key(tag: &str, value: &[u8]) -> Result<PublicKey, Failure> {
    value.try_into().map(PublicKey::from_bytes).map_err(|_| mismatch(format!("{tag} is not 32 bytes")))
}

fn mismatch(what: impl Into<String>) -> Failure {
    Failure::new(what, "the two programs do not understand each other; check that both use this suite")
}
