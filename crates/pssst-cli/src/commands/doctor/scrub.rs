//! Texts without secrets, for what leaves this machine.

use crate::args::key_kind::is_secret;

const HIDDEN: &str = "***";
/// Parameters of addresses whose values are not secret.
const PUBLIC_PARAMETERS: [&str; 14] = [
    "application_name",
    "check",
    "connect_timeout",
    "dbname",
    "dir",
    "host",
    "hostaddr",
    "key",
    "pin",
    "port",
    "sslmode",
    "sslrootcert",
    "suites",
    "user",
];
/// Beside those of keys.
const SECRET_PREFIXES: [&str; 2] = ["pssst-token-", "pssst-operator-"];
/// The shortest secret in hexadecimal digits.
const MIN_DIGITS: usize = 64;

/// Hides keys, tokens, passwords and parameters, wherever they stand in a text. It hides digits
/// that may be public, too: that costs less than a secret.
pub(super) fn scrub(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(|c| !is_separator(c)) {
        let (before, from) = rest.split_at(start);
        let end = from.find(is_separator).unwrap_or(from.len());
        let (item, after) = from.split_at(end);
        clean.push_str(before);
        clean.push_str(&scrub_item(item));
        rest = after;
    }
    clean.push_str(rest);
    clean
}

/// Between addresses, names and values.
fn is_separator(c: char) -> bool {
    c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '<' | '>' | '(' | ')' | '{' | '}' | ',' | ';')
}

fn scrub_item(item: &str) -> String {
    let Some((scheme, rest)) = item.split_once("://") else { return scrub_parameter(item, true) };
    // A password may have any of these characters: what stands before the last @ is the user.
    let (user, rest) = rest.rsplit_once('@').map_or((None, rest), |(user, rest)| (Some(user), rest));
    let user = user.map(|user| match user.split_once(':') {
        Some((name, _)) => format!("{name}:{HIDDEN}@"),
        None if user.contains('/') => format!("{HIDDEN}@"),
        None => format!("{user}@"),
    });
    let (address, query) = rest.split_at(rest.find('?').unwrap_or(rest.len()));
    let is_http = matches!(scheme.rsplit(['=', '[']).next(), Some("http" | "https"));
    let (host, path) = address.split_at(address.find('/').unwrap_or(address.len()));
    // Paths of web hooks are secrets; those of our own services are not.
    let is_own = ["", "/", "/metrics", "/livez", "/readyz"].contains(&path.trim_end_matches(['.', ':']));
    let path = if is_http && !is_own { "/***".into() } else { scrub_words(path) };
    let query: String = query.split_inclusive(['?', '&', '#']).map(|part| scrub_parameter(part, false)).collect();
    format!("{scheme}://{}{}{path}{query}", user.unwrap_or_default(), scrub_words(host))
}

/// Hides the value of `NAME=VALUE`: if the name says that it is secret, or unless it says that it
/// is not.
fn scrub_parameter(part: &str, is_free: bool) -> String {
    let Some((name, value)) = part.split_once('=').filter(|(_, value)| !value.is_empty()) else {
        return scrub_words(part);
    };
    let lower = name.to_lowercase();
    let is_named = ["password", "secret", "token", "authorization"].iter().any(|word| lower.contains(word));
    if is_named || !is_free && !PUBLIC_PARAMETERS.contains(&lower.as_str()) {
        let end = if value.ends_with(['?', '&', '#']) { &value[value.len() - 1..] } else { "" };
        return format!("{name}={HIDDEN}{end}");
    }
    format!("{name}={}", scrub_words(value))
}

/// Hides words that are secrets by what they look like.
fn scrub_words(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for part in text.split_inclusive(|c: char| !is_of_key(c)) {
        let word = part.trim_end_matches(|c| !is_of_key(c));
        let is_pin = clean.ends_with("sha256:");
        let has_digits =
            word.split('-').any(|word| word.len() >= MIN_DIGITS && word.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let lower = word.to_ascii_lowercase();
        let is_token = SECRET_PREFIXES.iter().any(|prefix| lower.starts_with(prefix));
        let hides = is_secret(word) || is_token || has_digits && !is_pin;
        clean.push_str(if hides { HIDDEN } else { word });
        clean.push_str(&part[word.len()..]);
    }
    clean
}

fn is_of_key(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_hidden_wherever_they_stand() {
        let key = pssst::SecretKey::from_bytes([7; 32]);
        let (bech32, hex) = (key.expose_bech32(), key.expose_hex());
        for (text, clean) in [
            (format!("key = \"{}\"", *bech32), "key = \"***\"".to_owned()),
            (format!("({})", *bech32), "(***)".into()),
            (format!("listen: \"{}\" is refused", *hex), "listen: \"***\" is refused".into()),
            (format!("{}.", *hex), "***.".into()),
            ("a pssst-token-0123456789 b".into(), "a *** b".into()),
            ("pssst-operator-0123456789".into(), "***".into()),
            ("clients = \"postgres://u:s3cret@host/db\"".into(), "clients = \"postgres://u:***@host/db\"".into()),
            (
                "postgres://u:p@s/s@host/db?password=x&sslmode=require".into(),
                "postgres://u:***@host/db?password=***&sslmode=require".into(),
            ),
            ("host=h password=x".into(), "host=h password=***".into()),
            ("http://10.0.0.1:80/hooks/T0K?a=b".into(), "http://10.0.0.1:80/***?a=***".into()),
            ("pssst://pool:1/?key=k&token=t&check=00".into(), "pssst://pool:1/?key=k&token=***&check=00".into()),
            ("PSSST_STORE_PASSWORD=x".into(), "PSSST_STORE_PASSWORD=***".into()),
        ] {
            assert_eq!(scrub(&text), clean);
        }
    }

    #[test]
    fn the_rest_stays() {
        let public = pssst::SecretKey::from_bytes([7; 32]).public_key().to_string();
        let pin = format!("sha256:{}", "0f".repeat(32));
        for text in [
            "pssst_server_requests_total{auth=\"anonymous\"} 12\n# EOF\n",
            "metrics at http://127.0.0.1:9100/metrics",
            "postgres://pssst@localhost:5432/pssst?sslmode=verify-full",
            "clients = \"sqlite:clients.db\"\nlisten = [\"127.0.0.1:1\", \"[::1]:2\"]",
            &public,
            &pin,
        ] {
            assert_eq!(scrub(text), text);
        }
    }
}
