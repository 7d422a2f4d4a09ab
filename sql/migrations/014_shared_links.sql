-- A row for each link that lets whoever has it read a report. Its URL is not here: it is shown once, to whoever asked for it.
CREATE TABLE IF NOT EXISTS raw.shared_links (
    run_id VARCHAR NOT NULL,
    link_id VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    place VARCHAR NOT NULL,
    created_at TIMESTAMP NOT NULL,
    expires_at TIMESTAMP NOT NULL,
    PRIMARY KEY (run_id, link_id)
)
