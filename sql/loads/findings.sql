INSERT INTO raw.findings BY NAME
SELECT * FROM incoming
