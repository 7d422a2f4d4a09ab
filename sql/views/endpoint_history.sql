-- How has each endpoint changed over time? A row for each run and level, those of one endpoint, workload and
-- concurrency in order of time, with the changes since the run before, as shares of it: 0.1 is 10% more. An endpoint
-- is a url, a model and a shape; runs that other tools measured (source) have their own history. Workloads are
-- identified by name. The run before is the last in which the level was not invalid. An invalid level has its numbers
-- but no changes; a change is also NULL where either run lacks the number. Runs differ a little anyway: a change alone
-- proves nothing, the macro regressions tests it.
CREATE OR REPLACE VIEW endpoint_history AS
WITH usable AS (
    SELECT
        l.run_id,
        l.concurrency,
        lag(l.run_id) OVER history AS previous_run_id,
        l.ttft_s_mean / nullif(lag(l.ttft_s_mean) OVER history, 0) - 1 AS ttft_s_mean_change,
        l.ttft_s_p95 / nullif(lag(l.ttft_s_p95) OVER history, 0) - 1 AS ttft_s_p95_change,
        l.query_tokens_per_s_mean / nullif(lag(l.query_tokens_per_s_mean) OVER history, 0) - 1 AS query_tokens_per_s_mean_change,
        l.system_tokens_per_s / nullif(lag(l.system_tokens_per_s) OVER history, 0) - 1 AS system_tokens_per_s_change
    FROM level_summary AS l
    JOIN raw.runs AS r USING (run_id)
    WHERE l.verdict <> 'invalid'
    WINDOW history AS (
        PARTITION BY r.source, r.url, r.model, r.shape, r.workload, l.concurrency ORDER BY r.started_at, r.run_id
    )
)
SELECT
    r.url,
    r.model,
    r.shape,
    r.workload,
    r.source,
    l.concurrency,
    r.started_at,
    r.run_id,
    r.server_version,
    l.verdict,
    l.completed,
    l.failed,
    l.ttft_s_mean,
    l.ttft_s_p95,
    l.query_tokens_per_s_mean,
    l.system_tokens_per_s,
    usable.previous_run_id,
    usable.ttft_s_mean_change,
    usable.ttft_s_p95_change,
    usable.query_tokens_per_s_mean_change,
    usable.system_tokens_per_s_change
FROM level_summary AS l
JOIN raw.runs AS r USING (run_id)
LEFT JOIN usable USING (run_id, concurrency)
ORDER BY r.url, r.model, r.shape, r.workload, r.source, l.concurrency, r.started_at, r.run_id
