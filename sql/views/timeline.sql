-- How did each level develop over time? at_s counts from the level's first request, including warm-up.
CREATE OR REPLACE VIEW timeline AS
SELECT * FROM raw.timeline
