//! Who did what, when. The store refuses to change or delete what was written.

use std::fmt;

use jiff::Timestamp;
use pssst::PublicKey;

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Action {
    /// A client was added by an operator.
    Added,
    /// A device enrolled by a token.
    Enrolled,
    /// A device was refused.
    EnrollmentRefused,
    /// A client was suspended.
    Suspended,
    /// A suspended client was enrolled again.
    Resumed,
    /// A client was revoked.
    Revoked,
    /// A client's name, labels or expiry were changed.
    Changed,
    /// A client was removed.
    Removed,
    /// A token was made.
    TokenCreated,
    /// A token was taken back.
    TokenWithdrawn,
    /// A rotation of the server's keys was started.
    RotationStarted,
    /// Somebody came to the admin API without the right credential.
    OperatorRefused,
}

impl Action {
    /// All actions.
    pub const ALL: [Self; 12] = [
        Self::Added,
        Self::Enrolled,
        Self::EnrollmentRefused,
        Self::Suspended,
        Self::Resumed,
        Self::Revoked,
        Self::Changed,
        Self::Removed,
        Self::TokenCreated,
        Self::TokenWithdrawn,
        Self::RotationStarted,
        Self::OperatorRefused,
    ];

    /// The action in snake case, as it is stored.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Enrolled => "enrolled",
            Self::EnrollmentRefused => "enrollment_refused",
            Self::Suspended => "suspended",
            Self::Resumed => "resumed",
            Self::Revoked => "revoked",
            Self::Changed => "changed",
            Self::Removed => "removed",
            Self::TokenCreated => "token_created",
            Self::TokenWithdrawn => "token_withdrawn",
            Self::RotationStarted => "rotation_started",
            Self::OperatorRefused => "operator_refused",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What is to be written: whoever acts, and when, the store knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewAuditEntry {
    /// What was done.
    pub action: Action,
    /// The client that it was done to.
    pub client_key: Option<PublicKey>,
    /// Anything else: the client's name, the token's id, the cause of a refusal. Up to 512 bytes are kept, never a secret.
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
    /// Who: an operator's name, `device` for a device that enrols, or what the program says of itself.
    pub actor: String,
    /// What.
    pub entry: NewAuditEntry,
}
