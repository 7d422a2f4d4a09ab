INSERT INTO raw.metrics BY NAME
SELECT * FROM incoming
