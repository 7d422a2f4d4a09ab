INSERT INTO raw.requests BY NAME
SELECT
    * EXCLUDE (sent_at_ns, chunk_offsets_s, chunk_tokens),
    make_timestamp_ns(sent_at_ns)::TIMESTAMP AS sent_at,
    len(chunk_offsets_s) AS chunks
FROM incoming
