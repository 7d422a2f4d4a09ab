-- Which reports can be read through a link, until when, and by what id can the link be withdrawn?
CREATE OR REPLACE VIEW shared_links AS
SELECT * FROM raw.shared_links ORDER BY created_at, run_id
