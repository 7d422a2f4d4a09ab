-- How did each level go over time? at_s counts from the level's first request, warm-up included.
CREATE OR REPLACE VIEW timeline AS
SELECT * FROM raw.timeline
