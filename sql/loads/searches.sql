INSERT INTO raw.searches BY NAME
SELECT * FROM incoming
