-- A row for each expectation checked at a level, with the result in words.
CREATE TABLE IF NOT EXISTS raw.findings (
    run_id VARCHAR NOT NULL,
    concurrency INTEGER NOT NULL,
    expectation VARCHAR NOT NULL,
    severity VARCHAR NOT NULL CHECK (severity IN ('suspect', 'invalid')),
    passed BOOLEAN NOT NULL,
    sentence VARCHAR NOT NULL,
    reason VARCHAR NOT NULL,
    PRIMARY KEY (run_id, concurrency, expectation)
)
