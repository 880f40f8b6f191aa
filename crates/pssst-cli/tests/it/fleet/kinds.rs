//! Each option that takes a key file, with each kind of file: what it does not take is named.

use std::fmt::Write;

use crate::fleet::process::Fleet;

/// Files and what they hold.
const FILES: [(&str, &str); 13] = [
    ("x25519.key", "an X25519 secret key"),
    ("x25519.pub", "an X25519 public key"),
    ("f003.key", "a secret key of suite f003"),
    ("f003.pub", "a public key of suite f003"),
    ("identity", "a precomputed identity"),
    ("psk", "a pre-shared key"),
    ("master", "a master of pre-shared keys"),
    ("keys.json", "a schedule of keys"),
    ("document.json", "a directory's key document"),
    ("certificate", "a certificate"),
    ("token", "an enrolment token"),
    ("digits", "64 hexadecimal digits"),
    ("text", ""),
];

/// A place of a file, what is needed there, and the files that are taken.
type Place = (&'static str, &'static str, &'static [&'static str]);

const ANY_SECRET: [&str; 3] = ["x25519.key", "f003.key", "digits"];
const ANY_PUBLIC: [&str; 3] = ["x25519.pub", "f003.pub", "digits"];
const SECRET: [&str; 2] = ["x25519.key", "digits"];
const IDENTITIES: [&str; 3] = ["x25519.key", "identity", "digits"];
const IDENTITY: &str = "an X25519 secret key or a precomputed identity";
const PUBLIC: [&str; 2] = ["x25519.pub", "digits"];

const PLACES: &[Place] = &[
    ("pubkey @", "a secret key", &ANY_SECRET),
    ("serve --listen 127.0.0.1:0 --secret-key @", "a secret key", &ANY_SECRET),
    ("serve --listen 127.0.0.1:0 --secret-key x25519.key --psk-master @", "a master of pre-shared keys", &["master"]),
    ("serve --listen 127.0.0.1:0 --keys @", "a schedule of keys", &["keys.json"]),
    (
        "gateway --listen 127.0.0.1:0 --upstream udp://127.0.0.1:9 --anonymous allow --secret-key @",
        "a secret key",
        &ANY_SECRET,
    ),
    ("directory --store sqlite:clients.db --self-signed --keys @", "a schedule of keys", &["keys.json"]),
    ("request --server 127.0.0.1:9 --server-key @ hello", "a public key", &ANY_PUBLIC),
    ("request --server 127.0.0.1:9 --server-key x25519.pub --identity @ hello", IDENTITY, &IDENTITIES),
    (
        "request --server 127.0.0.1:9 --server-key x25519.pub --identity x25519.key --psk @ hello",
        "a pre-shared key",
        &["psk"],
    ),
    (
        "request --server 127.0.0.1:9 --server-key f003.pub --identity x25519.key --psk psk --fallback @ hello",
        "an X25519 public key",
        &PUBLIC,
    ),
    ("bench --server 127.0.0.1:9 --server-key @", "a public key", &ANY_PUBLIC),
    ("bench --server 127.0.0.1:9 --server-key x25519.pub --identity @", IDENTITY, &IDENTITIES),
    ("bench --server 127.0.0.1:9 --server-key x25519.pub --identity x25519.key --psk @", "a pre-shared key", &["psk"]),
    ("proxy --listen 127.0.0.1:0 --server 127.0.0.1:9 --server-key @", "a public key", &ANY_PUBLIC),
    ("proxy --listen 127.0.0.1:0 --server 127.0.0.1:9 --server-key x25519.pub --identity @", IDENTITY, &IDENTITIES),
    (
        "proxy --listen 127.0.0.1:0 --server 127.0.0.1:9 --server-key x25519.pub --identity x25519.key --psk @",
        "a pre-shared key",
        &["psk"],
    ),
    ("inspect --secret-key @ 00", "a secret key", &ANY_SECRET),
    ("inspect --secret-key x25519.key --psk-master @ 00", "a master of pre-shared keys", &["master"]),
    ("clients add someone @ --store sqlite:clients.db", "an X25519 public key", &PUBLIC),
    ("clients psk one --store sqlite:clients.db --out new --keys @", "a schedule of keys", &["keys.json"]),
    ("clients psk one --store sqlite:clients.db --out new --psk-master @", "a master of pre-shared keys", &["master"]),
    ("keys show @", "a schedule of keys", &["keys.json"]),
    ("keys rotate @", "a schedule of keys", &["keys.json"]),
    ("keys retire @ psk", "a schedule of keys", &["keys.json"]),
    ("keys take-over @ --above 9", "a schedule of keys", &["keys.json"]),
    ("enroll --directory https://127.0.0.1:1 --token token --identity @", "an X25519 secret key", &SECRET),
    ("enroll --directory https://127.0.0.1:1 --identity x25519.key --token @", "an enrolment token", &["token"]),
    ("renew --directory https://127.0.0.1:1 --psk psk --identity @", IDENTITY, &IDENTITIES),
    ("renew --directory https://127.0.0.1:1 --identity x25519.key --psk @", "a pre-shared key", &["psk"]),
    ("precompute --out new --server-key x25519.pub --identity @", "an X25519 secret key", &SECRET),
    ("precompute --out new --identity x25519.key --server-key @", "a public key", &ANY_PUBLIC),
    ("precompute --out new --identity x25519.key --keys @", "a schedule of keys", &["keys.json"]),
    ("precompute --out new --secret-key x25519.key --client @", "an X25519 public key", &PUBLIC),
    ("precompute --out new --client x25519.pub --secret-key @", "a secret key", &ANY_SECRET),
];

