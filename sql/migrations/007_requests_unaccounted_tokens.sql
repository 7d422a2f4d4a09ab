-- The server's usage minus the tokens that the answer's chunks carried.
ALTER TABLE raw.requests ADD COLUMN IF NOT EXISTS unaccounted_tokens INTEGER
