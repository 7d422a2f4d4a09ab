-- What happened to each request, including warm-up and failed ones?
CREATE OR REPLACE VIEW requests AS
SELECT * FROM raw.requests
