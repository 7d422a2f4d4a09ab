-- How are the latencies of one level distributed? For each of ttft_s, e2e_s and tpot_s the 1st to the 99th percentile and the greatest
-- (quantile 1): drawn with quantile over value, the distribution function.
-- Of the level's completed requests; those of the warm-up and those that failed are left out, and so are answers of one token from
-- tpot_s. A percentile that too few values stand behind is NULL: five have to lie beyond it, on either side of the median, 5/(1-p) or 5/p.
-- A level whose requests are not kept (pruned, or of a tool that kept none) has NULL throughout, and a sample_count of 0.
CREATE OR REPLACE MACRO latency_distribution(run, level) AS TABLE
WITH done AS (
    SELECT ttft_s, e2e_s, tpot_s
    FROM raw.requests
    WHERE run_id = run AND concurrency = level AND NOT warmup AND error_kind IS NULL
),
latencies AS (
    SELECT 1 AS place, 'ttft_s' AS metric, count(ttft_s) AS n, quantile_cont(ttft_s, list_transform(range(1, 101), lambda p: p / 100)) AS found
    FROM done
    UNION ALL
    SELECT 2, 'e2e_s', count(e2e_s), quantile_cont(e2e_s, list_transform(range(1, 101), lambda p: p / 100))
    FROM done
    UNION ALL
    SELECT 3, 'tpot_s', count(tpot_s), quantile_cont(tpot_s, list_transform(range(1, 101), lambda p: p / 100))
    FROM done
)
SELECT
    l.verdict,
    latencies.metric,
    percent / 100 AS quantile,
    if(percent = 100 OR n * least(percent, 100 - percent) >= 500, found[percent], NULL) AS value,
    n AS sample_count
FROM raw.levels AS l, latencies, range(1, 101) AS percents(percent)
WHERE l.run_id = run AND l.concurrency = level
ORDER BY latencies.place, percent