fn prepare() -> Fleet {
    let fleet = Fleet::new();
    let key = fleet.stdout(&["keygen", "--out", "x25519.key"]);
    fleet.write("x25519.pub", &fleet.stdout(&["pubkey", "--pem", "x25519.key"]));
    fleet.stdout(&["keygen", "--suite", "f003", "--out", "f003.key"]);
    fleet.write("f003.pub", &fleet.stdout(&["pubkey", "--pem", "f003.key"]));
    fleet.stdout(&["keygen", "--psk-master", "--out", "master"]);
    fleet.stdout(&["keygen", "--format", "hex", "--out", "digits"]);
    fleet.stdout(&["keys", "init", "keys.json"]);
    fleet.stdout(&["precompute", "--identity", "x25519.key", "--server-key", "f003.pub", "--out", "identity"]);
    let store = ["--store", "sqlite:clients.db"];
    fleet.stdout(&[&["clients", "add", "one", key.trim()], &store[..]].concat());
    fleet.stdout(&[&["clients", "psk", "one", "--psk-master", "master", "--out", "psk"], &store[..]].concat());
    fleet.stdout(&[&["token", "create", "--out", "token"], &store[..]].concat());
    fleet.write("document.json", r#"{ "version": 1, "generation": 0, "keys": [{ "key": "00" }] }"#);
    fleet.write("certificate", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n");
    fleet.write("text", "hello\n");
    fleet
}

#[test]
fn every_option_names_the_kind_that_it_got_and_the_one_that_it_needs() {
    let fleet = prepare();
    let mut wrong = String::new();
    for (place, needed, taken) in PLACES {
        for (file, holds) in FILES.iter().filter(|(file, _)| !taken.contains(file)) {
            let line = place.replace('@', file);
            let words: Vec<_> = line.split(' ').collect();
            let output = fleet.output(&words, "");
            let said = String::from_utf8(output.stderr).unwrap();
            let is_named = match *holds {
                // It is not recognised: the message has what was expected.
                "" => {
                    said.contains(file)
                        && (said.contains(needed)
                            || said.contains("expected a key schedule")
                            || said.contains("other users can read"))
                }
                holds => {
                    said.contains(&format!("{file} holds {holds}"))
                        && said.contains(&format!("and {needed} is needed here"))
                }
            };
            if !is_named || !said.contains(" help: ") || !matches!(output.status.code(), Some(1 | 2)) {
                writeln!(wrong, "pssst {line} ({:?}):\n{said}", output.status.code()).unwrap();
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}
