-- Where did each published file of a run go?
CREATE OR REPLACE VIEW artifacts AS
SELECT * FROM raw.artifacts
