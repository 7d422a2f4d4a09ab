-- What is the highest concurrency that meets all SLOs, by the runs that searched for it?
CREATE OR REPLACE VIEW searches AS
SELECT
    s.run_id,
    r.started_at,
    r.model,
    r.shape,
    r.workload,
    s.greatest_concurrency,
    s.confident_pass,
    s.confident_fail,
    s.limited_by,
    s.unusable,
    s.min_level,
    s.max_level
FROM raw.searches AS s
JOIN raw.runs AS r USING (run_id)
ORDER BY r.started_at, s.run_id
