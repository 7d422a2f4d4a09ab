-- What is the greatest concurrency that keeps all SLOs, by the runs that searched for it?
CREATE OR REPLACE VIEW searches AS
SELECT
    s.run_id,
    r.started_at,
    r.model,
    r.shape,
    r.workload,
    s.greatest_concurrency,
    s.surely_keeps,
    s.surely_fails,
    s.limited_by,
    s.unusable,
    s.least,
    s.most
FROM raw.searches AS s
JOIN raw.runs AS r USING (run_id)
ORDER BY r.started_at, s.run_id
