-- The number of values behind a number; NULL for a metric with one value for a level.
ALTER TABLE raw.metrics ADD COLUMN IF NOT EXISTS sample_count BIGINT
