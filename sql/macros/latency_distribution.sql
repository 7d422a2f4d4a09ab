-- What is the latency distribution of one level? The 1st to the 99th percentile of ttft_s, e2e_s and tpot_s, and the
-- maximum (quantile 1): plotted as quantile over value, this is the distribution function. Only completed requests
-- after warm-up count, and for tpot_s only answers of more than one token. A percentile of too few values is NULL: it
-- needs 5/(1-p) of them, or 5/p below the median. A level whose requests are not kept (pruned, or of a tool that kept
-- none) has NULL throughout, and a sample_count of 0.
CREATE OR REPLACE MACRO latency_distribution(run, level) AS TABLE
WITH done AS (
    SELECT ttft_s, e2e_s, tpot_s
    FROM raw.requests
    WHERE run_id = run AND concurrency = level AND NOT warmup AND error_kind IS NULL
),
found AS (
    SELECT metric, count(*) AS n, quantile_cont(latency, list_transform(range(1, 101), lambda percent: percent / 100)) AS percentiles
    FROM done UNPIVOT (latency FOR metric IN (ttft_s, e2e_s, tpot_s))
    GROUP BY metric
)
SELECT
    l.verdict,
    metric,
    percent / 100 AS quantile,
    if(percent = 100 OR n * least(percent, 100 - percent) >= 5 * 100, percentiles[percent], NULL) AS value,
    coalesce(n, 0) AS sample_count
FROM raw.levels AS l
CROSS JOIN (VALUES (1, 'ttft_s'), (2, 'e2e_s'), (3, 'tpot_s')) AS latencies(place, metric)
CROSS JOIN range(1, 101) AS percents(percent)
LEFT JOIN found USING (metric)
WHERE l.run_id = run AND l.concurrency = level
ORDER BY place, percent
