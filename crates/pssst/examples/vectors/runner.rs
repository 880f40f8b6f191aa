//! Runs one file of test vectors. Shared by the example `vectors` and the test of the same name.

use std::cell::Cell;
use std::convert::Infallible;

use pssst::rand_core::{TryCryptoRng, TryRng};
use pssst::{
    Client, ClientCheck, ClientClaim, Error, KeyCheck, Keyring, Padding, PendingReply, PreSharedKey, PskMaster,
    PublicKey, Refusal, ReplyPadding, ReplySealer, Request, SecretKey, Server, ServerKey, SharedSecret, Suite,
    SuiteSet,
};
use serde::{Deserialize, Deserializer};

/// What came of a file: how many cases passed, and a line for each that did not.
pub(crate) struct Report {
    pub(crate) passed: usize,
    pub(crate) failures: Vec<String>,
}

/// Runs every case of a file, or says why the file cannot be read.
pub(crate) fn run(json: &str) -> Result<Report, String> {
    let file: File = serde_json::from_str(json).map_err(|error| error.to_string())?;
    let suite = Suite::from_number(file.suite.id).map_err(|error| error.to_string())?;
    if cfg!(not(feature = "pq")) && suite == Suite::XWingAes256GcmSiv {
        return Err("vectors of suite 0xf003 need the feature pq".into());
    }
    if file.protocol != "PSSST" || file.suite.name != suite.name() {
        return Err(format!("not vectors of {}", suite.name()));
    }

    let mut report = Report { passed: 0, failures: Vec::new() };
    for group in file.test_groups {
        for case in group.tests {
            let outcome = match group.kind {
                GroupKind::Transaction | GroupKind::ServerAccepts => case.transaction(suite),
                GroupKind::Hedging => case.hedging(suite),
                GroupKind::TwoReplies => case.two_replies(suite),
                GroupKind::ServerRejects => case.server_rejects(suite),
                GroupKind::CutRequests => case.cut_requests(suite),
                GroupKind::ClientRejects => case.client_rejects(suite),
                GroupKind::ServerKeyRejects => case.server_key_rejects(suite),
            };
            match outcome {
                Ok(()) => report.passed += 1,
                Err(why) => report.failures.push(format!("case {} ({}): {why}", case.id, case.comment)),
            }
        }
    }
    let run = report.passed + report.failures.len();
    if run != file.number_of_tests {
        report.failures.push(format!("the file says {} cases and holds {run}", file.number_of_tests));
    }
    Ok(report)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    protocol: String,
    suite: SuiteId,
    number_of_tests: usize,
    test_groups: Vec<Group>,
}

#[derive(Deserialize)]
struct SuiteId {
    id: u16,
    name: String,
}

#[derive(Deserialize)]
struct Group {
    #[serde(rename = "type")]
    kind: GroupKind,
    tests: Vec<Case>,
}

#[derive(Clone, Copy, Deserialize)]
enum GroupKind {
    Transaction,
    Hedging,
    TwoReplies,
    ServerAccepts,
    ServerRejects,
    CutRequests,
    ClientRejects,
    ServerKeyRejects,
}

#[derive(Deserialize)]
struct Case {
    id: u32,
    comment: String,
    result: String,
    error: Option<String>,
    server_secret: Option<Hex>,
    server_public: Option<Hex>,
    client_secret: Option<Hex>,
    client_public: Option<Hex>,
    psk: Option<Hex>,
    #[serde(default)]
    psk_masters: Vec<Hex>,
    random: Option<Hex>,
    ephemeral_secret: Option<Hex>,
    request_message: Option<Hex>,
    request_packet: Option<Hex>,
    request_padded_to: Option<usize>,
    #[serde(default)]
    fresh: bool,
    reply_message: Option<Hex>,
    reply_packet: Option<Hex>,
    reply_padded_to: Option<usize>,
    reply_random: Option<Hex>,
    reply_message_2: Option<Hex>,
    reply_packet_2: Option<Hex>,
    reply_random_2: Option<Hex>,
    then_true_reply: Option<Hex>,
    true_message: Option<Hex>,
    enrolled: Option<Vec<Hex>>,
    unknown_clients: Option<String>,
    #[serde(default)]
    anonymous_refused: bool,
    server_suites: Option<Vec<u16>>,
    looked_up: Option<bool>,
    cut_to: Option<(usize, usize)>,
}

