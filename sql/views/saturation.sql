-- At which concurrency does each run's throughput stop growing? The knee of a concave curve fitted to its levels
-- (shapebench/analysis/scaling/growth.py), and its 95% interval. knee is NULL where throughput still grows at the
-- highest level. A run with fewer than two usable levels has no row, nor has one that an earlier version loaded.
CREATE OR REPLACE VIEW saturation AS
SELECT
    s.run_id,
    r.started_at,
    r.model,
    r.shape,
    r.workload,
    s.knee,
    s.knee_low,
    s.knee_high,
    s.uncertain
FROM raw.saturation AS s
JOIN raw.runs AS r USING (run_id)
ORDER BY r.started_at, s.run_id
