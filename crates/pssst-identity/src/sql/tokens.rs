//! The table of tokens, and enrolling by one.

use jiff::{SignedDuration, Timestamp};
use pssst::PublicKey;
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use super::identities;
use super::rows::{MAX_PAGE_LEN, column, key, labels, name, optional_time, signed, time, to_json};
use super::write::WriteTransaction;
use crate::identity::{check_labels, check_name, check_proposed_name};
use crate::{
    Action, EnrollError, Error, Identity, NewAuditEntry, NewIdentity, State, Token, TokenGrant, TokenId, TokenInfo,
};

/// How long a used, expired or withdrawn token is kept.
const MEMORY: SignedDuration = SignedDuration::from_hours(90 * 24);
const PLACE: &str = "the tokens";

macro_rules! token_columns {
    () => {
        "id, name, labels, expires, client_expires, created, created_by, used, used_by, withdrawn"
    };
}

pub(super) fn check(grant: &TokenGrant) -> Result<(), Error> {
    grant.name.as_deref().map_or(Ok(()), check_name)?;
    check_labels(&grant.labels)
}

/// The caller has checked the grant.
pub(super) async fn create(write: &mut WriteTransaction<'_>, token: &Token, grant: TokenGrant) -> Result<(), Error> {
    let long_ago = write.now.saturating_sub(MEMORY).unwrap_or(Timestamp::MIN);
    sqlx::query("DELETE FROM pssst_tokens WHERE expires < $1 OR used < $1 OR withdrawn < $1")
        .bind(long_ago.as_millisecond())
        .execute(&mut *write.transaction)
        .await
        .map_err(Error::database)?;
    let sql = "INSERT INTO pssst_tokens (id, hash, name, labels, expires, client_expires, created, created_by) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    sqlx::query(sql)
        .bind(token.id().0.to_vec())
        .bind(token.hash().to_vec())
        .bind(grant.name.clone())
        .bind(to_json(&grant.labels))
        .bind(grant.expires.as_millisecond())
        .bind(grant.client_expires.map(Timestamp::as_millisecond))
        .bind(write.now.as_millisecond())
        .bind(write.actor().to_owned())
        .execute(&mut *write.transaction)
        .await
        .map_err(Error::database)?;
    let detail = match grant.name {
        Some(name) => format!("token {} for {name}", token.id()),
        None => format!("token {}", token.id()),
    };
    write.record(&[NewAuditEntry { action: Action::TokenCreated, client_key: None, detail }]).await
}

pub(super) async fn list(
    connection: &mut AnyConnection,
    open_only: bool,
    limit: usize,
    now: Timestamp,
) -> Result<Vec<TokenInfo>, Error> {
    let sql = concat!(
        "SELECT ",
        token_columns!(),
        " FROM pssst_tokens WHERE $1 = 0 OR (used IS NULL AND withdrawn IS NULL AND expires > $2) \
         ORDER BY created DESC, id LIMIT $3"
    );
    let rows = sqlx::query(sql)
        .bind(i64::from(open_only))
        .bind(now.as_millisecond())
        .bind(signed(limit.clamp(1, MAX_PAGE_LEN)))
        .fetch_all(connection)
        .await
        .map_err(Error::database)?;
    rows.iter().map(info).collect()
}

pub(super) async fn withdraw(write: &mut WriteTransaction<'_>, id: TokenId) -> Result<bool, Error> {
    let sql =
        "UPDATE pssst_tokens SET withdrawn = $2 WHERE id = $1 AND used IS NULL AND withdrawn IS NULL AND expires > $2";
    let withdrawn = sqlx::query(sql)
        .bind(id.0.to_vec())
        .bind(write.now.as_millisecond())
        .execute(&mut *write.transaction)
        .await
        .map_err(Error::database)?
        .rows_affected();
    if withdrawn == 0 {
        return Ok(false);
    }
    write
        .record(&[NewAuditEntry { action: Action::TokenWithdrawn, client_key: None, detail: format!("token {id}") }])
        .await?;
    Ok(true)
}

pub(super) enum Examined {
    /// It can be used for this.
    Good(TokenGrant),
    /// It was used for this key before: the enrolled client.
    Repeated(Box<Identity>),
}

