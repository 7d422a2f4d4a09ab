-- A row for each published file of a run: where it went, or why it did not arrive.
CREATE TABLE IF NOT EXISTS raw.artifacts (
    run_id VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    url VARCHAR NOT NULL,
    size_bytes BIGINT NOT NULL,
    md5 VARCHAR NOT NULL,
    content_type VARCHAR NOT NULL,
    published_at TIMESTAMP NOT NULL,
    error VARCHAR,
    PRIMARY KEY (run_id, name)
)
