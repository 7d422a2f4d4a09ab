INSERT INTO raw.shared_links BY NAME
SELECT * FROM incoming
