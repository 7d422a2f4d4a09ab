-- Which expectations did each level meet, and which did it not?
CREATE OR REPLACE VIEW findings AS
SELECT * FROM raw.findings
