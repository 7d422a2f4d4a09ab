-- A row for each link that lets its holder read a report. Its URL is not stored: it is shown once, when it is made.
CREATE TABLE IF NOT EXISTS raw.shared_links (
    run_id VARCHAR NOT NULL,
    link_id VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    place VARCHAR NOT NULL,
    created_at TIMESTAMP NOT NULL,
    expires_at TIMESTAMP NOT NULL,
    PRIMARY KEY (run_id, link_id)
)
