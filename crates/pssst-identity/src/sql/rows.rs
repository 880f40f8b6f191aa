//! Rows of the tables, validated as they are read.

use jiff::Timestamp;
use pssst::PublicKey;
use sqlx::any::AnyRow;
use sqlx::{Any, Decode, Row, Type};

use crate::identity::{check_labels, check_name};
use crate::{Change, ClientStatus, Error, Identity, Labels, Revision};

/// Rows of a page at most, of tokens and of the audit log.
pub(super) const MAX_PAGE_LEN: usize = 1000;

/// The columns that [`identity`] reads.
macro_rules! identity_columns {
    () => {
        "key, name, labels, state, created, changed, expires, requires_psk"
    };
}
pub(super) use identity_columns;

pub(super) fn identity(row: &AnyRow) -> Result<Identity, Error> {
    const PLACE: &str = "the identities";
    Ok(Identity {
        key: key(column(row, 0, PLACE)?, PLACE)?,
        name: name(column(row, 1, PLACE)?, PLACE)?,
        labels: labels(column(row, 2, PLACE)?, PLACE)?,
        state: column::<&str>(row, 3, PLACE)?.parse().map_err(|_| Error::Corrupt(PLACE))?,
        created: time(column(row, 4, PLACE)?, PLACE)?,
        changed: time(column(row, 5, PLACE)?, PLACE)?,
        expires: optional_time(column(row, 6, PLACE)?, PLACE)?,
        requires_psk: flag(column(row, 7, PLACE)?, PLACE)?,
    })
}

/// From the columns revision, key, name, state, expires and `requires_psk`, from the second on;
/// `None` for a row without any of them.
pub(super) fn change(row: &AnyRow) -> Result<Option<Change>, Error> {
    const PLACE: &str = "the feed of changes";
    let Some(revision) = column::<Option<i64>>(row, 2, PLACE)? else { return Ok(None) };
    let status = match column::<Option<&str>>(row, 4, PLACE)? {
        None => None,
        Some(client_name) => Some(ClientStatus {
            name: name(client_name, PLACE)?,
            state: column::<&str>(row, 5, PLACE)?.parse().map_err(|_| Error::Corrupt(PLACE))?,
            expires: optional_time(column(row, 6, PLACE)?, PLACE)?,
            requires_psk: flag(column(row, 7, PLACE)?, PLACE)?,
        }),
    };
    Ok(Some(Change {
        revision: Revision(unsigned(revision, PLACE)?),
        key: key(column(row, 3, PLACE)?, PLACE)?,
        status,
    }))
}

pub(super) fn column<'r, T>(row: &'r AnyRow, index: usize, place: &'static str) -> Result<T, Error>
where
    T: Decode<'r, Any> + Type<Any>,
{
    row.try_get(index).map_err(|_| Error::Corrupt(place))
}

/// Returns the bytes of a key. What it is was checked when it was enrolled, and would take the time
/// of an X25519 each.
pub(super) fn key(bytes: &[u8], place: &'static str) -> Result<PublicKey, Error> {
    bytes.try_into().map(PublicKey::from_bytes).map_err(|_| Error::Corrupt(place))
}

pub(super) fn name(name: &str, place: &'static str) -> Result<String, Error> {
    check_name(name).map_err(|_| Error::Corrupt(place))?;
    Ok(name.to_owned())
}

pub(super) fn labels(json: &str, place: &'static str) -> Result<Labels, Error> {
    let labels = serde_json::from_str(json).map_err(|_| Error::Corrupt(place))?;
    check_labels(&labels).map_err(|_| Error::Corrupt(place))?;
    Ok(labels)
}

pub(super) fn to_json(labels: &Labels) -> String {
    let pairs = labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    pairs.collect::<serde_json::Value>().to_string()
}

pub(super) fn time(milliseconds: i64, place: &'static str) -> Result<Timestamp, Error> {
    Timestamp::from_millisecond(milliseconds).map_err(|_| Error::Corrupt(place))
}

pub(super) fn optional_time(milliseconds: Option<i64>, place: &'static str) -> Result<Option<Timestamp>, Error> {
    milliseconds.map(|milliseconds| time(milliseconds, place)).transpose()
}

pub(super) fn flag(number: i64, place: &'static str) -> Result<bool, Error> {
    match number {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Error::Corrupt(place)),
    }
}

pub(super) fn unsigned(number: i64, place: &'static str) -> Result<u64, Error> {
    u64::try_from(number).map_err(|_| Error::Corrupt(place))
}

/// Larger ones than the database can count are as good as the largest.
pub(super) fn signed(number: impl TryInto<i64>) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}

/// `($1, $2), ($3, $4)` and so on.
pub(super) fn placeholders(rows: usize, columns: usize) -> String {
    let mut text = String::with_capacity(rows * columns * 7);
    for row in 0..rows {
        for column in 0..columns {
            text.push_str(match (row, column) {
                (0, 0) => "($",
                (_, 0) => "), ($",
                _ => ", $",
            });
            text.push_str(&(row * columns + column + 1).to_string());
        }
    }
    text.push(')');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_numbered_by_row() {
        assert_eq!(placeholders(1, 1), "($1)");
        assert_eq!(placeholders(2, 3), "($1, $2, $3), ($4, $5, $6)");
    }

    #[test]
    fn labels_survive_json() {
        let given = Labels::from([("site".into(), "north \"2\"\\".into()), ("é".into(), String::new())]);
        assert_eq!(labels(&to_json(&given), "here").expect("labels"), given);
        for bad in ["", "[]", "{\"a\":1}", "{\"a=b\":\"c\"}", "{\"\":\"c\"}"] {
            assert!(matches!(labels(bad, "here"), Err(Error::Corrupt("here"))), "{bad}");
        }
    }
}
