//! The audit log. The store refuses to change its entries, and deletes only those that were
//! exported.

use std::io::BufRead;

use jiff::Timestamp;
use pssst::PublicKey;
use pssst_support::named_enum;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::{Error, Identity};

named_enum! {
    /// The action.
    #[non_exhaustive]
    pub enum Action {
        /// A client was added by an operator.
        Added => "added",
        /// A device enrolled by a token.
        Enrolled => "enrolled",
        /// A device was refused.
        EnrollmentRefused => "enrollment_refused",
        /// Clients asked for new secrets at the directory, and were refused.
        RenewalRefused => "renewal_refused",
        /// A client was suspended.
        Suspended => "suspended",
        /// A suspended client was enrolled again.
        Resumed => "resumed",
        /// A client was revoked.
        Revoked => "revoked",
        /// A client's name, labels or expiry were changed.
        Changed => "changed",
        /// A client must use its pre-shared key from now on.
        PskRequired => "psk_required",
        /// A client need not use its pre-shared key any more.
        PskOptional => "psk_optional",
        /// A client got a pre-shared key: another one by renewal, or one from an operator.
        PskIssued => "psk_issued",
        /// A client was removed.
        Removed => "removed",
        /// A token was made.
        TokenCreated => "token_created",
        /// A token was taken back.
        TokenWithdrawn => "token_withdrawn",
        /// A rotation of the server's keys was started.
        RotationStarted => "rotation_started",
        /// Old entries of the audit log were exported and deleted.
        Archived => "archived",
        /// A request to the admin API had a wrong credential.
        OperatorRefused => "operator_refused",
    }
}

/// A new entry. The store adds the actor and the time.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "callers make it")]
pub struct NewAuditEntry {
    /// The action.
    pub action: Action,
    /// The affected client.
    pub client_key: Option<PublicKey>,
    /// Details: the client's name, the token's id, the cause of a refusal. Up to 512 bytes are
    /// kept, never a secret.
    pub detail: String,
}

impl NewAuditEntry {
    /// Returns the entry about a pre-shared key that a client gets, under the master of this name.
    pub fn psk_issued(client: &Identity, master: &str) -> Self {
        let detail = format!("{}, master {master}", client.name);
        Self { action: Action::PskIssued, client_key: Some(client.key), detail }
    }
}

/// An entry of the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuditEntry {
    /// Entries are numbered; later ones have larger numbers.
    pub number: u64,
    /// When.
    pub at: Timestamp,
    /// The actor: an operator's name, `device` for a device that enrols, or the program's own.
    pub actor: String,
    /// What.
    pub entry: NewAuditEntry,
}

/// A query for entries of the audit log: those that fit every field, newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "callers make it")]
pub struct AuditQuery {
    /// Only entries before this number.
    pub before: Option<u64>,
    /// Most entries, clamped to 1 to 1,000.
    pub limit: usize,
    /// Only entries of this actor.
    pub actor: Option<String>,
    /// Only this action.
    pub action: Option<Action>,
    /// Only entries about the client with this key.
    pub client_key: Option<PublicKey>,
    /// Only entries of this time and later.
    pub since: Option<Timestamp>,
    /// Only entries before this time.
    pub until: Option<Timestamp>,
}

impl Default for AuditQuery {
    fn default() -> Self {
        Self { before: None, limit: 100, actor: None, action: None, client_key: None, since: None, until: None }
    }
}

/// Length of a line of an archive at most, in bytes: far more than an entry takes.
const MAX_LINE_LEN: u64 = 64 * 1024;

impl AuditEntry {
    /// Returns the entry as a line of JSON, as archives have it. It ends with a newline.
    #[must_use]
    pub fn to_line(&self) -> String {
        #[derive(Serialize)]
        struct Line<'a> {
            number: u64,
            at: Timestamp,
            actor: &'a str,
            action: &'static str,
            client_key: Option<PublicKey>,
            detail: &'a str,
        }
        let Self { number, at, actor, entry: NewAuditEntry { action, client_key, detail } } = self;
        let (number, at, action, client_key) = (*number, *at, action.name(), *client_key);
        // Text, numbers and times are always JSON.
        let line = serde_json::to_string(&Line { number, at, actor, action, client_key, detail });
        line.unwrap_or_default() + "\n"
    }
}

/// A part of the audit log that was exported, and may be deleted from the store. Its hash covers
/// the archive before: no archive can be changed or left out without notice.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuditArchive {
    /// Number of its first entry.
    pub first: u64,
    /// Number of its last entry.
    pub last: u64,
    /// How many entries it has.
    pub entries: u64,
    /// SHA-256 of the hash of the archive before (32 zero bytes for the first) and the lines.
    pub hash: [u8; 32],
}

/// Computes what an archive of these lines is.
pub(crate) struct ArchiveBuilder {
    archive: Option<AuditArchive>,
    hash: Sha256,
}

impl ArchiveBuilder {
    pub(crate) fn after(previous: Option<&AuditArchive>) -> Self {
        let hash = Sha256::new_with_prefix(previous.map_or([0; 32], |previous| previous.hash));
        Self { archive: None, hash }
    }

    pub(crate) fn add(&mut self, number: u64, line: &str) {
        self.hash.update(line);
        let first = AuditArchive { first: number, last: number, entries: 0, hash: [0; 32] };
        let archive = self.archive.get_or_insert(first);
        archive.last = number;
        archive.entries += 1;
    }

    /// `None` without any line.
    pub(crate) fn finish(self) -> Option<AuditArchive> {
        let hash = self.hash.finalize().into();
        self.archive.map(|archive| AuditArchive { hash, ..archive })
    }
}

impl AuditArchive {
    /// Reads an exported file that follows this archive, the first of all if it is `None`, and
    /// returns what the store should know about it. `None`: there is no line.
    ///
    /// # Errors
    /// [`Error::File`], and [`Error::Line`] for a line that is not an entry.
    pub fn read(file: impl BufRead, previous: Option<&Self>) -> Result<Option<Self>, Error> {
        let mut builder = ArchiveBuilder::after(previous);
        let (mut file, mut line) = (file.take(0), String::new());
        for place in 1.. {
            line.clear();
            file.set_limit(MAX_LINE_LEN);
            if file.read_line(&mut line)? == 0 {
                break;
            }
            let number = number_of(&line).ok_or_else(|| Error::Line {
                line: place,
                cause: Box::new(Error::Syntax("an entry of the audit log")),
            })?;
            builder.add(number, &line);
        }
        Ok(builder.finish())
    }
}

fn number_of(line: &str) -> Option<u64> {
    let entry: serde_json::Value = serde_json::from_str(line).ok()?;
    entry.get("number")?.as_u64()
}
