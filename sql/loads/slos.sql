INSERT INTO raw.slos BY NAME
SELECT * FROM incoming
