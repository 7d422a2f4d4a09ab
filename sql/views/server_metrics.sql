-- What did the server report about itself while a level ran? at_s counts from the level's first request; counters and
-- histograms count from the server's start.
CREATE OR REPLACE VIEW server_metrics AS
SELECT s.run_id, s.concurrency, s.scraped_at, epoch(s.scraped_at) - epoch(l.started_at) AS at_s, s.metric, s.label, s.value
FROM raw.server_metrics AS s
JOIN raw.levels AS l USING (run_id, concurrency)
