INSERT INTO raw.levels BY NAME
SELECT * FROM incoming
