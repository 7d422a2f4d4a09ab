-- A row for each number: a new metric is a new row, never a new column. A metric with one value for a level has the
-- stat "total".
CREATE TABLE IF NOT EXISTS raw.metrics (
    run_id VARCHAR NOT NULL,
    concurrency INTEGER NOT NULL,
    metric VARCHAR NOT NULL,
    stat VARCHAR NOT NULL,
    value DOUBLE NOT NULL,
    PRIMARY KEY (run_id, concurrency, metric, stat)
)
