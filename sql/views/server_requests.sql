-- How many requests did the server end while a level ran, and for what reason? Its account of what the view requests holds.
CREATE OR REPLACE VIEW server_requests AS
SELECT run_id, concurrency, label AS finished_reason, (max(value) - min(value))::BIGINT AS requests
FROM raw.server_metrics
WHERE metric = 'finished_requests'
GROUP BY ALL
