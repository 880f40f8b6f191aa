//! Filters of the audit log, of the page and of the API.

use jiff::{SignedDuration, Timestamp};
use pssst::PublicKey;
use pssst_identity::{Action, AuditQuery, IdentityStore};
use serde::Deserialize;

use super::access::Operator;
use super::failure::Failure;
use super::words;

/// Entries that are wanted. An empty text is none.
#[derive(Debug, Default, Deserialize)]
pub(super) struct AuditFilter {
    /// The actor's name, all of it.
    #[serde(default)]
    pub(super) actor: String,
    /// Name of an action.
    #[serde(default)]
    pub(super) action: String,
    /// Name or key.
    #[serde(default)]
    pub(super) client: String,
    /// A day, or a time.
    #[serde(default)]
    pub(super) since: String,
    /// The last day, or the time before which entries are wanted.
    #[serde(default)]
    pub(super) until: String,
}

impl AuditFilter {
    pub(super) fn fields(&self) -> [(&'static str, &str); 5] {
        let Self { actor, action, client, since, until } = self;
        [("actor", actor), ("action", action), ("client", client), ("since", since), ("until", until)]
    }

    /// Returns the query for a page of them.
    pub(super) async fn query(
        &self,
        operator: &Operator,
        before: Option<u64>,
        limit: usize,
    ) -> Result<AuditQuery, Failure> {
        let [actor, action, client, since, until] =
            self.fields().map(|(_, text)| Some(text.trim()).filter(|text| !text.is_empty()));
        let action = action.map(parse_action).transpose()?;
        let client_key = match client {
            Some(client) => Some(client_key(operator, client).await?),
            None => None,
        };
        let since = since.map(|text| time(text, false)).transpose()?;
        let until = until.map(|text| time(text, true)).transpose()?;
        Ok(AuditQuery { before, limit, actor: actor.map(str::to_owned), action, client_key, since, until })
    }
}

fn parse_action(name: &str) -> Result<Action, Failure> {
    let action = Action::ALL.into_iter().find(|action| action.name() == name);
    action.ok_or_else(|| Failure::invalid(format!("{name:?} is not an action of the audit log")))
}

/// A key need not be enrolled any more.
async fn client_key(operator: &Operator, client: &str) -> Result<PublicKey, Failure> {
    if let Ok(key) = client.parse() {
        return Ok(key);
    }
    let found = operator.store.find_by_name(client).await?;
    found.map(|identity| identity.key).ok_or_else(|| {
        Failure::invalid(format!("no client has the name {client:?} now; a removed one is found by its key"))
    })
}

/// Of a day its beginning, or its end.
fn time(text: &str, is_end: bool) -> Result<Timestamp, Failure> {
    const DAY: SignedDuration = SignedDuration::from_hours(24);
    if let Ok(time) = text.parse() {
        return Ok(time);
    }
    let time = words::parse_time(text).filter(|_| !text.contains('T'));
    let time = time.and_then(|time| if is_end { time.checked_add(DAY).ok() } else { Some(time) });
    time.ok_or_else(|| Failure::invalid(format!("{text:?} is not a day, 2030-12-31, or a time, 2030-12-31T18:00:00Z")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_all_of_it() {
        for (text, since, until) in [
            ("2030-12-31", "2030-12-31T00:00:00Z", "2031-01-01T00:00:00Z"),
            ("2030-12-31T18:00:00Z", "2030-12-31T18:00:00Z", "2030-12-31T18:00:00Z"),
            ("2030-12-31T18:00:00+02:00", "2030-12-31T16:00:00Z", "2030-12-31T16:00:00Z"),
        ] {
            assert_eq!(time(text, false).unwrap().to_string(), since);
            assert_eq!(time(text, true).unwrap().to_string(), until);
        }
        // Of a time without a zone, nobody says which one it is in.
        for bad in ["2030-12-31T18:00", "yesterday", "9999-12-31x"] {
            assert!(time(bad, true).is_err(), "{bad}");
        }
    }
}
