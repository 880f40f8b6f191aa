//! Decryption of packets by the server's secret keys.

use std::fmt;

use pssst::{Error, Keyring, PendingReply, PskMaster, PublicKey, Refusal, Server, ServerKey, Suite};
use serde::{Serialize, Serializer};

use crate::dissection::{Dissection, Kind, Verdict};

/// The inside of a packet, or why the keys do not show it. Both are absent without keys, and where
/// the packet is refused.
#[derive(Debug, Default, Serialize)]
pub struct Contents {
    /// The parts that a key opened.
    pub opened: Option<Opened>,
    /// Why no key was of use, though the packet may be genuine.
    pub unopened: Option<Unopened>,
}

/// The inside of a packet.
#[derive(Serialize)]
pub struct Opened {
    /// The public key of the server that the packet was sealed for, or by.
    pub server_key: Option<ServerKey>,
    /// The client's public key, in requests that prove one.
    pub client_key: Option<PublicKey>,
    /// The message, without padding.
    #[serde(serialize_with = "hex")]
    pub message: Vec<u8>,
    /// The message, if it is text.
    pub text: Option<String>,
}

/// Why the keys do not open a packet that may be genuine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::exhaustive_enums, reason = "readers match every case")]
pub enum Unopened {
    /// It is a fresh reply: only the client opens it, and no key of the server.
    FreshReply,
    /// It is a reply, and its request is not there: under all suites but suite 1, a reply opens
    /// only with its request.
    RequestMissing,
    /// It is a reply, and no key opens its request.
    RequestUnopened,
    /// It is a request with a pre-shared key, and no master was given.
    PskMasterMissing,
    /// It is a request of suite 0xf003, and no X-Wing key was given.
    XwingKeyMissing,
}

/// The secret keys of servers, and the masters of pre-shared keys.
#[derive(Debug)]
pub struct Decryptor {
    server: Server,
    has_psk_master: bool,
}

/// What opens the replies to one request. The secrets are on the heap: a table that grows leaves no
/// copies of them behind, and all are wiped when it is dropped.
pub(crate) struct ReplyOpener {
    /// Of the request.
    pub(crate) fingerprint: u64,
    key_index: usize,
    pending: Box<PendingReply>,
}

/// The requests that a reply may be for.
#[derive(Clone, Copy, Default)]
pub(crate) struct Requests<'t> {
    pub(crate) are_there: bool,
    pub(crate) openers: &'t [ReplyOpener],
}

impl Decryptor {
    /// Returns a decryptor with these keys.
    pub fn new(keys: Keyring) -> Self {
        Self { server: Server::new(keys).with_suites(Suite::ALL.into_iter().collect()), has_psk_master: false }
    }

    /// Returns the decryptor with these masters of pre-shared keys.
    ///
    /// # Errors
    /// [`Error::KeyringFull`] for more than [`Server::MAX_PSK_MASTERS`].
    pub fn with_psk_masters(self, masters: impl IntoIterator<Item = PskMaster>) -> Result<Self, Error> {
        let mut masters = masters.into_iter().peekable();
        let has_psk_master = masters.peek().is_some();
        Ok(Self { server: self.server.with_psk_masters(masters)?, has_psk_master })
    }

    /// Opens a packet by itself that passed all checks so far, and records the result in its
    /// dissection. Replies of all suites but suite 1 open only with their request, which
    /// [`Transactions::observe`](crate::Transactions::observe) finds.
    pub fn open(&self, packet: &[u8], dissection: &mut Dissection) -> Contents {
        match dissection.kind {
            Some(Kind::Request) => self.open_request(packet, dissection, None).0,
            Some(Kind::Reply) => self.open_reply(packet, dissection, Requests::default()).0,
            None => Contents::default(),
        }
    }

