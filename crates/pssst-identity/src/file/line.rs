//! A line of the file: `KEY NAME OPTION...`.

use std::collections::btree_map::Entry;
use std::mem;

use jiff::Timestamp;
use pssst::PublicKey;

use crate::identity::{check_labels, check_name, to_milliseconds};
use crate::{Error, Identity, Labels, State};

const SPACES: [char; 2] = [' ', '\t'];
const KEY: Error = Error::Syntax("a key of 64 hexadecimal digits");
const NAME: Error = Error::Syntax("a name after the key");
const OPTION: Error =
    Error::Syntax("state=, psk=required, created=, changed=, expires= or label:NAME=, each once, and a value");
const PSK_REQUIRED: &str = "required";
const TIME: Error = Error::Syntax("a time like 2026-02-03T04:05:06Z");
const QUOTATION: Error =
    Error::Syntax(r#"a closing quotation mark, a space after it, and only \" and \\ with a backslash"#);

/// Contents of a line. Whether the key may be enrolled at all is not checked here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) key: PublicKey,
    pub(super) name: String,
    pub(super) labels: Labels,
    pub(super) state: State,
    pub(super) created: Option<Timestamp>,
    pub(super) changed: Option<Timestamp>,
    pub(super) expires: Option<Timestamp>,
    pub(super) requires_psk: bool,
}

/// `None` for a blank line and a comment.
pub(super) fn parse(text: &str) -> Result<Option<Line>, Error> {
    let text = text.trim_end_matches(['\r', '\n']).trim_matches(SPACES);
    if text.is_empty() || text.starts_with('#') {
        return Ok(None);
    }
    let (key, rest) = word(text);
    let (name, mut rest) = word(rest);
    let key = key.parse().map_err(|_| KEY)?;
    if name.is_empty() {
        return Err(NAME);
    }
    check_name(name)?;
    let (mut state, mut requires_psk, mut times, mut labels) = (None, false, [None; 3], Labels::new());
    while !rest.is_empty() {
        let (option, value, others) = option(rest)?;
        rest = others;
        let is_repeated = match option {
            "state" => state.replace(value.parse()?).is_some(),
            "psk" if value == PSK_REQUIRED => mem::replace(&mut requires_psk, true),
            "created" => times[0].replace(time(&value)?).is_some(),
            "changed" => times[1].replace(time(&value)?).is_some(),
            "expires" => times[2].replace(time(&value)?).is_some(),
            _ => match labels.entry(option.strip_prefix("label:").ok_or(OPTION)?.to_owned()) {
                Entry::Occupied(_) => true,
                Entry::Vacant(entry) => {
                    entry.insert(value);
                    false
                }
            },
        };
        if is_repeated {
            return Err(OPTION);
        }
    }
    check_labels(&labels)?;
    let [created, changed, expires] = times;
    Ok(Some(Line {
        key,
        name: name.to_owned(),
        labels,
        state: state.unwrap_or(State::Enrolled),
        created,
        changed,
        expires,
        requires_psk,
    }))
}

/// Returns the key of a line that has been parsed before.
pub(super) fn key_of(text: &str) -> Option<PublicKey> {
    word(text.trim_matches(SPACES)).0.parse().ok()
}

/// With the end of the line.
pub(super) fn print(identity: &Identity) -> String {
    let mut text = format!("{} {}", identity.key, identity.name);
    if identity.state != State::Enrolled {
        option_to(&mut text, "state", identity.state.name());
    }
    if identity.requires_psk {
        option_to(&mut text, "psk", PSK_REQUIRED);
    }
    option_to(&mut text, "created", &identity.created.to_string());
    option_to(&mut text, "changed", &identity.changed.to_string());
    if let Some(expires) = identity.expires {
        option_to(&mut text, "expires", &expires.to_string());
    }
    for (name, value) in &identity.labels {
        option_to(&mut text, &format!("label:{name}"), value);
    }
    text.push('\n');
    text
}

/// Returns the first word, and what comes after the spaces behind it.
fn word(text: &str) -> (&str, &str) {
    let (word, rest) = text.split_once(SPACES).unwrap_or((text, ""));
    (word, rest.trim_start_matches(SPACES))
}

/// Returns the first option's name and value, and what comes after the spaces behind it.
fn option(text: &str) -> Result<(&str, String, &str), Error> {
    let (name, rest) = text.split_once('=').ok_or(OPTION)?;
    if name.contains(SPACES) {
        return Err(OPTION);
    }
    let Some(quoted) = rest.strip_prefix('"') else {
        let (value, rest) = word(rest);
        return Ok((name, value.to_owned(), rest));
    };
    let (mut value, mut chars) = (String::new(), quoted.chars());
    loop {
        match chars.next().ok_or(QUOTATION)? {
            '"' => break,
            '\\' => match chars.next() {
                Some(escaped @ ('"' | '\\')) => value.push(escaped),
                _ => return Err(QUOTATION),
            },
            c => value.push(c),
        }
    }
    let rest = chars.as_str();
    if rest.is_empty() || rest.starts_with(SPACES) {
        Ok((name, value, rest.trim_start_matches(SPACES)))
    } else {
        Err(QUOTATION)
    }
}

