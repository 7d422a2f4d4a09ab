INSERT INTO raw.artifacts BY NAME
SELECT * FROM incoming
