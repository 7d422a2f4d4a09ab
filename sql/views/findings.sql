-- Which expectations did each level meet, and which did it fail?
CREATE OR REPLACE VIEW findings AS
SELECT * FROM raw.findings
