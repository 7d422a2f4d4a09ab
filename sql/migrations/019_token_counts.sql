-- How the tokens of answers are known, when the answer itself began after any reasoning, and which server answered.
ALTER TABLE raw.requests ADD COLUMN IF NOT EXISTS first_answer_s DOUBLE;
ALTER TABLE raw.requests ADD COLUMN IF NOT EXISTS reasoning_tokens INTEGER;
ALTER TABLE raw.requests ADD COLUMN IF NOT EXISTS token_counts VARCHAR;
ALTER TABLE raw.requests ADD COLUMN IF NOT EXISTS token_source VARCHAR;
ALTER TABLE raw.requests ADD COLUMN IF NOT EXISTS has_end_marker BOOLEAN;
ALTER TABLE raw.requests ADD COLUMN IF NOT EXISTS server_address VARCHAR;
ALTER TABLE raw.levels ADD COLUMN IF NOT EXISTS token_counts VARCHAR;
ALTER TABLE raw.levels ADD COLUMN IF NOT EXISTS token_source VARCHAR
