//! Links are read and written as the vectors have it.

use proptest::prelude::*;
use pssst::{PublicKey, Suite, XWingKeyHash};
use pssst_link::{Error, Link, LinkKey, MAX_LEN};
use serde_json::Value;
use zeroize::Zeroizing;

const VECTORS: &str = include_str!("vectors/links.json");

fn cases(group: &str) -> Vec<Value> {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    let cases = vectors[group].as_array().unwrap().clone();
    assert!(!cases.is_empty());
    cases
}

fn text(case: &Value, field: &str) -> Option<String> {
    case[field].as_str().map(Into::into)
}

/// The link whose parts a vector has.
fn link(case: &Value) -> Link {
    let key = text(case, "key").map(|key| LinkKey::X25519(key.parse().unwrap()));
    let hash = text(case, "key_hash").map(|hash| {
        let mut bytes = [0; 32];
        base16ct::lower::decode(hash, &mut bytes).unwrap();
        LinkKey::XWing(XWingKeyHash::from_bytes(bytes))
    });
    let suites = case["suites"].as_array().into_iter().flatten();
    let suites = suites.map(|suite| Suite::from_number(suite.as_u64().unwrap().try_into().unwrap()).unwrap());
    let pin = text(case, "pin").map(|pin| {
        let mut bytes = [0; 32];
        base16ct::lower::decode(pin, &mut bytes).unwrap();
        bytes
    });
    Link {
        server: text(case, "server"),
        key: key.or(hash),
        suites: suites.collect(),
        directory: text(case, "directory"),
        pin,
        token: text(case, "token").map(Zeroizing::new),
    }
}

#[test]
fn links_are_written_and_read() {
    for case in cases("links") {
        let expected = text(&case, "link").unwrap();
        let link = link(&case);
        assert_eq!(link.to_text().unwrap().as_str(), expected);
        assert_eq!(expected.parse(), Ok(link.clone()), "{expected}");
        assert_eq!(format!(" {expected}\n").parse(), Ok(link));
    }
}

#[test]
fn other_texts_are_refused_with_their_reason() {
    for case in cases("refused") {
        let text = case["link"].as_str().unwrap();
        let error = text.parse::<Link>().unwrap_err();
        let reason = match &error {
            Error::NotLink => "not_link",
            Error::TooLong => "too_long",
            Error::Cut => "cut",
            Error::Checksum => "checksum",
            Error::UnknownParameter(_) => "unknown_parameter",
            Error::Repeated(_) => "repeated",
            Error::Invalid { .. } => "invalid",
            Error::Missing(_) => "missing",
            error => panic!("{error}"),
        };
        assert_eq!(reason, case["reason"], "{text}: {error}");
    }
}

/// Each single change of each link.
#[test]
fn a_wrong_character_is_noticed() {
    for case in cases("links") {
        let text = text(&case, "link").unwrap();
        for at in 0..text.len() {
            let (front, rest) = (&text[..at], &text[at + 1..]);
            assert!([front, rest].concat().parse::<Link>().is_err(), "without character {at}: {text}");
            for other in ['a', '1', '&', 'Q'] {
                let changed = format!("{front}{other}{rest}");
                assert!(changed == text || changed.parse::<Link>().is_err(), "{changed}");
            }
            assert!(text[..at].parse::<Link>().is_err(), "cut at {at}: {text}");
        }
    }
}

#[test]
fn parts_that_do_not_go_together_are_not_written() {
    let key = PublicKey::from_bytes([9; 32]);
    let fixed = Link::to("a.example:1", key);
    fixed.to_text().unwrap();
    for (link, lacking) in [
        (Link::default(), "a server or a directory"),
        (Link { key: None, ..fixed.clone() }, "the server's key, or a directory"),
        (Link { pin: Some([1; 32]), ..fixed.clone() }, "the directory that the pin is of"),
        (Link { token: Some(Zeroizing::new("t".into())), ..fixed.clone() }, "the directory that takes the token"),
    ] {
        assert_eq!(link.to_text(), Err(Error::Missing(lacking)));
    }
    let x_wing = Link { key: Some(LinkKey::XWing(XWingKeyHash::from_bytes([1; 32]))), ..fixed.clone() };
    assert!(matches!(x_wing.to_text(), Err(Error::Missing(_))));
    for suites in [vec![Suite::X25519Aes256GcmSivEnrollment], vec![Suite::X25519AesGcm128; 2]] {
        assert!(matches!(Link { suites, ..fixed.clone() }.to_text(), Err(Error::Invalid { part: "suites", .. })));
    }
    for server in ["", "a", "a:0", "a.example:1/x", "b\u{fc}cher.example:1", "[fe80::1%eth0]:1", "a?b:1", "a&b:1"] {
        assert!(matches!(Link::to(server, key).to_text(), Err(Error::Invalid { part: "address", .. })), "{server}");
    }
    let long = format!("{}:1", "a".repeat(MAX_LEN));
    assert_eq!(Link::to(long, key).to_text(), Err(Error::TooLong));
}

#[test]
fn debug_shows_no_token() {
    let token = Some(Zeroizing::new("PSSST-TOKEN-1SECRET".to_owned()));
    let link = Link { directory: Some("d.example:443".into()), token, ..Link::default() };
    assert!(link.is_secret() && !format!("{link:?}").contains("secret"));
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,80}", query in "[a-z0-9=&,.:-]{0,60}") {
        // Nothing panics.
        text.parse::<Link>().ok();
        format!("pssst://{query}/?{query}&check=00000000").parse::<Link>().ok();
    }

    #[test]
    fn what_is_written_is_read(
        key: [u8; 32],
        host in "[a-z0-9-]{1,20}(\\.[a-z0-9-]{1,20}){0,3}",
        port in 1_u16..,
        pin: Option<[u8; 32]>,
        suites in prop::sample::subsequence(
            vec![Suite::XWingAes256GcmSiv, Suite::X25519Aes256GcmSiv, Suite::X25519AesGcm128], 0..=3),
    ) {
        let link = Link {
            suites,
            directory: Some(format!("keys.{host}:{port}")),
            pin,
            ..Link::to(format!("{host}:{port}"), PublicKey::from_bytes(key))
        };
        let text = link.to_text().unwrap();
        prop_assert_eq!(text.parse::<Link>(), Ok(link));
    }
}