type Outcome = Result<(), String>;

impl Case {
    /// A whole transaction, byte for byte at both ends. A request that no client makes is only
    /// opened.
    fn transaction(&self, suite: Suite) -> Outcome {
        self.expect_result(&["valid"])?;
        self.one_answer(suite, "", self.reply_message.as_ref(), self.reply_packet.as_ref(), self.reply_random.as_ref())
    }

    /// Two answers to one request, each byte for byte. What they give away is the test
    /// `two_answers`.
    fn two_replies(&self, suite: Suite) -> Outcome {
        self.expect_result(&["valid", "acceptable"])?;
        self.one_answer(
            suite,
            "",
            self.reply_message.as_ref(),
            self.reply_packet.as_ref(),
            self.reply_random.as_ref(),
        )?;
        let (message, packet) = (self.reply_message_2.as_ref(), self.reply_packet_2.as_ref());
        self.one_answer(suite, "_2", message, packet, self.reply_random_2.as_ref())
    }

    fn one_answer(
        &self,
        suite: Suite,
        which: &str,
        message: Option<&Hex>,
        packet: Option<&Hex>,
        random: Option<&Hex>,
    ) -> Outcome {
        let reply_message = need(message, &format!("reply_message{which}"))?;
        let reply_packet = need(packet, &format!("reply_packet{which}"))?;
        let request_message = need(self.request_message.as_ref(), "request_message")?;
        let request_packet = need(self.request_packet.as_ref(), "request_packet")?;

        let pending = if self.random.is_some() || suite == Suite::X25519AesGcm128 {
            let (packet, pending) = self.seal_request(suite)?;
            expect_bytes("request packet", &packet, request_packet)?;
            Some(pending)
        } else {
            None
        };

        if self.server_public.is_some() && self.server_secret.is_some() {
            expect_bytes("server key", &self.public_of_secret(suite)?, need(self.server_public.as_ref(), "")?)?;
        }
        let padding = self.reply_padded_to.map_or(ReplyPadding::None, ReplyPadding::ToLength);
        let client_key = self.client_public.as_ref().map(|key| key.0.as_slice());
        for mode in self.modes() {
            let server = self.server(suite)?.with_reply_padding(padding);
            let check = self.check(suite, mode)?;
            let each = |request: Request<'_>| -> Result<ReplySealer, String> {
                expect_bytes("request message", request.message(), request_message)?;
                if request.client_key().map(|key| &key.as_bytes()[..]) != client_key {
                    return Err(format!("client key is {:?}", request.client_key()));
                }
                if request.has_psk() != self.psk.is_some() {
                    return Err("the pre-shared key is not noticed".into());
                }
                Ok(request.into_reply_sealer())
            };
            for sealer in open_both_ways(&server, &check, request_packet, each) {
                let sealer = sealer.map_err(|e| format!("server: {e}"))??;
                let mut rng = Given::new(random);
                let reply = sealer.seal_to_vec(&mut rng, reply_message).map_err(|e| format!("server: {e}"))?;
                expect_bytes("reply packet", &reply, reply_packet)?;
            }
        }
        if let Some(pending) = pending {
            let opened = pending.open_to_vec(reply_packet).map_err(|e| format!("client: {e}"))?;
            expect_bytes("reply message", &opened, reply_message)?;
        }
        Ok(())
    }

    /// Random bytes, and the e that comes of them: X shows it.
    fn hedging(&self, suite: Suite) -> Outcome {
        self.expect_result(&["valid"])?;
        let (packet, _) = self.seal_request(suite)?;
        if let Some(expected) = &self.request_packet {
            expect_bytes("request packet", &packet, &expected.0)?;
        }
        let ephemeral = SecretKey::from_bytes(self.ephemeral_secret.as_ref().ok_or("no ephemeral_secret")?.key()?);
        expect_bytes("exchange value", &packet[4..36], ephemeral.public_key().as_bytes())
    }

    /// A packet that a server must refuse, with the right cause.
    fn server_rejects(&self, suite: Suite) -> Outcome {
        self.expect_result(&["invalid"])?;
        let packet = need(self.request_packet.as_ref(), "request_packet")?;
        self.refused(suite, packet)
    }

    /// The fronts of a request, of every length in a range.
    fn cut_requests(&self, suite: Suite) -> Outcome {
        self.expect_result(&["invalid"])?;
        let packet = need(self.request_packet.as_ref(), "request_packet")?;
        let (first, last) = self.cut_to.ok_or("cut_to is missing")?;
        for len in first..=last {
            let front = packet.get(..len).ok_or("cut_to is beyond the packet")?;
            self.refused(suite, front).map_err(|why| format!("{len} bytes: {why}"))?;
        }
        Ok(())
    }

    fn refused(&self, suite: Suite, packet: &[u8]) -> Outcome {
        for mode in self.modes() {
            let server = self.server(suite)?;
            let check = self.check(suite, mode)?;
            for outcome in open_both_ways(&server, &check, packet, |_| ()) {
                self.expect_refusal(outcome.err())?;
            }
            if self.looked_up.is_some_and(|expected| expected != (check.looked_up.get() > 0)) {
                return Err(format!("looked up {} times", check.looked_up.get()));
            }
        }
        Ok(())
    }

    /// A packet that a client must refuse, with the right cause, and still take the true reply
    /// after it.
    fn client_rejects(&self, suite: Suite) -> Outcome {
        self.expect_result(&["invalid"])?;
        let client = match self.client(suite) {
            Ok(client) => client,
            Err(Ok(error)) => return self.expect_error(Some(error)),
            Err(Err(unreadable)) => return Err(unreadable),
        };
        let (packet, pending) = self.seal_request_as(suite, &client)?;
        expect_bytes("request packet", &packet, need(self.request_packet.as_ref(), "request_packet")?)?;
        let reply_packet = need(self.reply_packet.as_ref(), "reply_packet")?;
        self.expect_refusal(pending.open_to_vec(reply_packet).err())?;

        if let Some(true_reply) = &self.then_true_reply {
            let opened = pending.open_to_vec(&true_reply.0).map_err(|e| format!("true reply: {e}"))?;
            expect_bytes("true message", &opened, need(self.true_message.as_ref(), "true_message")?)?;
        }
        Ok(())
    }

    /// A server key that a client must refuse.
    fn server_key_rejects(&self, suite: Suite) -> Outcome {
        self.expect_result(&["invalid"])?;
        match self.client(suite) {
            Ok(_) => self.expect_error(None),
            Err(Ok(error)) => self.expect_error(Some(error)),
            Err(Err(unreadable)) => Err(unreadable),
        }
    }

    fn seal_request(&self, suite: Suite) -> Result<(Vec<u8>, PendingReply), String> {
        let client =
            self.client(suite).map_err(|refused| refused.map_or_else(|why| why, |e| format!("client: {e}")))?;
        self.seal_request_as(suite, &client)
    }

    fn seal_request_as(&self, suite: Suite, client: &Client) -> Result<(Vec<u8>, PendingReply), String> {
        let message = need(self.request_message.as_ref(), "request_message")?;
        if suite != Suite::X25519AesGcm128 {
            let mut rng = Given::new(self.random.as_ref());
            return client.seal_request_to_vec(&mut rng, message).map_err(|e| format!("client: {e}"));
        }
        let ephemeral = self.ephemeral_secret.as_ref().ok_or("ephemeral_secret is missing")?.key()?;
        let mut packet = vec![0; client.overhead() + message.len()];
        let sealed = client.seal_request_with_ephemeral(&SecretKey::from_bytes(ephemeral), message, &mut packet);
        let (_, pending) = sealed.map_err(|e| format!("client: {e}"))?;
        Ok((packet, pending))
    }

    /// The case's client; or why the crate refuses to make it; or why the case does not say.
    fn client(&self, suite: Suite) -> Result<Client, Result<Error, String>> {
        let server_key = need(self.server_public.as_ref(), "server_public").map_err(Err)?;
        let server_key = server_public(suite, server_key).map_err(Ok)?;
        let mut client = Client::new(server_key).map_err(Ok)?.with_padding(Padding::None).map_err(Ok)?;
        client = client.with_suite(suite).map_err(Ok)?;
        if let Some(secret) = &self.client_secret {
            let identity = SecretKey::from_bytes(secret.key().map_err(Err)?);
            client = client.with_identity(&identity).map_err(Ok)?;
        }
        if let Some(psk) = &self.psk {
            client = client.with_psk(PreSharedKey::from_bytes(psk.key().map_err(Err)?)).map_err(Ok)?;
        }
        if let Some(len) = self.request_padded_to {
            client = client.with_padding(Padding::ToLength(len)).map_err(Ok)?;
        }
        if self.fresh { client.with_fresh_replies().map_err(Ok) } else { Ok(client) }
    }

    fn server(&self, suite: Suite) -> Result<Server, String> {
        let secret = self.server_secret.as_ref().ok_or("server_secret is missing")?.key()?;
        let mut server = Server::new(keyring(suite, secret)?);
        let suites = self.server_suites.clone().unwrap_or_else(|| vec![suite.number()]);
        let suites: Result<SuiteSet, _> = suites.into_iter().map(Suite::from_number).collect();
        server = server.with_suites(suites.map_err(|e| e.to_string())?);
        let masters: Result<Vec<_>, _> = self.psk_masters.iter().map(|m| m.key().map(PskMaster::from_bytes)).collect();
        server = server.with_psk_masters(masters?).map_err(|e| e.to_string())?;
        Ok(if self.anonymous_refused { server.authenticated_only() } else { server })
    }

    fn public_of_secret(&self, suite: Suite) -> Result<Vec<u8>, String> {
        let secret = self.server_secret.as_ref().ok_or("server_secret is missing")?.key()?;
        let key = keyring(suite, secret)?.server_keys().last().ok_or("no key")?;
        Ok(key.as_bytes().to_vec())
    }

    /// The kinds of servers that a case is for: where it does not say, all do the same.
    fn modes(&self) -> Vec<Mode> {
        match (&self.enrolled, &self.unknown_clients) {
            (Some(_), None) => vec![Mode::Enrolled],
            (None, Some(_)) => vec![Mode::LetIn],
            _ => vec![Mode::Enrolled, Mode::LetIn],
        }
    }

    /// Returns what the server knows of its clients.
    fn check(&self, suite: Suite, mode: Mode) -> Result<Check, String> {
        let keys = match &self.enrolled {
            Some(enrolled) => enrolled.as_slice(),
            None => self.client_public.as_slice(),
        };
        let keys = keys.iter().map(Hex::key).collect::<Result<Vec<_>, _>>()?;
        let scalar = self.server_secret.as_ref().ok_or("server_secret is missing")?.key()?;
        let scalar = x25519_part(suite, scalar);
        let secrets = keys.into_iter().filter_map(|key| {
            let key = PublicKey::from_bytes(key);
            Some((key, *scalar.shared_secret(&key).ok()?.as_bytes()))
        });
        Ok(Check { mode, secrets: secrets.collect(), looked_up: Cell::new(0) })
    }

    fn expect_result(&self, results: &[&str]) -> Outcome {
        if results.contains(&self.result.as_str()) { Ok(()) } else { Err(format!("result {:?} here", self.result)) }
    }

    fn expect_refusal(&self, refused: Option<Refusal>) -> Outcome {
        self.expect_error(refused.map(Error::Refused))
    }

    /// The files name causes by the specification's words, which are those of the variants.
    fn expect_error(&self, error: Option<Error>) -> Outcome {
        let expected = self.error.as_deref().ok_or("error is missing")?;
        let got = match error {
            Some(Error::Refused(cause)) => format!("{cause:?}"),
            Some(error) => format!("{error:?}"),
            None => return Err(format!("accepted; {expected} expected")),
        };
        if got.split(' ').next() == Some(expected) {
            Ok(())
        } else {
            Err(format!("refused as {got}, not as {expected}"))
        }
    }
}

