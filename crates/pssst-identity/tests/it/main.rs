//! Stores of identities, and servers that follow them.

#[cfg(all(unix, feature = "postgres"))]
mod pool;
mod shared_secrets;
#[cfg(all(feature = "file", feature = "postgres", feature = "sqlite"))]
mod stores;
