-- Files of earlier versions lack it: how many values a number is made of; none for a metric with one value for a level.
ALTER TABLE raw.metrics ADD COLUMN IF NOT EXISTS sample_count BIGINT
