//! Rules that a server's owner sets for replies.

/// Whether a server gives fresh replies: those that stay closed when its secret key falls later.
///
///
/// The client asks for one; it costs the server two multiplications and 32 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum FreshReplies {
    /// Requests that ask for one get one.
    #[default]
    Allow,
    /// Requests that ask for one are refused: [`FreshRefused`](crate::Refusal::FreshRefused).
    Refuse,
    /// Requests that do not ask for one are refused, also those that want no reply:
    /// [`FreshRequired`](crate::Refusal::FreshRequired). Suite 1, which has no fresh replies, is
    /// switched off.
    Require,
}

/// The length to which replies are padded. Suite 1 has no padding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReplyPadding {
    /// The reply to a padded request is padded to the request's length, where it is shorter.
    #[default]
    AsRequest,
    /// Replies are not padded.
    None,
    /// Every reply that is shorter than so many bytes is padded to them.
    ToLength(usize),
}
