-- Times are milliseconds since 1970-01-01T00:00:00Z. Text compares by its bytes.

CREATE TABLE pssst_store (
    id SMALLINT PRIMARY KEY CHECK (id = 1),
    name TEXT NOT NULL,
    revision BIGINT NOT NULL
);

CREATE TABLE pssst_identities (
    key BYTEA PRIMARY KEY CHECK (octet_length(key) = 32),
    revision BIGINT NOT NULL UNIQUE,
    name TEXT COLLATE "C" NOT NULL UNIQUE,
    labels TEXT NOT NULL,
    state TEXT COLLATE "C" NOT NULL CHECK (state IN ('enrolled', 'suspended', 'revoked')),
    created BIGINT NOT NULL,
    changed BIGINT NOT NULL,
    expires BIGINT,
    search TEXT COLLATE "C" NOT NULL
);

-- The feed of changes tells of those that are gone, too.
CREATE TABLE pssst_removed (
    key BYTEA PRIMARY KEY CHECK (octet_length(key) = 32),
    revision BIGINT NOT NULL UNIQUE
);

CREATE TABLE pssst_tokens (
    id BYTEA PRIMARY KEY CHECK (octet_length(id) = 8),
    hash BYTEA NOT NULL CHECK (octet_length(hash) = 32),
    name TEXT,
    labels TEXT NOT NULL,
    expires BIGINT NOT NULL,
    client_expires BIGINT,
    created BIGINT NOT NULL,
    created_by TEXT NOT NULL,
    used BIGINT,
    used_by BYTEA CHECK (octet_length(used_by) = 32),
    withdrawn BIGINT,
    CHECK ((used IS NULL) = (used_by IS NULL))
);

CREATE INDEX pssst_tokens_created ON pssst_tokens (created);

-- Clients that servers refused lately. Servers write here, and nowhere else.
CREATE TABLE pssst_refused (
    key BYTEA PRIMARY KEY CHECK (octet_length(key) = 32),
    cause TEXT COLLATE "C" NOT NULL,
    requests BIGINT NOT NULL,
    first_seen BIGINT NOT NULL,
    last_seen BIGINT NOT NULL
);

CREATE TABLE pssst_audit (
    number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at BIGINT NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    client_key BYTEA CHECK (octet_length(client_key) = 32),
    detail TEXT NOT NULL
);

-- Entries that were exported and deleted. Each hash covers the one before.
CREATE TABLE pssst_audit_archives (
    last BIGINT PRIMARY KEY,
    first BIGINT NOT NULL UNIQUE CHECK (first <= last),
    entries BIGINT NOT NULL,
    hash BYTEA NOT NULL CHECK (octet_length(hash) = 32)
);

CREATE FUNCTION pssst_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is append-only';
END
$$;

CREATE FUNCTION pssst_refuse_unless_archived() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM pssst_audit_archives WHERE first <= OLD.number AND OLD.number <= last) THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'the audit log is append-only';
END
$$;

CREATE TRIGGER pssst_audit_is_append_only BEFORE UPDATE OR TRUNCATE ON pssst_audit
    FOR EACH STATEMENT EXECUTE FUNCTION pssst_refuse();

CREATE TRIGGER pssst_audit_keeps_all BEFORE DELETE ON pssst_audit
    FOR EACH ROW EXECUTE FUNCTION pssst_refuse_unless_archived();

CREATE TRIGGER pssst_audit_archives_are_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON pssst_audit_archives
    FOR EACH STATEMENT EXECUTE FUNCTION pssst_refuse();

CREATE FUNCTION pssst_notify() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('pssst_identity', '');
    RETURN NULL;
END
$$;

CREATE TRIGGER pssst_store_tells_of_changes AFTER UPDATE ON pssst_store
    FOR EACH ROW WHEN (OLD.revision <> NEW.revision) EXECUTE FUNCTION pssst_notify();
