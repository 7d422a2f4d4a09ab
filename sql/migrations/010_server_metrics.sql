-- A row for each number that the server reported while a level ran: before, each second, and after. Of a histogram's
-- buckets only the first and the last reading are here; the Parquet file has all.
CREATE TABLE IF NOT EXISTS raw.server_metrics (
    run_id VARCHAR NOT NULL,
    concurrency INTEGER NOT NULL,
    scraped_at TIMESTAMP NOT NULL,
    metric VARCHAR NOT NULL,
    label VARCHAR NOT NULL,
    value DOUBLE NOT NULL,
    PRIMARY KEY (run_id, concurrency, scraped_at, metric, label)
)
