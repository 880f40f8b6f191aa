//! The packets of the test vectors, as if they had been captured.

use pssst::{Header, Keyring, PskMaster, SecretKey, Suite, XWingSecretKey};
use pssst_inspect::{Contents, Decryptor, Dissection, Event, Observation, Transactions, Unopened, Verdict};
use serde_json::{Value, json};

const VECTORS: [&str; 4] = [
    include_str!("../../pssst/tests/vectors/pssst-suite-1.json"),
    include_str!("../../pssst/tests/vectors/pssst-suite-f002.json"),
    include_str!("../../pssst/tests/vectors/pssst-suite-f003.json"),
    include_str!("../../pssst/tests/vectors/pssst-suite-f0e1.json"),
];

/// Calls `each` with every case of these groups and its suite, and returns how many there are.
fn cases(groups: &[&str], each: impl Fn(Suite, &Value)) -> usize {
    let mut count = 0;
    for file in VECTORS {
        let file: Value = serde_json::from_str(file).unwrap();
        let suite = u16::try_from(file["suite"]["id"].as_u64().unwrap()).unwrap();
        for group in file["testGroups"].as_array().unwrap() {
            if groups.contains(&group["type"].as_str().unwrap()) {
                let tests = group["tests"].as_array().unwrap();
                for case in tests {
                    each(Suite::from_number(suite).unwrap(), case);
                }
                count += tests.len();
            }
        }
    }
    count
}

fn bytes(case: &Value, field: &str) -> Vec<u8> {
    base16ct::mixed::decode_vec(case[field].as_str().unwrap()).unwrap()
}

/// The keys of a case's server.
fn decryptor(suite: Suite, case: &Value) -> Decryptor {
    let secret = bytes(case, "server_secret").try_into().unwrap();
    let keyring = if suite == Suite::XWingAes256GcmSiv {
        let other = Keyring::new(SecretKey::from_bytes([9; 32]));
        other.with_xwing_key(&XWingSecretKey::from_bytes(secret)).unwrap()
    } else {
        Keyring::new(SecretKey::from_bytes(secret))
    };
    let masters = case["psk_masters"].as_array().into_iter().flatten();
    let masters = masters.map(|master| PskMaster::from_hex(master.as_str().unwrap()).unwrap());
    Decryptor::new(keyring).with_psk_masters(masters).unwrap()
}

/// A capture of a request and what comes after it, with or without keys.
struct Capture {
    transactions: Transactions,
    decryptor: Option<Decryptor>,
    number: u64,
}

impl Capture {
    fn new(decryptor: Option<Decryptor>) -> Self {
        Self { transactions: Transactions::new(), decryptor, number: 0 }
    }

    fn observe(&mut self, packet: &[u8]) -> (Dissection, Contents, Vec<Event>) {
        self.number += 1;
        let is_reply = Header::parse(packet).is_ok_and(Header::is_reply);
        let (source_port, destination_port) = if is_reply { (45678, 40000) } else { (40000, 45678) };
        let observation = Observation { number: self.number, time: None, source_port, destination_port, packet };
        let mut dissection = Dissection::of(packet, packet.len());
        let (contents, events) = self.transactions.observe(&mut dissection, &observation, self.decryptor.as_ref());
        (dissection, contents, events)
    }
}

#[test]
fn every_transaction_opens_with_the_servers_keys() {
    let count = cases(&["Transaction", "TwoReplies"], |suite, case| {
        let what = format!("{suite}, case {}", case["id"]);
        let is_fresh = case["fresh"] == true;
        let mut capture = Capture::new(Some(decryptor(suite, case)));
        let (dissection, contents, events) = capture.observe(&bytes(case, "request_packet"));
        assert_eq!((dissection.server, &events[..]), (Verdict::Accepts, &[][..]), "{what}");
        let opened = contents.opened.unwrap();
        assert_eq!(opened.message, bytes(case, "request_message"), "{what}");
        assert_eq!(opened.server_key.as_ref().unwrap().as_bytes(), bytes(case, "server_public"), "{what}");
        let opened = serde_json::to_value(&opened).unwrap();
        let client_key = case["client_public"].as_str().map(|hex| hex.parse::<pssst::PublicKey>().unwrap().to_string());
        assert_eq!(opened["client_key"], serde_json::json!(client_key), "{what}");
        assert_eq!(opened["server_key"], case["server_public"], "{what}");

        let (dissection, contents, events) = capture.observe(&bytes(case, "reply_packet"));
        assert_eq!(events, [Event::Reply { to: 1, after: None }], "{what}");
        if is_fresh {
            assert_eq!((dissection.client, contents.unopened), (Verdict::Undecided, Some(Unopened::FreshReply)));
            assert!(contents.opened.is_none(), "{what}");
            assert_eq!(serde_json::to_value(contents).unwrap(), json!({ "opened": null, "unopened": "fresh_reply" }));
        } else {
            assert_eq!((dissection.client, contents.unopened), (Verdict::Accepts, None), "{what}");
            let opened = contents.opened.unwrap();
            assert_eq!(opened.message, bytes(case, "reply_message"), "{what}");
            assert_eq!(opened.server_key.unwrap().as_bytes(), bytes(case, "server_public"), "{what}");
        }
        if case["reply_packet_2"].is_string() {
            let (_, contents, events) = capture.observe(&bytes(case, "reply_packet_2"));
            let danger = suite == Suite::X25519AesGcm128;
            assert_eq!(events[1], Event::DifferentReplies { than: 2, danger, genuine: !is_fresh }, "{what}");
            assert_eq!(contents.opened.is_some(), !is_fresh, "{what}");
        }
    });
    assert!(count > 100);
}

