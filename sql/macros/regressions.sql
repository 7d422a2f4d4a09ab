-- Is a run worse than those before it? A row for each of its levels and each metric, compared with the last_n earlier
-- runs of the same endpoint (url, model, shape) and workload (name and lengths), measured by the same tool, in which
-- that level is not invalid and has the metric. change_low to change_high is the 95% prediction interval for one more
-- run if nothing has changed (Student's t, n-1 degrees of freedom, baseline_stddev * sqrt(1 + 1/n)), centred on
-- change; min_detectable_change is its half width. All three are shares of baseline_mean. effect_stddevs is the change
-- in standard deviations between runs. verdict: same, if the interval lies within min_effect; better or worse, if it
-- excludes zero; else inconclusive, as with fewer than 3 earlier runs, or where the run's own level is invalid. 99th
-- percentiles are observed, not tested. Each row is tested on its own: of 20 in which nothing has changed, one lies
-- outside by chance. Omitted: levels that the run does not have, metrics that neither it nor its baseline has
-- (percentiles of too few requests), numbers that another tool defines differently.
CREATE OR REPLACE MACRO regressions(candidate_run, last_n := 10, min_effect := 0.05) AS TABLE
WITH tested(place, metric, stat, observed) AS (
    VALUES
        (1, 'ttft_s', 'mean', false),
        (2, 'ttft_s', 'p50', false),
        (3, 'ttft_s', 'p95', false),
        (4, 'ttft_s', 'p99', true),
        (5, 'inter_token_s', 'p99', true),
        (6, 'query_tokens_per_s', 'mean', false),
        (7, 'system_tokens_per_s', 'total', false)
),
comparable AS (
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
    SELECT comparable.*, l.concurrency, tested.metric, tested.stat, m.value
    FROM comparable
    JOIN raw.levels AS l USING (run_id)
    JOIN raw.metrics AS m USING (run_id, concurrency)
    JOIN tested USING (metric, stat)
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
        tested.*,
        mine.value,
        baseline.* EXCLUDE (concurrency, metric, stat),
        mine.value / nullif(baseline.mean, 0) - 1 AS change,
        baseline.half_width / nullif(baseline.mean, 0) AS min_detectable_change
    FROM raw.levels AS l
    CROSS JOIN tested
    LEFT JOIN baseline USING (concurrency, metric, stat)
    LEFT JOIN numbers AS mine
        ON mine.candidate AND mine.concurrency = l.concurrency AND mine.metric = tested.metric AND mine.stat = tested.stat
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
    change - min_detectable_change AS change_low,
    change + min_detectable_change AS change_high,
    (value - mean) / nullif(stddev, 0) AS effect_stddevs,
    min_detectable_change,
    CASE
        WHEN observed THEN 'observed'
        WHEN coalesce(runs, 0) < 3 OR change IS NULL THEN 'inconclusive'
        WHEN abs(change) + min_detectable_change <= min_effect THEN 'same'
        WHEN abs(change) <= min_detectable_change THEN 'inconclusive'
        WHEN (change > 0) = (metric IN ($higher_is_better)) THEN 'better'
        ELSE 'worse'
    END AS verdict
FROM changes
ORDER BY concurrency, place
