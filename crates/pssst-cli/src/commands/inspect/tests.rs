//! Whole captures, from the vectors and mutated.

use std::fmt::Write;

use clap::Parser;
use proptest::prelude::*;
use pssst::{PskMaster, key_text};
use pssst_directory_server::psk_master_to_pem;
use serde_json::{Value, json};

use super::*;
use pssst_test::captures::{Endian, ethernet, ipv4_fragment, pcap, pcapng, udp4};

const CLIENT: &str = "10.0.0.1:40000";
const SERVER: &str = "10.0.0.2:45678";

/// The command line, as far as it concerns this command.
#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: Args,
}

fn args(line: &[&str]) -> Args {
    Line::parse_from([&["inspect"], line].concat()).args
}

/// What comes out, and how it ends.
fn inspect(line: &[&str], capture: &[u8]) -> (String, Result<(), Failure>) {
    let args = args(line);
    let mut inspector = Inspector::new(&args, Vec::new()).unwrap();
    let end = inspector.capture(Path::new("test.pcap"), capture);
    (String::from_utf8(inspector.output).unwrap(), end)
}

fn objects(lines: &str) -> Vec<Value> {
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Returns a case of the vectors, by its id.
/// A public key of the vectors as the program writes it.
fn key_text(hex: &Value) -> Value {
    hex.as_str().map(|hex| hex.parse::<pssst::ServerKey>().unwrap().to_string()).into()
}

fn case(suite: u16, id: u64) -> Value {
    let json = match suite {
        1 => include_str!("../../../../pssst/tests/vectors/pssst-suite-1.json"),
        0xf002 => include_str!("../../../../pssst/tests/vectors/pssst-suite-f002.json"),
        0xf003 => include_str!("../../../../pssst/tests/vectors/pssst-suite-f003.json"),
        _ => include_str!("../../../../pssst/tests/vectors/pssst-suite-f0e1.json"),
    };
    let file: Value = serde_json::from_str(json).unwrap();
    let groups = file["testGroups"].as_array().unwrap();
    groups.iter().flat_map(|group| group["tests"].as_array().unwrap()).find(|case| case["id"] == id).unwrap().clone()
}

fn bytes(case: &Value, field: &str) -> Vec<u8> {
    base16ct::mixed::decode_vec(case[field].as_str().unwrap()).unwrap()
}

/// Returns a request and its reply, with the secret key in a file.
fn transaction(case: &Value) -> (Vec<Vec<u8>>, tempfile::NamedTempFile) {
    let key = tempfile::NamedTempFile::new().unwrap();
    let secret = case["server_secret"].as_str().unwrap();
    // Only PEM says that a key is of suite 0xf003.
    let text = match bytes(case, "request_packet")[2..4] {
        [0xf0, 0x03] => pssst::XWingSecretKey::from_hex(secret).unwrap().expose_pem(),
        _ => secret.to_owned().into(),
    };
    std::fs::write(key.path(), text.as_bytes()).unwrap();
    let frames =
        vec![udp4(CLIENT, SERVER, &bytes(case, "request_packet")), udp4(SERVER, CLIENT, &bytes(case, "reply_packet"))];
    (frames, key)
}

#[test]
fn keys_open_requests_and_replies_of_every_suite() {
    for (suite, id) in
        [(1, 6), (1, 16), (0xf002, 7), (0xf002, 18), (0xf003, 7), (0xf003, 15), (0xf003, 21), (0xf0e1, 2)]
    {
        let case = case(suite, id);
        let (frames, key) = transaction(&case);
        let master = file(first_master(&case));
        let [key, master] = [&key, &master].map(|file| file.path().to_str().unwrap());
        let keys: &[&str] = &["--secret-key", key];
        let masters: &[&str] = if case["psk"].is_string() { &["--psk-master", master] } else { &[] };
        let (lines, end) = inspect(&[&["--json"], keys, masters].concat(), &pcap(101, &frames, Endian::Little));
        end.unwrap();
        let seen = objects(&lines);
        assert_eq!(seen.len(), 2);
        let is_fresh = case["fresh"] == true;
        for (packet, name) in seen.iter().zip(["request", "reply"]) {
            assert_eq!(packet["suite"], suite);
            if is_fresh && name == "reply" {
                assert_eq!((&packet["opened"], &packet["unopened"]), (&Value::Null, &json!("fresh_reply")));
                continue;
            }
            assert_eq!(packet["opened"]["message"], case[format!("{name}_message")], "{suite:#x} {id} {name}");
            // The vectors have X-Wing keys too.
            assert_eq!(packet["opened"]["server_key"], case["server_public"]);
            assert_eq!(packet["unopened"], Value::Null);
            let length = case[format!("{name}_message")].as_str().unwrap().len() / 2;
            let is_padded = case[format!("{name}_padded_to")].is_number();
            assert_eq!(packet["message_length"], if is_padded { Value::Null } else { json!(length) });
        }
        assert_eq!(seen[0]["opened"]["client_key"], key_text(&case["client_public"]));
        assert_eq!((&seen[0]["server"], &seen[0]["client"]), (&json!("accepts"), &json!("not_reply")));
        assert_eq!(seen[1]["client"], if is_fresh { "undecided" } else { "accepts" });
        assert_eq!(seen[1]["events"], json!([{ "event": "reply", "to": 1, "after": 1.0 }]));
        assert_eq!(seen[1]["time"], "2026-01-02T03:04:06.000007000Z");
        assert_eq!(seen[1]["source"], SERVER);
    }
}

/// The default of a pool: no key is in a file of its own.
#[test]
fn a_schedule_has_all_keys() {
    for (suite, id) in [(0xf002, 7), (0xf002, 23), (0xf003, 7), (0xf003, 8)] {
        let case = case(suite, id);
        let (frames, _) = transaction(&case);
        let entry = |prefix: &str, secret: &Value| {
            let mut bytes = [0; 32];
            base16ct::lower::decode(secret.as_str().unwrap(), &mut bytes).unwrap();
            let secret = key_text::encode_secret(prefix, &bytes);
            json!([{ "secret": &*secret, "not_before": "2026-01-01T00:00:00Z", "not_after": null }])
        };
        let mut schedule = json!({ "version": 1, "generation": 0, "refresh_interval_seconds": 3600 });
        schedule["keys"] = entry("pssst-secret-key-", &json!("07".repeat(32)));
        let (kind, prefix) =
            if suite == 0xf003 { ("xwing_keys", "pssst-pq-secret-key-") } else { ("keys", "pssst-secret-key-") };
        schedule[kind] = entry(prefix, &case["server_secret"]);
        if case["psk"].is_string() {
            schedule["psk_masters"] = entry("pssst-psk-master-", &case["psk_masters"][0]);
        }
        let schedule = file(schedule.to_string());
        let arguments = ["--json", "--keys", schedule.path().to_str().unwrap()];
        let (lines, end) = inspect(&arguments, &pcap(101, &frames, Endian::Little));
        end.unwrap();
        let opened: Vec<_> = objects(&lines).iter().map(|packet| packet["opened"]["message"].clone()).collect();
        assert_eq!(opened, [case["request_message"].clone(), case["reply_message"].clone()], "{suite:#x} {id}");
    }
}

/// Returns the current master of a case, or no text.
fn first_master(case: &Value) -> String {
    let master = case["psk_masters"][0].as_str().map(|hex| PskMaster::from_hex(hex).unwrap());
    master.map(|master| psk_master_to_pem(&master).to_string()).unwrap_or_default()
}

fn file(text: String) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

#[test]
fn what_keys_cannot_open_is_explained() {
    let (frames, key) = transaction(&case(0xf002, 7));
    let (psk_frames, psk_key) = transaction(&case(0xf002, 24));
    let (xwing_frames, _) = transaction(&case(0xf003, 1));
    let other = file("09".repeat(32));
    for (frames, key, word, text) in [
        (
            &frames[1..],
            &key,
            "request_missing",
            "closed: it opens with its request only, which does not come before it",
        ),
        (
            &frames[..],
            &other,
            "request_unopened",
            "closed: it opens with its request only, which none of these keys opens",
        ),
        (
            &psk_frames,
            &psk_key,
            "psk_master_missing",
            "closed: it takes the master of the pre-shared keys (--psk-master)",
        ),
        (&xwing_frames, &other, "xwing_key_missing", "closed: it takes the server's key of suite f003 (--secret-key)"),
    ] {
        let capture = pcap(101, frames, Endian::Little);
        let key = key.path().to_str().unwrap();
        let (lines, _) = inspect(&["--json", "--secret-key", key], &capture);
        assert!(objects(&lines).iter().any(|packet| packet["unopened"] == word), "{word}: {lines}");
        let (said, _) = inspect(&["--secret-key", key], &capture);
        assert!(said.contains(&format!("  message         {text}\n")), "{said}");
    }
}

/// Every packet that the vectors' server refuses is refused here by the same name, in snake case.
#[test]
fn refusals_are_named_as_in_the_vectors() {
    for id in 22..=77 {
        let case = case(1, id);
        let (request, key) = (bytes(&case, "request_packet"), tempfile::NamedTempFile::new().unwrap());
        std::fs::write(key.path(), case["server_secret"].as_str().unwrap()).unwrap();
        let frame = udp4(CLIENT, SERVER, &request);
        let line = ["--json", "--secret-key", key.path().to_str().unwrap()];
        let (lines, _) = inspect(&line, &pcap(101, &[frame], Endian::Little));
        assert_eq!(objects(&lines)[0]["server"], snake_case(&case["error"]), "{id} {}", case["comment"]);
    }
}

/// `ClientKeyAlias` as `client_key_alias`.
fn snake_case(name: &Value) -> String {
    let mut snake = String::new();
    for letter in name.as_str().unwrap().chars() {
        if letter.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

#[test]
fn two_answers_to_one_request_are_shouted_about() {
    for (suite, id, danger) in [(1, 21, true), (0xf002, 72, false)] {
        let case = case(suite, id);
        let (mut frames, key) = transaction(&case);
        frames.push(frames[0].clone());
        frames.push(udp4(SERVER, CLIENT, &bytes(&case, "reply_packet_2")));
        frames.push(frames[1].clone());
        let file = pcapng(1, &frames.iter().map(|ip| ethernet(0x0800, ip)).collect::<Vec<_>>(), Endian::Big);
        for (line, genuine) in
            [(vec!["--json"], false), (vec!["--json", "--secret-key", key.path().to_str().unwrap()], true)]
        {
            let (lines, end) = inspect(&line, &file);
            end.unwrap();
            let seen = objects(&lines);
            assert_eq!(seen[2]["events"], json!([{ "event": "repeated_request", "of": 1, "after": 2.0 }]));
            let different = json!({ "event": "different_replies", "than": 2, "danger": danger, "genuine": genuine });
            assert_eq!(seen[3]["events"][1], different);
            assert_eq!(seen[4]["events"][1], json!({ "event": "repeated_reply", "of": 2, "after": 3.0 }));
        }
        let (text, _) = inspect(&[], &file);
        assert_eq!(text.contains("!!! DANGER: "), danger, "{text}");
    }
}

#[test]
fn text_for_people() {
    let case = case(1, 16);
    let (mut frames, key) = transaction(&case);
    frames.push(ipv4_fragment(&udp4(CLIENT, SERVER, &bytes(&case, "request_packet")), 64, 0));
    frames.push(ipv4_fragment(&udp4(CLIENT, SERVER, &bytes(&case, "request_packet")), 64, 1));
    let (text, end) = inspect(&["--secret-key", key.path().to_str().unwrap()], &pcap(101, &frames, Endian::Little));
    end.unwrap();
    let message = bytes(&case, "request_message");
    let mut row = String::new();
    for byte in &message[16..] {
        write!(row, " {byte:02x}").unwrap();
    }
    for wanted in [
        "#1  2026-01-02T03:04:05.000007Z  10.0.0.1:40000 -> 10.0.0.2:45678\n",
        "  length          148 bytes: 116 around a message of 32\n  kind            request, authenticated\n",
        "  flags           0x4000 client_auth\n  suite           0x0001 X25519_AESGCM128\n",
        "  a server        accepts it\n  a client        refuses it: not_reply (packet is a request, not a reply)\n",
        &format!(
            "  client key      {}, proven\n  message         32 bytes\n",
            key_text(&case["client_public"]).as_str().unwrap()
        ),
        &format!("    0010 {row}  "),
        "  in the capture  the reply to #1, 1.000000 s later\n",
        "  fragment        the first fragment of a datagram; the others are not joined to it\n",
        "  length          148 bytes, 56 of them captured\n",
        "4 frames, 3 of them packets on UDP port 45678 (requests 2, replies 1)\n1 further fragments",
    ] {
        assert!(text.contains(wanted), "{wanted}\nis not in\n{text}");
    }
}

#[test]
fn text_of_the_parts_of_newer_suites() {
    // Authenticated, with a fresh reply.
    let case = case(0xf003, 21);
    let (frames, key) = transaction(&case);
    let other = file("09".repeat(32));
    let [other, key] = [&other, &key].map(|file| file.path().to_str().unwrap());
    let (text, end) = inspect(&["--secret-key", other, "--secret-key", key], &pcap(101, &frames, Endian::Little));
    end.unwrap();
    for wanted in [
        "  length          1232 bytes: 1180 around 52 of message and padding\n",
        "  flags           0x6800 client_auth padded fresh_reply\n  suite           0xf003 XWING_AES256GCMSIV\n",
        "  ML-KEM          ciphertext of 1088 bytes\n",
        ", masked\n  its check       ",
        "  server key      pssst-pq1",
        &format!("  client key      {}, proven\n", key_text(&case["client_public"]).as_str().unwrap()),
        "                  its first 8 bytes\n  reply's value   ",
        "  message         closed: a fresh reply, which only its client can open\n",
    ] {
        assert!(text.contains(wanted), "{wanted}\nis not in\n{text}");
    }
}

#[test]
fn other_ports_are_left_alone() {
    let (frames, _key) = transaction(&case(1, 6));
    let file = pcap(101, &frames, Endian::Little);
    let capture = ["--capture", "test.pcap", "--port"];
    assert!(inspect(&[&capture[..], &["5"]].concat(), &file).1.is_err());
    assert!(inspect(&[&capture[..], &["5", "--port", "40000"]].concat(), &file).1.is_ok());
}

/// Returns a file to mutate: many kinds of frames, and of packets.
fn specimen(which: usize) -> Vec<u8> {
    let (mut frames, _key) = transaction(&case(1, 16));
    frames.push(udp4(SERVER, CLIENT, &bytes(&case(1, 21), "reply_packet_2")));
    frames.extend([0, 1].map(|piece| ipv4_fragment(&frames[0], 64, piece)));
    let frames = frames.iter().map(|ip| ethernet(0x0800, ip)).collect::<Vec<_>>();
    let endian = if which & 1 == 0 { Endian::Little } else { Endian::Big };
    if which & 2 == 0 { pcap(1, &frames, endian) } else { pcapng(1, &frames, endian) }
}

proptest! {
    /// Whatever a file says: no panic, one line for each packet, and an end.
    #[test]
    fn mutated_captures_end_well(which in 0usize..4, json: bool, cut in 0.0..1.5f64, changes in prop::collection::vec((0.0..1.0f64, any::<u8>()), 0..12)) {
        let mut file = specimen(which);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a place in a short file")]
        let at = |part: f64| (part * file.len() as f64) as usize;
        let (places, length) = (changes.iter().map(|&(part, byte)| (at(part), byte)).collect::<Vec<_>>(), at(cut));
        for (place, byte) in places {
            file[place] = byte;
        }
        file.truncate(length);
        let line: &[&str] = if json { &["--json"] } else { &[] };
        let (output, _) = inspect(line, &file);
        if json {
            prop_assert!(objects(&output).len() <= 5);
        }
    }
}

#[test]
fn what_is_not_understood_is_counted_and_named() {
    let (frames, _) = transaction(&case(1, 1));
    // USB frames, which are read as nothing.
    let (said, end) = inspect(&[], &pcap(189, &frames, Endian::Little));
    assert!(said.contains("2 frames of link type 189 were skipped"), "{said}");
    let error = end.unwrap_err().to_string();
    assert!(error.contains("no datagram of UDP port 45678 among the 2 frames") && error.contains("189"), "{error}");
    // Another protocol on the port.
    let junk = vec![udp4(CLIENT, SERVER, &[0xff; 100]), udp4(SERVER, CLIENT, b"hello")];
    let (said, end) = inspect(&["--json"], &pcap(101, &junk, Endian::Little));
    assert_eq!(objects(&said).len(), 2);
    let error = end.unwrap_err().to_string();
    assert!(error.contains("none of the 2 datagrams of UDP port 45678"), "{error}");
    let some = [&frames[..], &junk].concat();
    inspect(&[], &pcap(101, &some, Endian::Little)).1.unwrap();
}