#[test]
fn every_transaction_shows_its_parts_without_keys() {
    cases(&["Transaction", "TwoReplies", "ServerAccepts"], |suite, case| {
        let what = format!("{suite}, case {}", case["id"]);
        let mut capture = Capture::new(None);
        let [request, reply] = ["request", "reply"].map(|name| {
            let packet = bytes(case, &format!("{name}_packet"));
            let (dissection, contents, events) = capture.observe(&packet);
            assert!(contents.opened.is_none() && contents.unopened.is_none() && dissection.may_be_packet(), "{what}");
            let is_reply = name == "reply";
            let expected = [Event::Reply { to: 1, after: None }];
            assert_eq!(events, expected[..usize::from(is_reply)], "{what}");
            let verdict = if is_reply { dissection.client } else { dissection.server };
            assert_eq!(verdict, Verdict::Undecided, "{what}");
            let padded = format!("{name}_padded_to");
            let message_len = case[padded].is_null().then(|| bytes(case, &format!("{name}_message")).len());
            assert_eq!(dissection.message_length, message_len, "{what}");
            let value_len = if is_reply && suite != Suite::X25519AesGcm128 { 8 } else { 32 };
            assert_eq!(dissection.exchange_value.as_deref(), Some(&packet[4..4 + value_len]), "{what}");
            dissection
        });
        let is_first = suite == Suite::X25519AesGcm128;
        let is_authenticated = case["client_public"].is_string();
        assert_eq!(request.authenticated, Some(is_authenticated), "{what}");
        assert_eq!(request.masked_client_key.is_some(), is_authenticated && !is_first, "{what}");
        assert_eq!(request.client_key_check.is_some(), is_authenticated && !is_first, "{what}");
        assert_eq!(request.kem_ciphertext.is_some(), suite == Suite::XWingAes256GcmSiv, "{what}");
        assert_eq!(reply.reply_exchange_value.is_some(), case["fresh"] == true, "{what}");
        if let (Some(masked), Some(mask)) = (request.masked_client_key, case["steps"]["mask"].as_str()) {
            let mask = base16ct::mixed::decode_vec(mask).unwrap();
            let key = masked.iter().zip(mask).map(|(byte, mask)| byte ^ mask).collect::<Vec<_>>();
            assert_eq!(key, bytes(case, "client_public"), "{what}");
            assert_eq!(request.client_key_check.unwrap()[..], bytes(&case["steps"], "t"), "{what}");
        }
    });
}

#[test]
fn a_reply_without_its_request_opens_under_suite_1_only() {
    cases(&["Transaction"], |suite, case| {
        let mut capture = Capture::new(Some(decryptor(suite, case)));
        let (_, contents, events) = capture.observe(&bytes(case, "reply_packet"));
        assert_eq!(events, [Event::NoRequest]);
        let expected = match suite {
            Suite::X25519AesGcm128 => None,
            _ if case["fresh"] == true => Some(Unopened::FreshReply),
            _ => Some(Unopened::RequestMissing),
        };
        assert_eq!((contents.opened.is_some(), contents.unopened), (expected.is_none(), expected));
    });
}

#[test]
fn requests_that_take_other_keys_are_reported_as_such() {
    let other = || Decryptor::new(Keyring::new(SecretKey::from_bytes([9; 32])));
    cases(&["Transaction"], |suite, case| {
        let request = bytes(case, "request_packet");
        let mut dissection = Dissection::of(&request, request.len());
        let unopened = other().open(&request, &mut dissection).unopened;
        let (expected, verdict) = if case["psk"].is_string() {
            (Some(Unopened::PskMasterMissing), Verdict::Undecided)
        } else if suite == Suite::XWingAes256GcmSiv {
            (Some(Unopened::XwingKeyMissing), Verdict::Undecided)
        } else {
            (None, Verdict::Refuses(pssst::Refusal::DecryptFailed))
        };
        assert_eq!((unopened, dissection.server), (expected, verdict));
    });
}

/// A server's policy and what it knows of its clients are not in a capture.
#[test]
fn refusals_are_named_as_in_the_vectors() {
    let count = cases(&["ServerRejects"], |suite, case| {
        let settings = ["anonymous_refused", "enrolled", "server_suites", "unknown_clients"];
        if settings.iter().any(|setting| !case[setting].is_null()) {
            return;
        }
        let request = bytes(case, "request_packet");
        let mut dissection = Dissection::of(&request, request.len());
        let contents = decryptor(suite, case).open(&request, &mut dissection);
        let what = format!("{suite}, case {}: {}", case["id"], case["comment"]);
        assert!(contents.opened.is_none(), "{what}");
        let Verdict::Refuses(cause) = dissection.server else {
            assert_eq!(contents.unopened, Some(Unopened::PskMasterMissing), "{what}");
            assert_eq!(case["error"], "DecryptFailed", "{what}");
            return;
        };
        let cause = format!("{cause:?}");
        assert_eq!(cause.split(' ').next(), case["error"].as_str(), "{what}");
    });
    assert!(count > 300);
}
