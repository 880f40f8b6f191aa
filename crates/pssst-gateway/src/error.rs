//! Configuration errors of a gateway.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Error of building a gateway: one variant for each cause.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "a program that maps each cause to its own option learns of a new one")]
pub enum Error {
    /// A text is not the location of an upstream. It is not repeated here.
    InvalidUpstream,
    /// The location of an upstream contains a user or a password. Do not show it.
    Credentials,
    /// The value of the header `Authorization` is empty.
    EmptyAuthorization,
    /// The value of the header `Authorization` contains bytes that a header cannot carry.
    InvalidAuthorization,
    /// An upstream that is not HTTP cannot be sent a header `Authorization`.
    AuthorizationWithoutHttp,
    /// A content type contains bytes that a header cannot carry.
    InvalidContentType(String),
    /// A client key before each message was asked for over HTTP, which has a header for it.
    KeyPrefixOverHttp,
    /// Authorities were given for an upstream that is not `https:`.
    AuthoritiesWithoutTls,
    /// The file of authorities cannot be read.
    UnreadableAuthorities {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The file of authorities contains no certificate in PEM, or one that is malformed.
    InvalidAuthorities {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// TLS cannot be set up.
    Tls(Box<dyn std::error::Error + Send + Sync>),
    /// The HTTP client cannot be created.
    HttpClient(Box<dyn std::error::Error + Send + Sync>),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidUpstream => f.write_str(
                "expected http://HOST/PATH, https://HOST/PATH, udp://HOST:PORT, tcp://HOST:PORT or unix:/PATH",
            ),
            Self::Credentials => f.write_str("a location must not contain a user or password, because it is logged"),
            Self::EmptyAuthorization => f.write_str("this authorization is empty"),
            Self::InvalidAuthorization => f.write_str("this authorization is not a valid header value"),
            Self::AuthorizationWithoutHttp => f.write_str("authorization applies to HTTP upstreams only"),
            Self::InvalidContentType(_) => f.write_str("this content type is not a valid header value"),
            Self::KeyPrefixOverHttp => {
                f.write_str("the key is not put before messages over HTTP, which has a header for it")
            }
            Self::AuthoritiesWithoutTls => f.write_str("authorities apply to https: upstreams only"),
            Self::UnreadableAuthorities { source, .. } => write!(f, "the authorities cannot be read: {source}"),
            Self::InvalidAuthorities { source, .. } => write!(f, "the authorities cannot be used: {source}"),
            Self::Tls(error) => write!(f, "TLS cannot be set up: {error}"),
            Self::HttpClient(_) => f.write_str("the HTTP client cannot be created"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::UnreadableAuthorities { source, .. } => Some(source),
            Self::InvalidAuthorities { source: error, .. } | Self::Tls(error) | Self::HttpClient(error) => {
                Some(&**error)
            }
            Self::InvalidUpstream
            | Self::Credentials
            | Self::EmptyAuthorization
            | Self::InvalidAuthorization
            | Self::AuthorizationWithoutHttp
            | Self::InvalidContentType(_)
            | Self::KeyPrefixOverHttp
            | Self::AuthoritiesWithoutTls => None,
        }
    }
}
