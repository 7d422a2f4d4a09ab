-- A row for each sweep over the concurrency levels of one endpoint; times are UTC, and it is finished when its last
-- level is.
CREATE TABLE IF NOT EXISTS raw.runs (
    run_id VARCHAR PRIMARY KEY,
    started_at TIMESTAMP NOT NULL,
    finished_at TIMESTAMP NOT NULL,
    model VARCHAR NOT NULL,
    shape VARCHAR NOT NULL,
    url VARCHAR NOT NULL,
    workload VARCHAR NOT NULL,
    server VARCHAR NOT NULL,
    server_version VARCHAR,
    verdict VARCHAR NOT NULL CHECK (verdict IN ('valid', 'suspect', 'invalid')),
    headline VARCHAR NOT NULL,
    seed UBIGINT NOT NULL,
    git_revision VARCHAR,
    spec JSON NOT NULL,
    facts JSON NOT NULL,
    versions JSON NOT NULL,
    machine JSON NOT NULL
)
