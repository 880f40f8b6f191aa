//! Messages between a device and the directory when a key is enrolled (docs/directory.md).
//!
//! The whole exchange is one PSSST transaction inside HTTPS: the body of `POST /v1/enroll` is an
//! authenticated request of suite 0xf0e1, sealed for one of the pool's keys, and the body of a good
//! answer is its reply. The client key is the one that the request proves, so it cannot differ from
//! the proof; the message names its purpose and holds the token, so that no other request can pass
//! as an enrolment, and a proof is valid for one token only.

use jiff::Timestamp;
use pssst::PublicKey;
use pssst_identity::{Identity, Labels, Token};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::json::to_wiped_vec;
use crate::refusal::Refusal;
use crate::{Error, IssuedPsk};

/// The purpose in the message of an enrolment.
pub const PURPOSE: &str = "pssst-enroll-v1";

/// The message of the sealed request:
/// `{"purpose": "pssst-enroll-v1", "token": "PSSST-TOKEN-1...", "name": "..."}`.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "callers make it")]
pub struct EnrollmentRequest {
    /// The one-time token.
    pub token: Token,
    /// The requested name, if the token leaves it to the device.
    pub name: Option<String>,
}

impl EnrollmentRequest {
    /// Length of the longest message that is read, in bytes. (With a name of 128 bytes, each
    /// written as an escape, it is under 1 KiB.)
    pub const MAX_LEN: usize = 2048;

    /// Reads the message of a request that was opened. Whether the name is one is for the store to
    /// say.
    ///
    /// # Errors
    /// [`Error::TooLong`]; [`Error::Syntax`] for anything but a request of this purpose.
    pub fn parse(message: &[u8]) -> Result<Self, Error> {
        const EXPECTED: Error = Error::Syntax("an enrolment in JSON: purpose, token and perhaps name");
        if message.len() > Self::MAX_LEN {
            return Err(Error::TooLong { limit: Self::MAX_LEN });
        }
        // Not the parser's own error, which may quote the token.
        let wire: WireRequest<'_> = serde_json::from_slice(message).map_err(|_| EXPECTED)?;
        if wire.purpose != PURPOSE {
            return Err(EXPECTED);
        }
        Ok(Self { token: wire.token.parse().map_err(|_| EXPECTED)?, name: wire.name })
    }

    /// Returns the message.
    pub fn to_json(&self) -> Zeroizing<Vec<u8>> {
        let token = self.token.expose();
        to_wiped_vec(&WireRequest { purpose: PURPOSE, token: &token, name: self.name.clone() })
    }
}

/// Borrowed, so that no copy of the token is left behind.
#[derive(Serialize, Deserialize)]
struct WireRequest<'a> {
    purpose: &'a str,
    token: &'a str,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
}

/// The message of the sealed reply: the enrolled client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct EnrollmentResponse {
    /// The enrolled key of the device.
    pub key: PublicKey,
    /// The name of the client.
    pub name: String,
    /// Its labels.
    #[serde(default)]
    pub labels: Labels,
    /// When it was enrolled.
    pub created: Timestamp,
    /// Time from which on it is refused, if there is one.
    #[serde(default)]
    pub expires: Option<Timestamp>,
    /// Its pre-shared key, which it must use from now on; `None` in a pool without them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub psk: Option<IssuedPsk>,
}

impl EnrollmentResponse {
    /// Length of the longest message that is read, in bytes.
    pub const MAX_LEN: usize = 64 * 1024;

    /// Reads the message of a reply that was opened.
    ///
    /// # Errors
    /// [`Error::TooLong`], [`Error::Syntax`].
    pub fn parse(message: &[u8]) -> Result<Self, Error> {
        if message.len() > Self::MAX_LEN {
            return Err(Error::TooLong { limit: Self::MAX_LEN });
        }
        serde_json::from_slice(message).map_err(|_| Error::Syntax("an enrolled client in JSON"))
    }

    /// Returns the message.
    pub fn to_json(&self) -> Zeroizing<Vec<u8>> {
        to_wiped_vec(self)
    }
}

impl EnrollmentResponse {
    /// Returns the message about a client that is enrolled.
    pub fn new(identity: Identity) -> Self {
        let Identity { key, name, labels, created, expires, .. } = identity;
        Self { key, name, labels, created, expires, psk: None }
    }

    /// Returns the message with the client's pre-shared key.
    #[must_use]
    pub fn with_psk(self, psk: Option<IssuedPsk>) -> Self {
        Self { psk, ..self }
    }
}

/// The body of an answer that is not 200:
/// `{"error": "token_expired", "message": "the token has expired"}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Problem {
    /// The cause.
    pub error: Refusal,
    /// The cause, for people.
    pub message: String,
}

impl Problem {
    /// Length of the longest problem that is read, in bytes.
    pub const MAX_LEN: usize = 4096;

    /// Returns a problem with this cause.
    pub fn new(error: Refusal, message: impl Into<String>) -> Self {
        Self { error, message: message.into() }
    }

