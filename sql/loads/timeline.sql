INSERT INTO raw.timeline BY NAME
SELECT * FROM incoming
