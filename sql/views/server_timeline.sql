-- What was the server's state while a level ran? A row for each time its metrics were read; tokens/s are since the row
-- before.
CREATE OR REPLACE VIEW server_timeline AS
WITH wide AS (
    FROM (
        PIVOT (SELECT run_id, concurrency, scraped_at, metric, value FROM raw.server_metrics WHERE label = '')
        ON metric IN (
            'running_requests', 'waiting_requests', 'kv_cache_usage', 'preemptions', 'prompt_tokens', 'generation_tokens'
        )
        USING first(value)
        GROUP BY run_id, concurrency, scraped_at
    )
)
SELECT
    wide.run_id,
    wide.concurrency,
    epoch(wide.scraped_at) - epoch(l.started_at) AS at_s,
    running_requests,
    waiting_requests,
    kv_cache_usage,
    preemptions - first_value(preemptions) OVER level AS preemptions,
    (prompt_tokens - lag(prompt_tokens) OVER level) / (epoch(scraped_at) - epoch(lag(scraped_at) OVER level)) AS prompt_tokens_per_s,
    (generation_tokens - lag(generation_tokens) OVER level) / (epoch(scraped_at) - epoch(lag(scraped_at) OVER level))
        AS generation_tokens_per_s
FROM wide
JOIN raw.levels AS l USING (run_id, concurrency)
WINDOW level AS (PARTITION BY wide.run_id, wide.concurrency ORDER BY scraped_at)
ORDER BY wide.run_id, wide.concurrency, scraped_at