    /// Opens a request, and returns what opens its replies, if the request has a fingerprint.
    pub(crate) fn open_request(
        &self,
        packet: &[u8],
        dissection: &mut Dissection,
        fingerprint: Option<u64>,
    ) -> (Contents, Option<ReplyOpener>) {
        let Some((header, suite)) = dissection.left_to_keys() else { return Default::default() };
        if header.has_psk() && !self.has_psk_master {
            return (unopened(dissection.server, Unopened::PskMasterMissing), None);
        }
        if !self.server.suites().contains(suite) {
            return (unopened(dissection.server, Unopened::XwingKeyMissing), None);
        }
        let mut packet = packet.to_vec();
        match self.server.open_recorded_request(&mut packet) {
            Ok(request) => {
                dissection.server = Verdict::Accepts;
                let key_index = request.server_key_index();
                let contents = self.opened(key_index, request.client_key(), request.message()).into();
                let opener = fingerprint.filter(|_| suite != Suite::X25519AesGcm128).map(|fingerprint| {
                    let pending = Box::new(request.into_reply_opener());
                    ReplyOpener { fingerprint, key_index, pending }
                });
                (contents, opener)
            }
            Err(cause) => {
                dissection.server = Verdict::Refuses(cause);
                Default::default()
            }
        }
    }

    /// Opens a reply, and returns the fingerprint of the request that opened it, if it took one.
    pub(crate) fn open_reply(
        &self,
        packet: &[u8],
        dissection: &mut Dissection,
        requests: Requests<'_>,
    ) -> (Contents, Option<u64>) {
        let Some((header, suite)) = dissection.left_to_keys() else { return Default::default() };
        if suite == Suite::X25519AesGcm128 {
            return (self.open_first(packet, dissection), None);
        }
        let mut refusal = None;
        for opener in requests.openers {
            match opener.pending.open_to_vec(packet) {
                Ok(message) => {
                    dissection.client = Verdict::Accepts;
                    return (self.opened(opener.key_index, None, &message).into(), Some(opener.fingerprint));
                }
                // A cause that is found after this one says more.
                Err(cause) if refusal.is_none_or(|refusal| refusal == Refusal::ReplyMismatch) => refusal = Some(cause),
                Err(_) => {}
            }
        }
        let why = match refusal {
            None | Some(Refusal::DecryptFailed) if header.is_fresh() => Unopened::FreshReply,
            None if requests.are_there => Unopened::RequestUnopened,
            None => Unopened::RequestMissing,
            Some(cause) => {
                dissection.client = Verdict::Refuses(cause);
                return Default::default();
            }
        };
        (unopened(dissection.client, why), None)
    }

    /// Opens a reply of suite 1, which does not take its request.
    fn open_first(&self, packet: &[u8], dissection: &mut Dissection) -> Contents {
        let mut packet = packet.to_vec();
        match self.server.open_recorded_reply(&mut packet) {
            Ok(reply) => {
                dissection.client = Verdict::Accepts;
                self.opened(reply.server_key_index(), None, reply.message()).into()
            }
            Err(cause) => {
                dissection.client = Verdict::Refuses(cause);
                Contents::default()
            }
        }
    }

    fn opened(&self, key_index: usize, client_key: Option<&PublicKey>, message: &[u8]) -> Opened {
        Opened {
            server_key: self.server.keyring().server_keys().nth(key_index),
            client_key: client_key.copied(),
            message: message.to_vec(),
            text: text(message),
        }
    }
}

/// Returns why no key was of use, if the packet may be genuine.
fn unopened(verdict: Verdict, why: Unopened) -> Contents {
    if verdict == Verdict::Undecided { Contents { opened: None, unopened: Some(why) } } else { Contents::default() }
}

/// The message is not shown.
impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened")
            .field("server_key", &self.server_key)
            .field("client_key", &self.client_key)
            .field("message_len", &self.message.len())
            .finish_non_exhaustive()
    }
}

impl From<Opened> for Contents {
    fn from(opened: Opened) -> Self {
        Self { opened: Some(opened), unopened: None }
    }
}

/// Returns the message, if people can read it: UTF-8, without control characters except white
/// space.
fn text(message: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(message).ok()?;
    let is_readable = |character: char| !character.is_control() || matches!(character, '\n' | '\r' | '\t');
    text.chars().all(is_readable).then(|| text.to_owned())
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