fn option_to(text: &mut String, name: &str, value: &str) {
    let needs_quotation = value.is_empty() || value.starts_with('"') || value.contains(char::is_whitespace);
    let quoted = || format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""));
    let value = if needs_quotation { quoted() } else { value.to_owned() };
    text.extend([" ", name, "=", &value]);
}

fn time(text: &str) -> Result<Timestamp, Error> {
    text.parse().map(to_milliseconds).map_err(|_| TIME)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::identity::is_label_value;

    const HEX: &str = "dd2991b0a65a9962ffaae24516308f514901b6b186b6ac6ffa48cdea5d55c317";

    #[test]
    fn a_key_and_a_name_are_enough() {
        let line = parse(&format!("\t {HEX}   boiler-7 \r\n")).expect("a line").expect("an identity");
        assert_eq!((line.name.as_str(), line.state, line.labels.len()), ("boiler-7", State::Enrolled, 0));
        assert_eq!((line.created, line.changed, line.expires), (None, None, None));
        assert!(!line.requires_psk);
        for text in ["", " \t", "#", "  # key name", "\n", "\r\n"] {
            assert_eq!(parse(text).expect("nothing"), None, "{text:?}");
        }
    }

    #[test]
    fn options_are_read_in_any_order() {
        let options = r#"label:a=b=c  label:q="say \"a\" \\ #" expires=2026-02-03T04:05:06.7890123+01:00 psk=required state=revoked label:e="""#;
        let line = parse(&format!("{HEX} \"#= {options}")).expect("a line").expect("an identity");
        assert_eq!((line.name.as_str(), line.state, line.requires_psk), ("\"#=", State::Revoked, true));
        let labels = [("a", "b=c"), ("q", r#"say "a" \ #"#), ("e", "")];
        assert_eq!(line.labels, labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
        assert_eq!(line.expires.map(|time| time.to_string()).as_deref(), Some("2026-02-03T03:05:06.789Z"));
    }

    #[test]
    fn anything_else_is_refused() {
        let bad_options = [
            "x",
            "x=1",
            "label:=v",
            "labels:a=b",
            "state=gone",
            "state",
            "state=",
            "state=revoked state=revoked",
            "psk=",
            "psk=optional",
            "psk=required psk=required",
            "expires=soon",
            "expires=2026-02-03",
            "label:a=b label:a=c",
            "label:a=b c",
            "# comment",
            "label:a=\"b",
            "label:a=\"b\"c",
            "label:a=\"\\n\"",
            "label:a=\"\\",
            "State=revoked",
            "=",
            "label:a =b",
        ];
        for options in bad_options {
            parse(&format!("{HEX} name {options}")).expect_err(options);
        }
        for line in [HEX, "name", &format!("name {HEX}"), &format!("{HEX}00 name"), &format!("{HEX} a\u{a0}b")] {
            parse(line).expect_err(line);
        }
    }

    fn any_identity() -> impl Strategy<Value = Identity> {
        let name = || "[^\\s\\p{Cc}=]{1,20}".prop_filter("a name", |name| check_name(name).is_ok());
        let value = "[^\\p{Cc}]{0,40}".prop_filter("a value", |value| is_label_value(value));
        let time = || {
            (-3_000_000_000_000_i64..200_000_000_000_000)
                .prop_map(|ms| Timestamp::from_millisecond(ms).expect("a time"))
        };
        let labels = prop::collection::btree_map(name(), value, 0..5);
        let key = any::<[u8; 32]>().prop_map(PublicKey::from_bytes);
        let state = prop::sample::select(&State::ALL[..]);
        (key, name(), labels, state, time(), time(), prop::option::of(time()), any::<bool>()).prop_map(
            |(key, name, labels, state, created, changed, expires, requires_psk)| Identity {
                key,
                name,
                labels,
                state,
                created,
                changed,
                expires,
                requires_psk,
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_again(identity in any_identity()) {
            let text = print(&identity);
            prop_assert_eq!(text.find('\n'), Some(text.len() - 1));
            prop_assert_eq!(key_of(&text), Some(identity.key));
            let line = parse(&text).expect("a line").expect("an identity");
            let Identity { key, name, labels, state, created, changed, expires, requires_psk } = identity;
            let (created, changed) = (Some(created), Some(changed));
            prop_assert_eq!(line, Line { key, name, labels, state, created, changed, expires, requires_psk });
        }

        #[test]
        fn no_text_is_too_odd(text in ".*", options in "[ =\"\\\\a-z:#]*") {
            let _result = parse(&text);
            let _result = parse(&format!("{HEX} name {text}"));
            let _result = parse(&format!("{HEX} name label:{options}"));
        }
    }
}
