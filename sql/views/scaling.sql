-- How does throughput grow with concurrency, and where does it bend? A row for each level of each run.
-- The ideal is the throughput of the run's lowest level that takes part, times concurrency over its concurrency; efficiency is the
-- share of it that was reached. gain_share is what throughput gained since step_from, the level before, as a share of what concurrency
-- gained; the curve bends at the first level where that is less than 10 % (GROWING_SHARE in shapebench/scaling/growth.py).
-- tokens_per_s is the steady throughput where every level that takes part has one, else the system's for all of them; throughput says
-- which. The two are never mixed along a curve: a level's beginning and end, when not all streams are busy, weigh most at high
-- concurrency, and would bend it. Invalid levels, and those without throughput, take no part: NULL, and steps pass over them.
CREATE OR REPLACE VIEW scaling AS
WITH usable AS (
    SELECT
        run_id,
        concurrency,
        bool_and(coalesce(steady_tokens_per_s > 0, false)) OVER (PARTITION BY run_id) AS steady,
        if(steady, 'steady_tokens_per_s', 'system_tokens_per_s') AS throughput,
        if(steady, steady_tokens_per_s, system_tokens_per_s) AS tokens_per_s
    FROM level_summary
    WHERE verdict <> 'invalid' AND system_tokens_per_s > 0
),
steps AS (
    SELECT
        *,
        first_value(tokens_per_s) OVER curve * concurrency / first_value(concurrency) OVER curve AS ideal_tokens_per_s,
        lag(concurrency) OVER curve AS step_from,
        (tokens_per_s / lag(tokens_per_s) OVER curve - 1) / (concurrency / lag(concurrency) OVER curve - 1) AS gain_share
    FROM usable
    WINDOW curve AS (PARTITION BY run_id ORDER BY concurrency)
),
bent AS (
    SELECT *, coalesce(concurrency = min(concurrency) FILTER (gain_share < 0.1) OVER (PARTITION BY run_id), false) AS bends
    FROM steps
)
SELECT
    l.run_id,
    l.started_at,
    l.model,
    l.shape,
    l.workload,
    l.concurrency,
    l.verdict,
    bent.throughput,
    bent.tokens_per_s,
    bent.ideal_tokens_per_s,
    bent.tokens_per_s / bent.ideal_tokens_per_s AS efficiency,
    bent.step_from,
    bent.gain_share,
    bent.bends
FROM level_summary AS l
LEFT JOIN bent USING (run_id, concurrency)
ORDER BY l.started_at, l.run_id, l.concurrency
