-- Which runs are there, what did they measure, and are their numbers fit to be believed?
CREATE OR REPLACE VIEW runs AS
SELECT
    r.*,
    r.finished_at - r.started_at AS duration,
    (SELECT list(l.concurrency ORDER BY l.concurrency) FROM raw.levels AS l WHERE l.run_id = r.run_id) AS levels
FROM raw.runs AS r
