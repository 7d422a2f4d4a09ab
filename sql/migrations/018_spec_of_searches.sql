-- Stored specs get the names that a search's range has now.
UPDATE raw.runs SET spec = regexp_replace(
    spec::VARCHAR, '"search":\{"least":(\d+),"most":(\d+)\}', '"search":{"min_level":\1,"max_level":\2}'
)::JSON
WHERE spec::VARCHAR LIKE '%"least"%';
