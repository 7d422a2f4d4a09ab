-- The SLOs that each level was evaluated against, searches for the highest concurrency that meets them, and levels
-- that a run did not reach. Runs of earlier versions have none.
CREATE TABLE IF NOT EXISTS raw.slos (
    run_id VARCHAR NOT NULL,
    concurrency INTEGER NOT NULL,
    slo VARCHAR NOT NULL,
    metric VARCHAR NOT NULL,
    stat VARCHAR NOT NULL,
    sign VARCHAR NOT NULL CHECK (sign IN ('<=', '>=')),
    bound DOUBLE NOT NULL,
    judged_stat VARCHAR NOT NULL,
    value DOUBLE,
    low DOUBLE,
    high DOUBLE,
    margin DOUBLE,
    passes BOOLEAN,
    PRIMARY KEY (run_id, concurrency, slo)
);
CREATE TABLE IF NOT EXISTS raw.searches (
    run_id VARCHAR PRIMARY KEY,
    least INTEGER NOT NULL,
    most INTEGER NOT NULL,
    greatest_concurrency INTEGER,
    surely_keeps INTEGER,
    surely_fails INTEGER,
    limited_by VARCHAR,
    unusable INTEGER[] NOT NULL
);
ALTER TABLE raw.runs ADD COLUMN skipped INTEGER[] DEFAULT [];
