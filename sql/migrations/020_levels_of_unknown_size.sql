-- Levels of tools that do not say how many requests completed or failed.
ALTER TABLE raw.levels ALTER COLUMN completed DROP NOT NULL;
ALTER TABLE raw.levels ALTER COLUMN failed DROP NOT NULL;
