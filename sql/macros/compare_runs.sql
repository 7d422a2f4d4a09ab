-- How do two runs differ? A row for each level that both have and each main metric: before, after, difference, ratio,
-- and the 95% confidence interval of the difference. The interval comes from ttft_precision and throughput_precision,
-- so only the mean TTFT and the steady throughput have one, where the level was long enough. Half widths add as
-- squares, which is conservative (Banerjee, Sankhya 22, 1960). It knows the variance within each run only; the macro
-- regressions knows how much runs differ from one another. verdict: same, if the interval lies within min_effect (a
-- share of before); better or worse, if it excludes zero; else inconclusive. NULL without an interval, or where the
-- level is invalid in one of the runs; the numbers are shown anyway. Levels that only one run has are omitted; numbers
-- that another tool defines differently count as missing.
CREATE OR REPLACE MACRO compare_runs(before_run, after_run, min_effect := 0.05) AS TABLE
WITH compared(place, metric, stat, precision_metric) AS (
    VALUES
        (1, 'ttft_s', 'mean', 'ttft_precision'),
        (2, 'ttft_s', 'p95', NULL),
        (3, 'e2e_s', 'mean', NULL),
        (4, 'tpot_s', 'mean', NULL),
        (5, 'query_tokens_per_s', 'mean', NULL),
        (6, 'system_tokens_per_s', 'total', NULL),
        (7, 'steady_tokens_per_s', 'total', 'throughput_precision'),
        (8, 'error_rate', 'total', NULL)
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
        AND p.metric = compared.precision_metric AND p.stat = 'total' AND p.differs IS NULL
    WHERE l.run_id IN (before_run, after_run)
),
pairs AS (
    SELECT
        old.concurrency,
        old.place,
        old.metric,
        old.stat,
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
        WHEN abs(difference) + half_width <= min_effect * before THEN 'same'
        WHEN abs(difference) <= half_width THEN 'inconclusive'
        WHEN (difference > 0) = (metric IN ($higher_is_better)) THEN 'better'
        ELSE 'worse'
    END AS verdict,
    before_verdict,
    after_verdict
FROM pairs
ORDER BY concurrency, place
