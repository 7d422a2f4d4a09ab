-- A row for each run whose throughput was fitted: the level at which it stops growing, NULL where it still grows. Runs
-- that earlier versions loaded have none.
CREATE TABLE IF NOT EXISTS raw.saturation (
    run_id VARCHAR PRIMARY KEY,
    knee INTEGER,
    knee_low INTEGER,
    knee_high INTEGER,
    uncertain BOOLEAN NOT NULL
)
