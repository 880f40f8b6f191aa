//! The owner of a server's secret key reads recorded replies, and no more than that.

use pssst::{Client, Keyring, Refusal, SecretKey, Server, Suite, SuiteSet, SysRng};
use serde_json::Value;

const VECTORS: [&str; 2] =
    [include_str!("../vectors/pssst-suite-1.json"), include_str!("../vectors/pssst-suite-f001.json")];

/// The cases of a kind, of both suites.
fn cases(kind: &str) -> Vec<Value> {
    let files = VECTORS.map(|json| serde_json::from_str::<Value>(json).unwrap());
    let groups = files.iter().flat_map(|file| file["testGroups"].as_array().unwrap());
    groups.filter(|group| group["type"] == kind).flat_map(|group| group["tests"].as_array().unwrap()).cloned().collect()
}

fn bytes(case: &Value, field: &str) -> Vec<u8> {
    base16ct::mixed::decode_vec(case[field].as_str().unwrap()).unwrap()
}

fn owner(case: &Value) -> Server {
    Server::new(SecretKey::from_hex(case["server_secret"].as_str().unwrap()).unwrap())
}

///
#[test]
fn every_recorded_reply_of_the_vectors_opens_with_the_servers_key() {
    let cases = cases("Transaction");
    assert_eq!(cases.len(), 40);
    for case in cases {
        let mut reply = bytes(&case, "reply_packet");
        let owner = owner(&case);
        let opened = owner.open_recorded_reply(&mut reply).unwrap();
        assert_eq!(opened.message(), bytes(&case, "reply_message"), "{}", case["comment"]);
        assert_eq!(opened.server_key_index(), 0);
    }
}

/// Both of two different answers to one request open, which is how an owner learns that it
/// happened.
#[test]
fn both_of_two_answers_open() {
    for case in cases("TwoReplies") {
        for (packet, message) in [("reply_packet", "reply_message"), ("reply_packet_2", "reply_message_2")] {
            let mut reply = bytes(&case, packet);
            assert_eq!(owner(&case).open_recorded_reply(&mut reply).unwrap().message(), bytes(&case, message));
        }
    }
}

///
#[test]
fn what_is_no_reply_for_this_key_is_refused_by_its_cause_and_left_as_it_was() {
    let case = &cases("Transaction")[5];
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
    let only_ours = SuiteSet::from_iter([Suite::X25519Aes128GcmSiv]);
    let picky = owner.with_suites(only_ours);
    assert_eq!(picky.open_recorded_reply(&mut reply.clone()).unwrap_err(), Refusal::UnsupportedSuite { suite: 1 });
}

///
#[test]
fn the_key_that_opened_it_is_told() {
    let [old, new] = [(); 2].map(|()| SecretKey::generate(&mut SysRng).unwrap());
    let client = Client::new(old.public_key()).unwrap();
    let (mut request, _) = client.seal_request_to_vec(&mut SysRng, b"").unwrap();
    let owner = Server::new(Keyring::new(new).with_key(old).unwrap());
    let mut reply = owner.open_request(&mut request).unwrap().into_reply_sealer().seal_to_vec(b"yes").unwrap();
    let opened = owner.open_recorded_reply(&mut reply).unwrap();
    assert_eq!((opened.message(), opened.server_key_index()), (&b"yes"[..], 1));
    assert_eq!(format!("{opened:?}"), "RecordedReply { message_len: 3, server_key_index: 1 }");
}
