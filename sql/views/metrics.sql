-- Every number of every level as its own row, for plotting and for comparing metrics. sample_count is the number of
-- requests behind it; differs says how another tool's definition differs from ours.
CREATE OR REPLACE VIEW metrics AS
SELECT run_id, concurrency, l.verdict, metric, stat, value, sample_count, differs
FROM raw.metrics
JOIN raw.levels AS l USING (run_id, concurrency)
