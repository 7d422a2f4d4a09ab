-- Every number of every level as a row of its own: for plotting, and for comparing metrics with one another. sample_count is how many requests it is made of, differs in what another tool defines it otherwise.
CREATE OR REPLACE VIEW metrics AS
SELECT run_id, concurrency, l.verdict, metric, stat, value, sample_count, differs
FROM raw.metrics
JOIN raw.levels AS l USING (run_id, concurrency)
