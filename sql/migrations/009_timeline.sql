-- A row for each time slice of a level: how many streams were busy, and how many tokens arrived.
CREATE TABLE IF NOT EXISTS raw.timeline (
    run_id VARCHAR NOT NULL,
    concurrency INTEGER NOT NULL,
    at_s DOUBLE NOT NULL,
    busy_streams DOUBLE NOT NULL CHECK (busy_streams >= 0),
    tokens_per_s DOUBLE NOT NULL CHECK (tokens_per_s >= 0),
    PRIMARY KEY (run_id, concurrency, at_s)
)
