-- How many requests were served as well as promised, and how much of the throughput is that? A row for each level of each run.
-- A limit that is NULL is not asked for. attainment is the share of measured requests that met all limits; one that failed, or lacks a
-- number that is asked for, did not (an answer of one token has no tpot_s to miss). Goodput is what came of those that met them, over
-- the level's time from the first sending to the last arrival, as for system_tokens_per_s: where all met them, it is that.
-- Warm-up requests are left out. Levels whose requests are not kept (pruned, or of a tool that kept none), or of whose requests none has
-- a number that is asked for, have NULL; invalid levels are shown, and verdict says so. Where requests lack the time of their sending, the level's wall_s takes the place of its time.
CREATE OR REPLACE MACRO slo_attainment(
    ttft_s_limit := 0.5, query_tokens_per_s_limit := 10, tpot_s_limit := NULL, e2e_s_limit := NULL
) AS TABLE
WITH judged AS (
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
        AND (ttft_s_limit IS NULL OR coalesce(ttft_s <= ttft_s_limit, false))
        AND (query_tokens_per_s_limit IS NULL OR coalesce(query_tokens_per_s >= query_tokens_per_s_limit, false))
        AND (tpot_s_limit IS NULL OR coalesce(tpot_s <= tpot_s_limit, output_tokens = 1, false))
        AND (e2e_s_limit IS NULL OR coalesce(e2e_s <= e2e_s_limit, false)) AS met
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
    FROM judged
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
