//! Links, `pssst://HOST:PORT/?key=…`: a server, its key and its directory in one line of text that
//! can be pasted, sent or scanned.
//!
//! A link has a checksum over all of it, so a character that was lost or changed on the way is an
//! error and not a silence. A link with a token is a secret ([`Link::is_secret`]), any other is
//! public.
//!
//! # What it is not
//!
//! * **Not signed.** Anyone who can change a link can make its checksum fit. Take a link from
//!   someone whom you would take the server's key from.
//! * **Not a connection.** `pssst-net` and `pssst-directory` make clients of links.
//!
//! The project's `docs/links.md` has the grammar and test vectors for other languages.
//!
//! ```
//! use pssst_link::Link;
//!
//! let text = "pssst://pool.example:45678/\
//!     ?key=pssst1m55erv9xt2vk9la2ufz3vvy029ysrd43s6m2cml6frx75h24cvts62d5ww&check=a55c085e";
//! let link: Link = text.parse()?;
//! assert_eq!(link.server.as_deref(), Some("pool.example:45678"));
//! # Ok::<(), pssst_link::Error>(())
//! ```

pub use error::Error;
pub use form::{MAX_LEN, SCHEME};
pub use link::{Link, LinkKey};

mod error;
mod form;
mod link;
mod read;
