//! Decryption of packets by the server's secret key.

use pssst::{Keyring, PublicKey, Refusal, Server};
use serde::{Serialize, Serializer};

use crate::dissection::{Dissection, Kind, Verdict};

/// The inside of a packet.
#[derive(Serialize)]
pub struct Opened {
    /// The public key of the server that the packet was sealed for, or by.
    #[serde(serialize_with = "display")]
    pub server_key: Option<PublicKey>,
    /// The client's public key, in requests that prove one.
    #[serde(serialize_with = "display")]
    pub client_key: Option<PublicKey>,
    /// The message.
    #[serde(serialize_with = "hex")]
    pub message: Vec<u8>,
    /// The message, if it is text.
    pub text: Option<String>,
}

/// The secret keys of servers.
pub struct Decryptor(Server);

impl Decryptor {
    /// Returns a decryptor with these keys.
    pub fn new(keys: Keyring) -> Self {
        Self(Server::new(keys))
    }

    /// Opens a packet that passed all checks so far, and records the result in its dissection.
    pub fn open(&self, packet: &[u8], dissection: &mut Dissection) -> Option<Opened> {
        if !dissection.is_complete() {
            return None;
        }
        let kind = dissection.kind?;
        let verdict = match kind {
            Kind::Request => &mut dissection.server,
            Kind::Reply => &mut dissection.client,
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

/// Returns the message, if people can read it: UTF-8, without control characters except white
/// space.
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
