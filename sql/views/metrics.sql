-- Every number of every level as a row of its own: for plotting, and for comparing metrics with one another.
CREATE OR REPLACE VIEW metrics AS
SELECT run_id, concurrency, l.verdict, metric, stat, value
FROM raw.metrics
JOIN raw.levels AS l USING (run_id, concurrency)
