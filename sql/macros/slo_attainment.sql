-- What share of requests met these limits, and how much of the throughput is that? A row for each level of each run. A
-- limit that is NULL is not applied. attainment is the share of measured requests that met all limits; a request that
-- failed, or lacks a number with a limit, did not (an answer of one token has no tpot_s to miss). Goodput counts those
-- that met them, over the time from the first send to the last arrival, as system_tokens_per_s does: where all met
-- them, they are equal. Warm-up requests are excluded. A level whose requests are not kept (pruned, or of a tool that
-- kept none), or of whose requests none has a number with a limit, has NULL. Invalid levels are shown; verdict says
-- so. Where requests lack the time of sending, the level's wall_s is used.
CREATE OR REPLACE MACRO slo_attainment(
    ttft_s_limit := 0.5, query_tokens_per_s_limit := 10, tpot_s_limit := NULL, e2e_s_limit := NULL
) AS TABLE
WITH evaluated AS (
    SELECT
        run_id,
        concurrency,
        sent_at,
        ttft_s,
        e2e_s,
        tpot_s,
        query_tokens_per_s,
        output_tokens,
        error_kind IS NULL AS done,
        done
        AND (ttft_s_limit IS NULL OR coalesce(ttft_s $ttft_s_meets ttft_s_limit, false))
        AND (query_tokens_per_s_limit IS NULL OR coalesce(query_tokens_per_s $query_tokens_per_s_meets query_tokens_per_s_limit, false))
        AND (tpot_s_limit IS NULL OR coalesce(tpot_s $tpot_s_meets tpot_s_limit, output_tokens = 1, false))
        AND (e2e_s_limit IS NULL OR coalesce(e2e_s $e2e_s_meets e2e_s_limit, false)) AS met
    FROM raw.requests
    WHERE NOT warmup
),
counted AS (
    SELECT
        run_id,
        concurrency,
        count(*) AS requests,
        count(*) FILTER (met) AS attained,
        coalesce(sum(output_tokens) FILTER (met), 0) AS attained_tokens,
        max(epoch_ns(sent_at) / 1e9 + e2e_s) FILTER (done) - min(epoch_ns(sent_at)) / 1e9 AS span_s,
        count(*) FILTER (done) = 0
        OR (
            (ttft_s_limit IS NULL OR count(ttft_s) > 0)
            AND (query_tokens_per_s_limit IS NULL OR count(query_tokens_per_s) > 0)
            AND (tpot_s_limit IS NULL OR count(tpot_s) > 0 OR max(output_tokens) = 1)
            AND (e2e_s_limit IS NULL OR count(e2e_s) > 0)
        ) AS known
    FROM evaluated
    GROUP BY run_id, concurrency
)
SELECT
    l.run_id,
    r.started_at,
    r.model,
    r.shape,
    r.workload,
    l.concurrency,
    l.verdict,
    counted.requests,
    if(known, counted.attained, NULL) AS attained,
    if(known, counted.attained / counted.requests, NULL) AS attainment,
    if(known, counted.attained / coalesce(counted.span_s, l.wall_s), NULL) AS goodput_requests_per_s,
    if(known, counted.attained_tokens / coalesce(counted.span_s, l.wall_s), NULL) AS goodput_tokens_per_s
FROM raw.levels AS l
JOIN raw.runs AS r USING (run_id)
LEFT JOIN counted USING (run_id, concurrency)
ORDER BY r.started_at, l.run_id, l.concurrency