/// A server key of the kind that the suite needs.
fn server_public(suite: Suite, bytes: &[u8]) -> Result<ServerKey, Error> {
    match suite {
        #[cfg(feature = "pq")]
        Suite::XWingAes256GcmSiv => pssst::XWingPublicKey::try_from(bytes).map(ServerKey::from),
        _ => PublicKey::try_from(bytes).map(ServerKey::from),
    }
}

/// A keyring whose last key is that of the case. With suite 0xf003 the case's X25519 part is a key
/// of its own too, which must make no difference.
fn keyring(suite: Suite, secret: [u8; 32]) -> Result<Keyring, String> {
    match suite {
        #[cfg(feature = "pq")]
        Suite::XWingAes256GcmSiv => {
            let secret = pssst::XWingSecretKey::from_bytes(secret);
            Keyring::new(secret.x25519_part()).with_xwing_key(&secret).map_err(|e| e.to_string())
        }
        _ => Ok(Keyring::new(SecretKey::from_bytes(secret))),
    }
}

/// Returns the scalar that the server makes Z2 with.
fn x25519_part(suite: Suite, secret: [u8; 32]) -> SecretKey {
    match suite {
        #[cfg(feature = "pq")]
        Suite::XWingAes256GcmSiv => pssst::XWingSecretKey::from_bytes(secret).x25519_part(),
        _ => SecretKey::from_bytes(secret),
    }
}