/// Returns whether a token is valid for a key.
pub(super) async fn examine(
    connection: &mut AnyConnection,
    token: &Token,
    key: &PublicKey,
    now: Timestamp,
) -> Result<Examined, EnrollError> {
    let sql = concat!("SELECT ", token_columns!(), ", hash FROM pssst_tokens WHERE id = $1");
    let row =
        sqlx::query(sql).bind(token.id().0.to_vec()).fetch_optional(&mut *connection).await.map_err(Error::database)?;
    let row = row.ok_or(EnrollError::UnknownToken)?;
    if !token.matches(column(&row, 10, PLACE)?) {
        return Err(EnrollError::UnknownToken);
    }
    let info = info(&row)?;
    if let Some((_, user)) = info.used {
        let identity = if user == *key { identities::get(connection, key).await? } else { None };
        return match identity {
            Some(identity) if identity.state == State::Enrolled => Ok(Examined::Repeated(Box::new(identity))),
            _ => Err(EnrollError::TokenUsed),
        };
    }
    if info.withdrawn.is_some() {
        return Err(EnrollError::TokenWithdrawn);
    }
    if now >= info.grant.expires {
        return Err(EnrollError::TokenExpired);
    }
    Ok(Examined::Good(info.grant))
}

pub(super) async fn enroll(
    write: &mut WriteTransaction<'_>,
    token: &Token,
    key: &PublicKey,
    proposed_name: Option<&str>,
    requires_psk: bool,
) -> Result<Identity, EnrollError> {
    let now = write.now;
    let grant = match examine(&mut write.transaction, token, key, now).await? {
        Examined::Good(grant) => grant,
        Examined::Repeated(identity) => return Ok(*identity),
    };
    let name = match (grant.name, proposed_name) {
        (Some(granted), Some(proposed)) if granted != proposed => return Err(EnrollError::NameMismatch),
        (Some(granted), _) => granted,
        (None, Some(proposed)) => {
            check_proposed_name(proposed)?;
            proposed.to_owned()
        }
        (None, None) => return Err(EnrollError::NameMismatch),
    };
    let new = NewIdentity::new(*key, name)?.with_labels(grant.labels)?.with_expiry(grant.client_expires);
    let identity = new.with_requires_psk(requires_psk).into_identity(now);
    write.reserve(1).await?;
    identities::insert(write, std::slice::from_ref(&identity)).await?;
    sqlx::query("UPDATE pssst_tokens SET used = $2, used_by = $3 WHERE id = $1")
        .bind(token.id().0.to_vec())
        .bind(now.as_millisecond())
        .bind(key.as_bytes().to_vec())
        .execute(&mut *write.transaction)
        .await
        .map_err(Error::database)?;
    let duty = if requires_psk { ", with a pre-shared key" } else { "" };
    let detail = format!("{} by token {}{duty}", identity.name, token.id());
    write.record(&[NewAuditEntry { action: Action::Enrolled, client_key: Some(*key), detail }]).await?;
    Ok(identity)
}

/// From [`token_columns`].
fn info(row: &AnyRow) -> Result<TokenInfo, Error> {
    let id: &[u8] = column(row, 0, PLACE)?;
    let used = match (column(row, 7, PLACE)?, column::<Option<&[u8]>>(row, 8, PLACE)?) {
        (Some(at), Some(user)) => Some((time(at, PLACE)?, key(user, PLACE)?)),
        (None, None) => None,
        _ => return Err(Error::Corrupt(PLACE)),
    };
    Ok(TokenInfo {
        id: TokenId(id.try_into().map_err(|_| Error::Corrupt(PLACE))?),
        grant: TokenGrant {
            name: column::<Option<&str>>(row, 1, PLACE)?.map(|granted| name(granted, PLACE)).transpose()?,
            labels: labels(column(row, 2, PLACE)?, PLACE)?,
            expires: time(column(row, 3, PLACE)?, PLACE)?,
            client_expires: optional_time(column(row, 4, PLACE)?, PLACE)?,
        },
        created: time(column(row, 5, PLACE)?, PLACE)?,
        created_by: column(row, 6, PLACE)?,
        used,
        withdrawn: optional_time(column(row, 9, PLACE)?, PLACE)?,
    })
}
