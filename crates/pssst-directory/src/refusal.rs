//! Why the directory enrols nobody.

use pssst_support::named_enum;
use serde::{Deserialize, Serialize};

named_enum! {
    /// Why the directory enrols nobody by a request.
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
        /// The token asks for another name, or for one at all.
        NameMismatch => "name_mismatch",
        /// It is no name.
        InvalidName => "invalid_name",
        /// It is no sealed request for an enrolment, or not for a key of this pool, or its client
        /// key must not be enrolled.
        InvalidRequest => "invalid_request",
        /// Too many requests came from there: try later.
        RateLimited => "rate_limited",
        /// The directory cannot do it now: try later.
        Unavailable => "unavailable",
        /// Something that this version does not know.
        #[serde(other)]
        Other => "other",
    }
}

impl Refusal {
    /// The HTTP status that goes with it.
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
