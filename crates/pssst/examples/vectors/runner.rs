//! Runs one file of test vectors. Shared by the example `vectors` and the test of the same name.

use pssst::{Client, Error, PendingReply, PublicKey, Refusal, SecretKey, Server, Suite};
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
    if file.protocol != "PSSST" || file.suite.name != suite.name() {
        return Err(format!("not vectors of {}", suite.name()));
    }

    let mut report = Report { passed: 0, failures: Vec::new() };
    for group in file.test_groups {
        for case in group.tests {
            let outcome = match group.kind {
                GroupKind::Transaction => case.transaction(suite),
                GroupKind::TwoReplies => case.two_replies(suite),
                GroupKind::ServerRejects => case.server_rejects(),
                GroupKind::ClientRejects => case.client_rejects(suite),
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
    TwoReplies,
    ServerRejects,
    ClientRejects,
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
    ephemeral_secret: Option<Hex>,
    request_message: Option<Hex>,
    request_packet: Option<Hex>,
    reply_message: Option<Hex>,
    reply_packet: Option<Hex>,
    reply_message_2: Option<Hex>,
    reply_packet_2: Option<Hex>,
    then_true_reply: Option<Hex>,
    true_message: Option<Hex>,
}

type Outcome = Result<(), String>;

impl Case {
    /// A whole transaction, byte for byte at both ends.
    fn transaction(&self, suite: Suite) -> Outcome {
        self.expect_result(&["valid"])?;
        self.one_answer(suite, "reply_message", self.reply_message.as_ref(), self.reply_packet.as_ref())
    }

    /// Two answers to one request, each byte for byte. What they give away is the test
    /// `two_answers`.
    fn two_replies(&self, suite: Suite) -> Outcome {
        self.expect_result(&["valid", "acceptable"])?;
        self.one_answer(suite, "reply_message", self.reply_message.as_ref(), self.reply_packet.as_ref())?;
        self.one_answer(suite, "reply_message_2", self.reply_message_2.as_ref(), self.reply_packet_2.as_ref())
    }

    fn one_answer(&self, suite: Suite, what: &str, message: Option<&Hex>, packet: Option<&Hex>) -> Outcome {
        let (reply_message, reply_packet) = (need(message, what)?, need(packet, what)?);
        let request_message = need(self.request_message.as_ref(), "request_message")?;
        let request_packet = need(self.request_packet.as_ref(), "request_packet")?;

        let (packet, pending) = self.seal_request(suite)?;
        expect_bytes("request packet", &packet, request_packet)?;

        let server_secret = self.server_secret()?;
        if self.server_public.is_some() {
            expect_bytes("server key", server_secret.public_key().as_bytes(), self.server_public()?.as_bytes())?;
        }
        let mut buffer = request_packet.to_vec();
        let request = Server::new(server_secret).open_request(&mut buffer).map_err(|e| format!("server: {e}"))?;
        expect_bytes("request message", request.message(), request_message)?;
        let client_key = self.client_public.as_ref().map(|key| key.0.as_slice());
        if request.client_key().map(|key| &key.as_bytes()[..]) != client_key {
            return Err(format!("client key is {:?}", request.client_key()));
        }
        let reply = request.into_reply_sealer().seal_to_vec(reply_message).map_err(|e| format!("server: {e}"))?;
        expect_bytes("reply packet", &reply, reply_packet)?;

        let opened = pending.open_to_vec(reply_packet).map_err(|e| format!("client: {e}"))?;
        expect_bytes("reply message", &opened, reply_message)
    }

    /// A packet that a server must refuse, with the right cause.
    fn server_rejects(&self) -> Outcome {
        self.expect_result(&["invalid"])?;
        let mut packet = need(self.request_packet.as_ref(), "request_packet")?.to_vec();
        let server = Server::new(self.server_secret()?);
        self.expect_refusal(server.open_request(&mut packet).err())
    }

    /// A packet that a client must refuse, with the right cause, and still take the true reply
    /// after it.
    fn client_rejects(&self, suite: Suite) -> Outcome {
        self.expect_result(&["invalid"])?;
        let client = match self.client(suite) {
            Ok(client) => client,
            Err(Ok(Error::Refused(cause))) => return self.expect_refusal(Some(cause)),
            Err(Ok(error)) => return Err(error.to_string()),
            Err(Err(unreadable)) => return Err(unreadable),
        };
        let (packet, pending) = self.seal_request_as(&client)?;
        expect_bytes("request packet", &packet, need(self.request_packet.as_ref(), "request_packet")?)?;
        let reply_packet = need(self.reply_packet.as_ref(), "reply_packet")?;
        self.expect_refusal(pending.open_to_vec(reply_packet).err())?;

        if let Some(true_reply) = &self.then_true_reply {
            let opened = pending.open_to_vec(&true_reply.0).map_err(|e| format!("true reply: {e}"))?;
            expect_bytes("true message", &opened, need(self.true_message.as_ref(), "true_message")?)?;
        }
        Ok(())
    }

    fn seal_request(&self, suite: Suite) -> Result<(Vec<u8>, PendingReply), String> {
        let client =
            self.client(suite).map_err(|refused| refused.map_or_else(|why| why, |e| format!("client: {e}")))?;
        self.seal_request_as(&client)
    }

    fn seal_request_as(&self, client: &Client) -> Result<(Vec<u8>, PendingReply), String> {
        let ephemeral = self.ephemeral_secret.as_ref().ok_or("ephemeral_secret is missing")?.key()?;
        let message = need(self.request_message.as_ref(), "request_message")?;
        let mut packet = vec![0; client.overhead() + message.len()];
        let sealed = client.seal_request_with_ephemeral(&SecretKey::from_bytes(ephemeral), message, &mut packet);
        let (_, pending) = sealed.map_err(|e| format!("client: {e}"))?;
        Ok((packet, pending))
    }

    /// The case's client; or why the crate refuses to make it; or why the case does not say.
    fn client(&self, suite: Suite) -> Result<Client, Result<Error, String>> {
        let mut client = Client::new(self.server_public().map_err(Err)?).map_err(Ok)?.with_suite(suite);
        if let Some(secret) = &self.client_secret {
            let identity = SecretKey::from_bytes(secret.key().map_err(Err)?);
            client = client.with_identity(&identity).map_err(Ok)?;
        }
        Ok(client)
    }

    fn server_secret(&self) -> Result<SecretKey, String> {
        let secret = self.server_secret.as_ref().ok_or("server_secret is missing")?;
        secret.key().map(SecretKey::from_bytes)
    }

    fn server_public(&self) -> Result<PublicKey, String> {
        let public = self.server_public.as_ref().ok_or("server_public is missing")?;
        public.key().map(PublicKey::from_bytes)
    }

    fn expect_result(&self, results: &[&str]) -> Outcome {
        if results.contains(&self.result.as_str()) { Ok(()) } else { Err(format!("result {:?} here", self.result)) }
    }

    /// The files name causes by the specification's words, which are those of the variants.
    fn expect_refusal(&self, refused: Option<Refusal>) -> Outcome {
        let expected = self.error.as_deref().ok_or("error is missing")?;
        match refused {
            Some(cause) if format!("{cause:?}").split(' ').next() == Some(expected) => Ok(()),
            Some(cause) => Err(format!("refused as {cause:?}, not as {expected}")),
            None => Err(format!("accepted; {expected} expected")),
        }
    }
}

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
