-- Which runs are there, what did they measure, and can their numbers be trusted?
CREATE OR REPLACE VIEW runs AS
SELECT
    r.run_id,
    r.started_at,
    r.finished_at,
    epoch(r.finished_at - r.started_at) AS duration_s,
    r.model,
    r.shape,
    r.workload,
    (SELECT list(l.concurrency ORDER BY l.concurrency) FROM raw.levels AS l WHERE l.run_id = r.run_id) AS levels,
    r.verdict,
    r.headline,
    r.source,
    r.source_version,
    r.server,
    r.server_version,
    r.facts -> 'server_profile' AS server_profile,
    r.url,
    r.seed,
    r.git_revision,
    len(r.resumed_at) AS resumes,
    r.resumed_at,
    r.skipped_levels,
    r.levels_not_reached,
    r.spec,
    r.facts,
    r.versions,
    r.machine
FROM raw.runs AS r
ORDER BY r.started_at, r.run_id
