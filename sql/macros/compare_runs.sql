-- How do two runs differ? A row for each level that both have, and for each main metric: before, after, how much more it is after
-- than before, and the 95 % interval of that.
-- The interval is that of ttft_precision and throughput_precision: of the mean TTFT and of the steady throughput, where a level was
-- long enough to tell. Half widths add as squares, which never promises too much (Banerjee, Sankhya 22, 1960). It knows the variance
-- within each run only: how much runs differ from one another anyway, only regressions can tell.
-- verdict: same, if the interval lies within matters (a share of before); better or worse, if it leaves out no difference at all; else
-- inconclusive. NULL, not judged: no interval can be had, or the level is invalid in one of them; its numbers are shown all the same.
-- Levels that only one run has are left out, and numbers that another tool defines otherwise count as missing.
CREATE OR REPLACE MACRO compare_runs(before_run, after_run, matters := 0.05) AS TABLE
WITH compared(place, metric, stat, more_is_better, precise) AS (
    VALUES
        (1, 'ttft_s', 'mean', false, 'ttft_precision'),
        (2, 'ttft_s', 'p95', false, NULL),
        (3, 'e2e_s', 'mean', false, NULL),
        (4, 'tpot_s', 'mean', false, NULL),
        (5, 'query_tokens_per_s', 'mean', true, NULL),
        (6, 'system_tokens_per_s', 'total', true, NULL),
        (7, 'steady_tokens_per_s', 'total', true, 'throughput_precision'),
        (8, 'error_rate', 'total', false, NULL)
),
numbers AS (
    SELECT l.run_id, l.concurrency, l.verdict, compared.*, m.value, m.value * p.value AS half_width
    FROM raw.levels AS l
    CROSS JOIN compared
    LEFT JOIN raw.metrics AS m
        ON m.run_id = l.run_id AND m.concurrency = l.concurrency
        AND m.metric = compared.metric AND m.stat = compared.stat AND m.differs IS NULL
    LEFT JOIN raw.metrics AS p
        ON p.run_id = l.run_id AND p.concurrency = l.concurrency
        AND p.metric = compared.precise AND p.stat = 'total' AND p.differs IS NULL
    WHERE l.run_id IN (before_run, after_run)
),
pairs AS (
    SELECT
        old.concurrency,
        old.place,
        old.metric,
        old.stat,
        old.more_is_better,
        old.value AS before,
        new.value AS after,
        new.value - old.value AS difference,
        new.value / nullif(old.value, 0) AS ratio,
        sqrt(old.half_width ** 2 + new.half_width ** 2) AS half_width,
        old.verdict AS before_verdict,
        new.verdict AS after_verdict
    FROM numbers AS old
    JOIN numbers AS new USING (concurrency, metric, stat)
    WHERE old.run_id = before_run AND new.run_id = after_run AND (old.value IS NOT NULL OR new.value IS NOT NULL)
)
SELECT
    concurrency,
    metric,
    stat,
    before,
    after,
    difference,
    ratio,
    difference - half_width AS difference_low,
    difference + half_width AS difference_high,
    CASE
        WHEN half_width IS NULL OR 'invalid' IN (before_verdict, after_verdict) THEN NULL
        WHEN abs(difference) + half_width <= matters * before THEN 'same'
        WHEN abs(difference) <= half_width THEN 'inconclusive'
        WHEN (difference > 0) = more_is_better THEN 'better'
        ELSE 'worse'
    END AS verdict,
    before_verdict,
    after_verdict
FROM pairs
ORDER BY concurrency, place
