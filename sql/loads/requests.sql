INSERT INTO raw.requests BY NAME
SELECT
    * EXCLUDE (sent_at_ns, counted_tokens, first_token_s, last_token_s),
    make_timestamp_ns(sent_at_ns)::TIMESTAMP AS sent_at
FROM incoming
