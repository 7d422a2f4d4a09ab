-- What did each level of each run measure? A row for each run and concurrency, a column for each metric and stat.
-- The metrics' columns come from METRICS in shapebench/spec/metric_definitions.py.
CREATE OR REPLACE VIEW level_summary AS
WITH named AS (
    SELECT run_id, concurrency, if(stat = 'total', metric, metric || '_' || stat) AS name, value
    FROM raw.metrics
    WHERE differs IS NULL
),
wide AS (
    FROM (PIVOT named ON name IN ($metric_columns) USING first(value) GROUP BY run_id, concurrency)
)
SELECT
    l.run_id,
    r.started_at,
    r.model,
    r.shape,
    r.workload,
    l.concurrency,
    l.verdict,
    l.planned_requests,
    l.completed,
    l.failed,
    wide.* EXCLUDE (run_id, concurrency),
    l.wall_s,
    l.timestamps,
    l.token_counts,
    l.token_source,
    l.error
FROM raw.levels AS l
JOIN raw.runs AS r USING (run_id)
LEFT JOIN wide USING (run_id, concurrency)
ORDER BY r.started_at, l.run_id, l.concurrency
