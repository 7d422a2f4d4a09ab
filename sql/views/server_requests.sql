-- How many requests did the server finish while a level ran, and why did each end? To compare with the view requests.
CREATE OR REPLACE VIEW server_requests AS
SELECT run_id, concurrency, label AS finished_reason, (max(value) - min(value))::BIGINT AS requests
FROM raw.server_metrics
WHERE metric = 'finished_requests'
GROUP BY ALL
ORDER BY ALL
