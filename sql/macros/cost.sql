-- What do a million tokens cost at this price per hour of the shape? A row for each level of each run. At $$2 an hour,
-- 40 tokens/s for each of 32 queries are $$0.434 for a million output tokens. usd_per_million_tokens spreads the same
-- money over prompts and answers; usd_per_user_hour is the hourly price over the concurrency. All of it assumes a
-- machine as busy as during the level: one that idles half the time costs twice as much per token. system_tokens_per_s
-- counts completed requests only. An invalid level has its row, without a cost.
CREATE OR REPLACE MACRO cost(usd_per_hour) AS TABLE
SELECT
    run_id,
    started_at,
    model,
    shape,
    workload,
    concurrency,
    verdict,
    usable_tokens_per_s AS system_tokens_per_s,
    usd_per_hour / (usable_tokens_per_s * 3600) * 1e6 AS usd_per_million_output_tokens,
    usd_per_million_output_tokens * output_tokens_mean / (input_tokens_mean + output_tokens_mean) AS usd_per_million_tokens,
    if(usable_tokens_per_s IS NULL, NULL, usd_per_hour / concurrency) AS usd_per_user_hour
FROM (SELECT *, if(verdict <> 'invalid' AND system_tokens_per_s > 0, system_tokens_per_s, NULL) AS usable_tokens_per_s FROM level_summary)
ORDER BY started_at, run_id, concurrency
