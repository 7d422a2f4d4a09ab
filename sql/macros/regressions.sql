-- Is a run worse than those before it? A row for each of its levels and each metric, held against the last_n earlier runs of the same
-- endpoint (url, model, shape) and workload (its name and its lengths), measured by the same tool, in which that level was not invalid and has the number.
-- How much runs differ from one another is what counts: the interval is where one more run lies in 95 of 100 cases if nothing has changed
-- (Student's t, n-1 degrees, baseline_stddev * sqrt(1 + 1/n)), laid around the change; least_detectable is its half width. change, its
-- interval and least_detectable are shares of the baseline's mean, effect_stddevs is the change in standard deviations between runs.
-- verdict: same, if the interval lies within matters; better or worse, if it leaves out no change at all (less is better for times, more
-- for throughput); else inconclusive: what matters may have happened and could not be told. So, too, with fewer than 3 earlier runs, and
-- where the run's own level is invalid. 99th percentiles are observed, never judged.
-- A row is judged by itself: of 20 in which nothing has changed, one lies outside by chance. Left out: levels that the run does not have,
-- metrics that neither it nor its baseline has (percentiles of too few requests), numbers that another tool defines otherwise.
CREATE OR REPLACE MACRO regressions(candidate_run, last_n := 10, matters := 0.05) AS TABLE
WITH judged(place, metric, stat, more_is_better, observed) AS (
    VALUES
        (1, 'ttft_s', 'mean', false, false),
        (2, 'ttft_s', 'p50', false, false),
        (3, 'ttft_s', 'p95', false, false),
        (4, 'ttft_s', 'p99', false, true),
        (5, 'inter_token_s', 'p99', false, true),
        (6, 'query_tokens_per_s', 'mean', true, false),
        (7, 'system_tokens_per_s', 'total', true, false)
),
alike AS (
    SELECT other.run_id, other.started_at, other.run_id = candidate_run AS candidate
    FROM raw.runs AS mine
    JOIN raw.runs AS other USING (source, url, model, shape, workload)
    WHERE
        mine.run_id = candidate_run
        AND (other.run_id = candidate_run OR other.started_at < mine.started_at)
        AND mine.spec->>'$$.workload.input_tokens' IS NOT DISTINCT FROM other.spec->>'$$.workload.input_tokens'
        AND mine.spec->>'$$.workload.output_tokens' IS NOT DISTINCT FROM other.spec->>'$$.workload.output_tokens'
),
numbers AS (
    SELECT alike.*, l.concurrency, judged.metric, judged.stat, m.value
    FROM alike
    JOIN raw.levels AS l USING (run_id)
    JOIN raw.metrics AS m USING (run_id, concurrency)
    JOIN judged USING (metric, stat)
    WHERE l.verdict <> 'invalid' AND m.differs IS NULL
),
earlier AS (
    SELECT *
    FROM numbers
    WHERE NOT candidate
    QUALIFY row_number() OVER (PARTITION BY concurrency, metric, stat ORDER BY started_at DESC, run_id DESC) <= last_n
),
baseline AS (
    SELECT
        concurrency,
        metric,
        stat,
        count(*) AS runs,
        min(started_at) AS since,
        avg(value) AS mean,
        stddev_samp(value) AS stddev,
        t_quantile(count(*) - 1) * stddev_samp(value) * sqrt(1 + 1 / count(*)) AS half_width
    FROM earlier
    GROUP BY concurrency, metric, stat
),
changes AS (
    SELECT
        l.concurrency,
        l.verdict AS level_verdict,
        judged.*,
        mine.value,
        baseline.* EXCLUDE (concurrency, metric, stat),
        mine.value / nullif(baseline.mean, 0) - 1 AS change,
        baseline.half_width / nullif(baseline.mean, 0) AS least_detectable
    FROM raw.levels AS l
    CROSS JOIN judged
    LEFT JOIN baseline USING (concurrency, metric, stat)
    LEFT JOIN numbers AS mine
        ON mine.candidate AND mine.concurrency = l.concurrency AND mine.metric = judged.metric AND mine.stat = judged.stat
    WHERE l.run_id = candidate_run AND (mine.value IS NOT NULL OR baseline.mean IS NOT NULL)
)
SELECT
    concurrency,
    level_verdict,
    metric,
    stat,
    value AS candidate,
    mean AS baseline_mean,
    stddev AS baseline_stddev,
    coalesce(runs, 0) AS baseline_runs,
    since AS baseline_since,
    change,
    change - least_detectable AS change_low,
    change + least_detectable AS change_high,
    (value - mean) / nullif(stddev, 0) AS effect_stddevs,
    least_detectable,
    CASE
        WHEN observed THEN 'observed'
        WHEN coalesce(runs, 0) < 3 OR change IS NULL THEN 'inconclusive'
        WHEN abs(change) + least_detectable <= matters THEN 'same'
        WHEN abs(change) <= least_detectable THEN 'inconclusive'
        WHEN (change > 0) = more_is_better THEN 'better'
        ELSE 'worse'
    END AS verdict
FROM changes
ORDER BY concurrency, place