    /// Reads a problem. Its message is cut at 200 characters and cleared of control characters, so
    /// that it can be shown.
    ///
    /// # Errors
    /// [`Error::TooLong`], [`Error::Syntax`].
    pub fn parse(body: &[u8]) -> Result<Self, Error> {
        if body.len() > Self::MAX_LEN {
            return Err(Error::TooLong { limit: Self::MAX_LEN });
        }
        let mut problem: Self = serde_json::from_slice(body).map_err(|_| Error::Syntax("a problem in JSON"))?;
        problem.message = problem.message.chars().filter(|c| !c.is_control()).take(200).collect();
        Ok(problem)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use pssst::SecretKey;
    use serde_json::{Value, json};

    use super::*;

    /// Of the id 01… and the secret 5c….
    const TOKEN: &str = "PSSST-TOKEN-1QYQSZQGPQYQSZHZUT3W9CHZUT3W9CHZUT3W9CHZUT3W9CHZUT3W9CHZUT3W9CHZUV35TZH";

    #[test]
    fn requests_survive_their_text() {
        for name in [None, Some("boiler-7".to_owned()), Some("\u{1}\"".repeat(64))] {
            let request = EnrollmentRequest { token: TOKEN.parse().unwrap(), name };
            let text = request.to_json();
            assert!(text.len() <= EnrollmentRequest::MAX_LEN);
            let read = EnrollmentRequest::parse(&text).unwrap();
            assert_eq!((read.token.expose(), &read.name), (request.token.expose(), &request.name));
            assert!(!format!("{request:?}").contains("HZUT3W"));
        }
        let read = EnrollmentRequest::parse(
            json!({ "purpose": PURPOSE, "token": TOKEN, "name": null, "later": 1 }).to_string().as_bytes(),
        );
        assert_eq!(read.unwrap().name, None);
    }

    #[test]
    fn requests_for_anything_else_are_refused() {
        let good = json!({ "purpose": PURPOSE, "token": TOKEN, "name": "boiler-7" });
        for (field, wrong) in [
            ("purpose", json!("pssst-enroll-v2")),
            ("purpose", json!(null)),
            ("token", json!("PSSST-TOKEN-1")),
            ("token", json!([TOKEN])),
            ("name", json!(7)),
            ("later", json!("x".repeat(EnrollmentRequest::MAX_LEN))),
        ] {
            let mut value = good.clone();
            value[field] = wrong.clone();
            let error = EnrollmentRequest::parse(value.to_string().as_bytes()).unwrap_err();
            assert!(!error.to_string().contains("HZUT3W"), "{error}");
        }
        for field in ["purpose", "token"] {
            let mut value = good.clone();
            value.as_object_mut().unwrap().remove(field);
            assert!(EnrollmentRequest::parse(value.to_string().as_bytes()).is_err(), "{field}");
        }
    }

    #[test]
    fn responses_and_problems_survive_their_text() {
        let response = EnrollmentResponse {
            key: SecretKey::from_bytes([1; 32]).public_key(),
            name: "boiler-7".into(),
            labels: [("site".into(), "north".into())].into(),
            created: "2026-03-01T12:00:00Z".parse().unwrap(),
            expires: None,
            psk: None,
        };
        assert_eq!(EnrollmentResponse::parse(&response.to_json()).unwrap(), response);
        assert!(!String::from_utf8_lossy(&response.to_json()).contains("psk"));
        let psk = IssuedPsk { psk: pssst::PreSharedKey::from_bytes([0x5c; 32]), master: [0x17; 8].into() };
        let with_psk = response.with_psk(Some(psk));
        assert_eq!(EnrollmentResponse::parse(&with_psk.to_json()).unwrap(), with_psk);
        assert!(!format!("{with_psk:?}").contains("5c5c"));
        assert!(EnrollmentResponse::parse(br#"{"key":"00"}"#).is_err());
        assert!(EnrollmentResponse::parse(&vec![b' '; EnrollmentResponse::MAX_LEN + 1]).is_err());

        let problem = Problem::new(Refusal::TokenExpired, "the token has expired");
        let text = serde_json::to_string(&problem).unwrap();
        assert_eq!(text, r#"{"error":"token_expired","message":"the token has expired"}"#);
        assert_eq!(Problem::parse(text.as_bytes()).unwrap(), problem);
    }

    #[test]
    fn problems_of_others_can_be_shown() {
        let text = json!({ "error": "too_cold", "message": "\u{1b}[2J".repeat(100) }).to_string();
        let problem = Problem::parse(text.as_bytes()).unwrap();
        assert_eq!((problem.error, problem.message.len()), (Refusal::Other, 200));
        assert!(!problem.message.contains('\u{1b}'));
        assert!(Problem::parse(b"<html>").is_err());
        assert!(Problem::parse(&vec![b' '; Problem::MAX_LEN + 1]).is_err());
    }

    #[test]
    fn refusals_have_one_name() {
        use Refusal::*;

        for refusal in [
            UnknownToken,
            TokenExpired,
            TokenWithdrawn,
            TokenUsed,
            NameTaken,
            KeyTaken,
            NameMismatch,
            InvalidName,
            InvalidRequest,
            RateLimited,
            Unavailable,
            Other,
        ] {
            assert_eq!(serde_json::to_value(refusal).unwrap(), Value::from(refusal.name()));
            assert_eq!(serde_json::from_value::<Refusal>(refusal.name().into()).unwrap(), refusal);
            assert!((400..600).contains(&refusal.status()));
        }
    }

    proptest! {
        #[test]
        fn no_bytes_disturb_them(bytes in prop::collection::vec(any::<u8>(), 0..200), place in any::<prop::sample::Index>()) {
            let mut text = json!({ "purpose": PURPOSE, "token": TOKEN, "name": "boiler-7" }).to_string().into_bytes();
            let place = place.index(text.len());
            text.splice(place..place, bytes.iter().copied().take(2));
            for bytes in [&bytes[..], &text[..], &text[..place]] {
                drop(EnrollmentRequest::parse(bytes));
                drop(EnrollmentResponse::parse(bytes));
                drop(Problem::parse(bytes));
            }
        }
    }
}
