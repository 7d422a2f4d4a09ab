-- How does throughput grow with concurrency, and where does it stop? A row for each level of each run.
-- ideal_tokens_per_s is the throughput of the run's lowest usable level, scaled by concurrency; efficiency is the
-- share of it that was reached. gain_share is what throughput gained since step_from, the usable level before, as a
-- share of what concurrency gained. is_knee marks the level at which throughput stops growing, as the view saturation
-- has it: a curve fitted to all levels, so noise in one step does not decide. NULL where it was not fitted.
-- tokens_per_s is the steady throughput where every usable level has one, else the system's for all of them;
-- throughput says which. They are never mixed along a curve: the start and end of a level, when not all streams are
-- busy, weigh most at high concurrency. Invalid levels, and those without throughput, are not usable: NULL, and steps
-- pass over them.
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
)
SELECT
    l.run_id,
    l.started_at,
    l.model,
    l.shape,
    l.workload,
    l.concurrency,
    l.verdict,
    steps.throughput,
    steps.tokens_per_s,
    steps.ideal_tokens_per_s,
    steps.tokens_per_s / steps.ideal_tokens_per_s AS efficiency,
    steps.step_from,
    steps.gain_share,
    if(steps.run_id IS NULL OR s.run_id IS NULL, NULL, l.concurrency IS NOT DISTINCT FROM s.knee) AS is_knee
FROM level_summary AS l
LEFT JOIN steps USING (run_id, concurrency)
LEFT JOIN raw.saturation AS s USING (run_id)
ORDER BY l.started_at, l.run_id, l.concurrency
