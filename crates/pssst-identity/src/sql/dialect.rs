//! Differences between databases.

/// The kind of a database.
#[cfg_attr(
    not(all(feature = "sqlite", feature = "postgres")),
    expect(dead_code, reason = "the kinds that are built in are made")
)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    Sqlite,
    Postgres,
}

impl Dialect {
    /// SQLite takes the right to write at once: taken after a read, it could be refused without
    /// waiting. For PostgreSQL, the writers' lock needs no more than this level, whatever the
    /// database's default is.
    pub(super) const fn begin_write(self) -> &'static str {
        match self {
            Self::Sqlite => "BEGIN IMMEDIATE",
            Self::Postgres => "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE",
        }
    }
}
