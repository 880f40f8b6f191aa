//! The owner of a server's secret key reads recorded replies, and no more than that.

use pssst::{Client, Keyring, PskMaster, Refusal, SecretKey, Server, Suite, SuiteSet, SysRng};
use serde_json::Value;

const SUITE_1: &str = include_str!("../vectors/pssst-suite-1.json");
const F002: &str = include_str!("../vectors/pssst-suite-f002.json");

/// The cases of a kind.
fn cases(json: &str, kind: &str) -> Vec<Value> {
    let file: Value = serde_json::from_str(json).unwrap();
    let groups = file["testGroups"].as_array().unwrap().iter();
    groups.filter(|group| group["type"] == kind).flat_map(|group| group["tests"].as_array().unwrap()).cloned().collect()
}

fn bytes(case: &Value, field: &str) -> Vec<u8> {
    base16ct::mixed::decode_vec(case[field].as_str().unwrap()).unwrap()
}

fn owner(case: &Value) -> Server {
    let masters = case["psk_masters"].as_array().into_iter().flatten();
    let masters = masters.map(|master| PskMaster::from_hex(master.as_str().unwrap()).unwrap());
    let secret = SecretKey::from_hex(case["server_secret"].as_str().unwrap()).unwrap();
    Server::new(secret).with_psk_masters(masters).unwrap()
}

///
#[test]
fn every_recorded_reply_of_the_vectors_opens_with_the_servers_key() {
    let cases = cases(SUITE_1, "Transaction");
    assert_eq!(cases.len(), 20);
    for case in cases {
        let mut reply = bytes(&case, "reply_packet");
        let owner = owner(&case);
        let opened = owner.open_recorded_reply(&mut reply).unwrap();
        assert_eq!(opened.message(), bytes(&case, "reply_message"), "{}", case["comment"]);
        assert_eq!(opened.server_key_index(), 0);
    }
}

/// Of the other suites a reply opens with its request, unless it is fresh.
#[test]
fn every_recorded_reply_that_is_not_fresh_opens_with_its_request() {
    let (mut fresh, mut opened) = (0, 0);
    for case in cases(F002, "Transaction").into_iter().chain(cases(F002, "TwoReplies")) {
        let (mut request, owner) = (bytes(&case, "request_packet"), owner(&case));
        let reply = bytes(&case, "reply_packet");
        assert!(owner.open_recorded_reply(&mut reply.clone()).is_err());
        let request = owner.open_recorded_request(&mut request).unwrap();
        assert_eq!(request.message(), bytes(&case, "request_message"));
        assert_eq!(request.client_key().is_some(), case["client_public"].is_string());
        assert_eq!(request.server_key_index(), 0);
        let outcome = request.into_reply_opener().open_to_vec(&reply);
        if case["fresh"] == true {
            assert_eq!(outcome, Err(Refusal::DecryptFailed));
            fresh += 1;
        } else {
            assert_eq!(outcome.unwrap(), bytes(&case, "reply_message"));
            opened += 1;
        }
    }
    assert_eq!((fresh, opened), (8, 60));
}

/// Both of two different answers to one request open, which is how an owner learns that it
/// happened.
#[test]
fn both_of_two_answers_open() {
    for case in cases(SUITE_1, "TwoReplies") {
        for (packet, message) in [("reply_packet", "reply_message"), ("reply_packet_2", "reply_message_2")] {
            let mut reply = bytes(&case, packet);
            assert_eq!(owner(&case).open_recorded_reply(&mut reply).unwrap().message(), bytes(&case, message));
        }
    }
}

///
#[test]
fn what_is_no_reply_for_this_key_is_refused_by_its_cause_and_left_as_it_was() {
    let case = &cases(SUITE_1, "Transaction")[5];
    let (owner, reply) = (owner(case), bytes(case, "reply_packet"));
    let cause_of = |packet: &[u8]| {
        let mut copy = packet.to_vec();
        let error = owner.open_recorded_reply(&mut copy).unwrap_err();
        assert_eq!(copy, packet);
        error
    };
    let after_change = |place: usize, bits: u8| {
        let mut packet = reply.clone();
        packet[place] ^= bits;
        cause_of(&packet)
    };

    for len in 0..52 {
        assert_eq!(cause_of(&reply[..len]), Refusal::Truncated);
    }
    assert_eq!(cause_of(&bytes(case, "request_packet")), Refusal::NotReply);
    assert_eq!(after_change(0, 0x80), Refusal::NotReply);
    assert_eq!(after_change(1, 0x01), Refusal::ReservedFlags { bits: 1 });
    assert_eq!(after_change(3, 0x02), Refusal::UnsupportedSuite { suite: 3 });
    assert_eq!(after_change(0, 0x40), Refusal::DecryptFailed);
    for place in 4..reply.len() {
        assert_eq!(after_change(place, 0x01), Refusal::DecryptFailed, "{place}");
    }
    let mut low_order = reply.clone();
    low_order[4..36].fill(0);
    assert_eq!(cause_of(&low_order), Refusal::WeakKey);

    let stranger = Server::new(SecretKey::generate(&mut SysRng).unwrap());
    assert_eq!(stranger.open_recorded_reply(&mut reply.clone()).unwrap_err(), Refusal::DecryptFailed);
    let only_ours = SuiteSet::from_iter([Suite::X25519Aes256GcmSiv]);
    let picky = owner.with_suites(only_ours);
    assert_eq!(picky.open_recorded_reply(&mut reply.clone()).unwrap_err(), Refusal::UnsupportedSuite { suite: 1 });
}

///
#[test]
fn the_key_that_opened_it_is_told() {
    let [old, new] = [(); 2].map(|()| SecretKey::generate(&mut SysRng).unwrap());
    let client = Client::new(old.public_key()).unwrap().with_suite(Suite::X25519AesGcm128).unwrap();
    let (mut request, _) = client.seal_request_to_vec(&mut SysRng, b"").unwrap();
    let owner = Server::new(Keyring::new(new).with_key(old).unwrap());
    let mut reply =
        owner.open_request(&mut request).unwrap().into_reply_sealer().seal_to_vec(&mut SysRng, b"yes").unwrap();
    let opened = owner.open_recorded_reply(&mut reply).unwrap();
    assert_eq!((opened.message(), opened.server_key_index()), (&b"yes"[..], 1));
    assert_eq!(format!("{opened:?}"), "RecordedReply { message_len: 3, server_key_index: 1 }");
}
