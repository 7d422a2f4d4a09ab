INSERT INTO raw.server_metrics BY NAME
SELECT * EXCLUDE (at_ns), make_timestamp_ns(at_ns)::TIMESTAMP AS scraped_at
FROM incoming
