//! The audit log. The store refuses to change or delete its entries.

use jiff::Timestamp;
use pssst::PublicKey;
use pssst_support::named_enum;

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
        /// A client was suspended.
        Suspended => "suspended",
        /// A suspended client was enrolled again.
        Resumed => "resumed",
        /// A client was revoked.
        Revoked => "revoked",
        /// A client's name, labels or expiry were changed.
        Changed => "changed",
        /// A client was removed.
        Removed => "removed",
        /// A token was made.
        TokenCreated => "token_created",
        /// A token was taken back.
        TokenWithdrawn => "token_withdrawn",
        /// A rotation of the server's keys was started.
        RotationStarted => "rotation_started",
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
