-- Where did each file of a report go?
CREATE OR REPLACE VIEW artifacts AS
SELECT * FROM raw.artifacts
