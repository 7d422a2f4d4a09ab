-- Which of the files in sql/migrations has this file had?
CREATE TABLE IF NOT EXISTS raw.migrations (
    number INTEGER PRIMARY KEY,
    name VARCHAR NOT NULL,
    applied_at TIMESTAMP NOT NULL
)
