//! What the server's secret key shows of a packet.

use std::path::PathBuf;

use pssst::{Keyring, PublicKey, Refusal, Server};
use serde::{Serialize, Serializer};

use super::anatomy::{Anatomy, Kind, Verdict};
use crate::args::key_file;
use pssst_service::Failure;

/// The inside of a packet.
#[derive(Serialize)]
pub(super) struct Opened {
    /// The public key of the server that the packet was sealed for, or by.
    #[serde(serialize_with = "display")]
    pub(super) server_key: Option<PublicKey>,
    /// The client's public key, in requests that prove one.
    #[serde(serialize_with = "display")]
    pub(super) client_key: Option<PublicKey>,
    #[serde(serialize_with = "hex")]
    pub(super) message: Vec<u8>,
    /// The message, if it is text.
    pub(super) text: Option<String>,
}

/// The secret keys of servers.
pub(super) struct Opener(Server);

impl Opener {
    /// None, when there are no keys.
    pub(super) fn new(files: &[PathBuf], access: &key_file::Access) -> Result<Option<Self>, Failure> {
        let mut secrets = files.iter().map(|file| key_file::read_secret(file, access));
        let Some(first) = secrets.next().transpose()? else { return Ok(None) };
        let mut keyring = Keyring::new(first);
        for secret in secrets {
            keyring = keyring.with_key(secret?).map_err(|_| {
                Failure::usage(
                    format!("more than {} secret keys", Keyring::CAPACITY),
                    "run it again with the others: a packet opens with one key only",
                )
            })?;
        }
        Ok(Some(Self(Server::new(keyring))))
    }

    /// Opens a packet that nothing is said against yet, and says in its anatomy what came of it.
    pub(super) fn open(&self, packet: &[u8], anatomy: &mut Anatomy) -> Option<Opened> {
        if !anatomy.is_complete() {
            return None;
        }
        let kind = anatomy.kind?;
        let verdict = match kind {
            Kind::Request => &mut anatomy.server,
            Kind::Reply => &mut anatomy.client,
        };
        if *verdict != Verdict::Undecided {
            return None;
        }
        let mut copy = packet.to_vec();
        let opened = match kind {
            Kind::Request => self.request(&mut copy),
            Kind::Reply => self.reply(&mut copy),
        };
        *verdict = opened.as_ref().map_or_else(|&cause| Verdict::Refuses(cause), |_| Verdict::Accepts);
        opened.ok()
    }

    fn request(&self, packet: &mut [u8]) -> Result<Opened, Refusal> {
        let request = self.0.open_request(packet)?;
        Ok(self.opened(request.server_key_index(), request.client_key(), request.message()))
    }

    fn reply(&self, packet: &mut [u8]) -> Result<Opened, Refusal> {
        let reply = self.0.open_recorded_reply(packet)?;
        Ok(self.opened(reply.server_key_index(), None, reply.message()))
    }

    fn opened(&self, key_index: usize, client_key: Option<&PublicKey>, message: &[u8]) -> Opened {
        Opened {
            server_key: self.0.keyring().public_keys().nth(key_index).copied(),
            client_key: client_key.copied(),
            message: message.to_vec(),
            text: text(message),
        }
    }
}

/// The message, if people can read it: UTF-8, without control characters except white space.
fn text(message: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(message).ok()?;
    let is_readable = |character: char| !character.is_control() || matches!(character, '\n' | '\r' | '\t');
    text.chars().all(is_readable).then(|| text.to_owned())
}

#[expect(clippy::ref_option, reason = "serde hands over the field like this")]
fn display<S: Serializer>(key: &Option<PublicKey>, serializer: S) -> Result<S::Ok, S::Error> {
    key.map(|key| key.to_string()).serialize(serializer)
}

fn hex<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&base16ct::lower::encode_string(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_what_people_can_read() {
        for readable in ["", "valve 7?", "a\nb\tc", "Grüße"] {
            assert_eq!(text(readable.as_bytes()).as_deref(), Some(readable));
        }
        for other in [&b"\x00"[..], b"\x1b[2J", b"\xff\xfe", "\u{85}".as_bytes()] {
            assert_eq!(text(other), None);
        }
    }
}
