//! Refusals of enrolments.

use pssst_support::named_enum;
use serde::{Deserialize, Serialize};

named_enum! {
    /// The reason why the directory refuses an enrolment.
    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    #[non_exhaustive]
    pub enum Refusal {
        /// There is no such token.
        UnknownToken => "unknown_token",
        /// The token has expired.
        TokenExpired => "token_expired",
        /// An operator took the token back.
        TokenWithdrawn => "token_withdrawn",
        /// The token was used already.
        TokenUsed => "token_used",
        /// Another client has the name.
        NameTaken => "name_taken",
        /// The key is enrolled already.
        KeyTaken => "key_taken",
        /// The token requires another name, or any name.
        NameMismatch => "name_mismatch",
        /// The name is invalid.
        InvalidName => "invalid_name",
        /// The body is not a sealed enrolment request, is sealed for another pool's key, or has a
        /// client key that must not be enrolled.
        InvalidRequest => "invalid_request",
        /// Too many requests from this source: try again later.
        RateLimited => "rate_limited",
        /// The directory is unavailable: try again later.
        Unavailable => "unavailable",
        /// A cause that this version does not know.
        #[serde(other)]
        Other => "other",
    }
}

impl Refusal {
    /// Returns its HTTP status.
    pub const fn status(self) -> u16 {
        match self {
            Self::UnknownToken | Self::TokenExpired | Self::TokenWithdrawn | Self::TokenUsed => 403,
            Self::NameTaken | Self::KeyTaken => 409,
            Self::NameMismatch | Self::InvalidName => 422,
            Self::InvalidRequest | Self::Other => 400,
            Self::RateLimited => 429,
            Self::Unavailable => 503,
        }
    }
}
