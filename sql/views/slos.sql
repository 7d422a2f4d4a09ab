-- Which level met which SLO, and by what margin?
CREATE OR REPLACE VIEW slos AS
SELECT
    s.run_id,
    r.started_at,
    r.model,
    r.shape,
    r.workload,
    s.concurrency,
    l.verdict,
    s.slo,
    s.metric,
    s.stat,
    s.sign,
    s.bound,
    s.evaluated_stat,
    s.value,
    s.low,
    s.high,
    s.margin,
    s.passes
FROM raw.slos AS s
JOIN raw.levels AS l USING (run_id, concurrency)
JOIN raw.runs AS r USING (run_id)
ORDER BY r.started_at, s.run_id, s.concurrency, s.slo
