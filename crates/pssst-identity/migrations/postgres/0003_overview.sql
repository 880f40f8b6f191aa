-- What operators see first: how many clients there are, and the servers.
CREATE INDEX pssst_identities_state ON pssst_identities (state, expires);

CREATE INDEX pssst_audit_client ON pssst_audit (client_key, number) WHERE client_key IS NOT NULL;

-- Servers that follow this store. Each writes its own row.
CREATE TABLE pssst_servers (
    id BYTEA PRIMARY KEY CHECK (octet_length(id) = 8),
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    started BIGINT NOT NULL,
    last_seen BIGINT NOT NULL
);
