-- When did each token of a level arrive, and how long after the one before it? A row for each token, from the run's
-- Parquet file in the folder `data`: it shows stalls within an answer, which its totals hide. A chunk of k tokens is k
-- rows, each with a k-th of the gap before the chunk, so quantiles of gap_s are those of inter_token_s. The tokens of
-- an answer's first chunk have no gap. at_s counts from the level's first request, since_sent_s from the request's own
-- send; chunk and token count from 1 within the answer; tokens is the chunk's number of tokens. Tokens of warm-up and
-- failed requests are included and marked; inter_token_s excludes both. Requests without tokens have no row.
CREATE OR REPLACE MACRO token_gaps(run, level, data := 'data') AS TABLE
WITH requests_of_level AS (
    SELECT
        *,
        (sent_at_ns - min(sent_at_ns) OVER ()) / 1e9 AS sent_s,
        ([NULL] || chunk_offsets_s)[:len(chunk_offsets_s)] AS offsets_before_s
    FROM read_parquet(data || '/runs/' || run || '/level-' || printf('%04d', level) || '.parquet')
),
chunks AS (
    SELECT
        request_index,
        stream,
        warmup,
        error_kind IS NOT NULL AS failed,
        sent_s,
        generate_subscripts(chunk_offsets_s, 1) AS chunk,
        unnest(chunk_offsets_s) AS since_sent_s,
        unnest(offsets_before_s) AS before_s,
        unnest(chunk_tokens) AS tokens
    FROM requests_of_level
),
each AS (
    SELECT *, unnest(range(tokens)) AS place
    FROM chunks
)
SELECT
    request_index,
    stream,
    warmup,
    failed,
    chunk,
    row_number() OVER (PARTITION BY request_index ORDER BY chunk, place) AS token,
    sent_s + since_sent_s AS at_s,
    since_sent_s,
    (since_sent_s - before_s) / tokens AS gap_s,
    tokens
FROM each
ORDER BY request_index, token