/// The kind of a server, by what it does with a client key.
#[derive(Clone, Copy)]
enum Mode {
    /// It has a table of secrets, and refuses all keys that are not there.
    Enrolled,
    /// It computes the secret of any key, and takes every valid one.
    LetIn,
}

struct Check {
    mode: Mode,
    secrets: Vec<(PublicKey, [u8; 32])>,
    looked_up: Cell<usize>,
}

impl ClientCheck for Check {
    fn check(&self, claim: &ClientClaim<'_>) -> KeyCheck {
        match self.mode {
            Mode::LetIn => KeyCheck::Validate,
            Mode::Enrolled if self.secrets.iter().any(|(key, _)| key == claim.key()) => KeyCheck::Accept,
            // Suite 1's files have no table: there every valid key is accepted.
            Mode::Enrolled if claim.suite() == Suite::X25519AesGcm128 => KeyCheck::Validate,
            Mode::Enrolled => KeyCheck::RejectUnknown,
        }
    }

    fn look_up(&self, claim: &ClientClaim<'_>) -> SharedSecret {
        self.looked_up.set(self.looked_up.get() + 1);
        match self.mode {
            Mode::LetIn => SharedSecret::Compute,
            Mode::Enrolled => match self.secrets.iter().find(|(key, _)| key == claim.key()) {
                Some((_, z2)) => SharedSecret::Known((*z2).into()),
                None => SharedSecret::Unknown,
            },
        }
    }
}

