INSERT INTO raw.runs BY NAME
SELECT * FROM incoming
