-- Clients that must use their pre-shared key.
ALTER TABLE pssst_identities ADD COLUMN requires_psk BIGINT NOT NULL DEFAULT 0 CHECK (requires_psk IN (0, 1));
