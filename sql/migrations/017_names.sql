-- Columns get the names that the field uses.
ALTER TABLE raw.runs RENAME COLUMN left_out TO skipped_levels;
ALTER TABLE raw.runs RENAME COLUMN skipped TO levels_not_reached;
ALTER TABLE raw.slos RENAME COLUMN judged_stat TO evaluated_stat;
ALTER TABLE raw.searches RENAME COLUMN least TO min_level;
ALTER TABLE raw.searches RENAME COLUMN most TO max_level;
ALTER TABLE raw.searches RENAME COLUMN surely_keeps TO confident_pass;
ALTER TABLE raw.searches RENAME COLUMN surely_fails TO confident_fail;
