-- What happened to each request, warm-up and failed ones included?
CREATE OR REPLACE VIEW requests AS
SELECT * FROM raw.requests
