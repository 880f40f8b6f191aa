-- Times are milliseconds since 1970-01-01T00:00:00Z. Text compares by its bytes.

CREATE TABLE pssst_store (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    name TEXT NOT NULL,
    revision INTEGER NOT NULL
) STRICT;

CREATE TABLE pssst_identities (
    key BLOB PRIMARY KEY NOT NULL CHECK (length(key) = 32),
    revision INTEGER NOT NULL UNIQUE,
    name TEXT NOT NULL UNIQUE,
    labels TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('enrolled', 'suspended', 'revoked')),
    created INTEGER NOT NULL,
    changed INTEGER NOT NULL,
    expires INTEGER,
    search TEXT NOT NULL
) STRICT;

-- The feed of changes tells of those that are gone, too.
CREATE TABLE pssst_removed (
    key BLOB PRIMARY KEY NOT NULL CHECK (length(key) = 32),
    revision INTEGER NOT NULL UNIQUE
) STRICT;

CREATE TABLE pssst_tokens (
    id BLOB PRIMARY KEY NOT NULL CHECK (length(id) = 8),
    hash BLOB NOT NULL CHECK (length(hash) = 32),
    name TEXT,
    labels TEXT NOT NULL,
    expires INTEGER NOT NULL,
    client_expires INTEGER,
    created INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    used INTEGER,
    used_by BLOB CHECK (length(used_by) = 32),
    withdrawn INTEGER,
    CHECK ((used IS NULL) = (used_by IS NULL))
) STRICT;

CREATE INDEX pssst_tokens_created ON pssst_tokens (created);

-- Clients that servers refused lately. Servers write here, and nowhere else.
CREATE TABLE pssst_refused (
    key BLOB PRIMARY KEY NOT NULL CHECK (length(key) = 32),
    cause TEXT NOT NULL,
    requests INTEGER NOT NULL,
    first_seen INTEGER NOT NULL,
    last_seen INTEGER NOT NULL
) STRICT;

CREATE TABLE pssst_audit (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    client_key BLOB CHECK (length(client_key) = 32),
    detail TEXT NOT NULL
) STRICT;

-- Entries that were exported and deleted. Each hash covers the one before.
CREATE TABLE pssst_audit_archives (
    last INTEGER PRIMARY KEY,
    first INTEGER NOT NULL UNIQUE CHECK (first <= last),
    entries INTEGER NOT NULL,
    hash BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;

CREATE TRIGGER pssst_audit_keeps_what_it_says BEFORE UPDATE ON pssst_audit
BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only');
END;

CREATE TRIGGER pssst_audit_keeps_all BEFORE DELETE ON pssst_audit
WHEN NOT EXISTS (SELECT 1 FROM pssst_audit_archives WHERE first <= OLD.number AND OLD.number <= last)
BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only');
END;

-- INSERT OR REPLACE deletes without asking the trigger above.
CREATE TRIGGER pssst_audit_replaces_nothing BEFORE INSERT ON pssst_audit
WHEN EXISTS (SELECT 1 FROM pssst_audit WHERE number = NEW.number)
BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only');
END;

CREATE TRIGGER pssst_audit_archives_keep_what_they_say BEFORE UPDATE ON pssst_audit_archives
BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only');
END;

CREATE TRIGGER pssst_audit_archives_keep_all BEFORE DELETE ON pssst_audit_archives
BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only');
END;

CREATE TRIGGER pssst_audit_archives_replace_nothing BEFORE INSERT ON pssst_audit_archives
WHEN EXISTS (SELECT 1 FROM pssst_audit_archives WHERE last >= NEW.first)
BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only');
END;
