-- A row for each concurrency level of a run, including levels that were interrupted.
CREATE TABLE IF NOT EXISTS raw.levels (
    run_id VARCHAR NOT NULL,
    concurrency INTEGER NOT NULL CHECK (concurrency > 0),
    verdict VARCHAR NOT NULL CHECK (verdict IN ('valid', 'suspect', 'invalid')),
    planned_requests INTEGER NOT NULL CHECK (planned_requests > 0),
    completed INTEGER NOT NULL CHECK (completed >= 0),
    failed INTEGER NOT NULL CHECK (failed >= 0),
    started_at TIMESTAMP NOT NULL,
    wall_s DOUBLE NOT NULL CHECK (wall_s >= 0),
    timestamps VARCHAR NOT NULL CHECK (timestamps IN ('kernel', 'user')),
    enforced_output_tokens BOOLEAN NOT NULL,
    exact_prompts BOOLEAN NOT NULL,
    client JSON NOT NULL,
    samples VARCHAR,
    error VARCHAR,
    PRIMARY KEY (run_id, concurrency)
)