/// Opens a packet alone, and twice in a batch: three outcomes, which must be the same.
fn open_both_ways<T>(
    server: &Server,
    check: &Check,
    packet: &[u8],
    each: impl Fn(Request<'_>) -> T,
) -> Vec<Result<T, Refusal>> {
    let mut outcomes = vec![server.open_request_with(&mut packet.to_vec(), check).map(&each)];
    let mut copies = [packet.to_vec(), packet.to_vec()];
    let packets = copies.iter_mut().map(Vec::as_mut_slice);
    server.open_batch(packets, check, |_, outcome| outcomes.push(outcome.map(&each)));
    outcomes
}

/// A generator of given bytes.
struct Given(Vec<u8>);

impl Given {
    fn new(bytes: Option<&Hex>) -> Self {
        Self(bytes.map(|hex| hex.0.clone()).unwrap_or_default())
    }
}

impl TryRng for Given {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        unreachable!("secrets are drawn as bytes")
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        unreachable!("secrets are drawn as bytes")
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        bytes.copy_from_slice(&self.0);
        Ok(())
    }
}

impl TryCryptoRng for Given {}

fn need<'a>(field: Option<&'a Hex>, name: &str) -> Result<&'a [u8], String> {
    field.map(|hex| hex.0.as_slice()).ok_or_else(|| format!("{name} is missing"))
}

fn expect_bytes(what: &str, got: &[u8], expected: &[u8]) -> Outcome {
    if got == expected { Ok(()) } else { Err(format!("{what} differs from the file's")) }
}

/// Bytes that the file has as hexadecimal digits.
struct Hex(Vec<u8>);

impl Hex {
    fn key(&self) -> Result<[u8; 32], String> {
        self.0.as_slice().try_into().map_err(|_| "a key is not 32 bytes".into())
    }
}

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let digits = String::deserialize(deserializer)?;
        base16ct::mixed::decode_vec(&digits).map(Self).map_err(serde::de::Error::custom)
    }
}
