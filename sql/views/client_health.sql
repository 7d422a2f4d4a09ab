-- Did the measuring client keep up at each level? What it recorded about itself, and the results of its calibration.
CREATE OR REPLACE VIEW client_health AS
SELECT
    run_id,
    concurrency,
    timestamps,
    (client->>'processes')::INTEGER AS processes,
    (client->>'realtime')::DOUBLE = 1 AS realtime,
    (client->>'cpu_share')::DOUBLE AS cpu_share,
    (client->>'cpu_us_per_token')::DOUBLE AS cpu_us_per_token,
    (client->>'max_rss_bytes')::DOUBLE AS max_rss_bytes,
    (client->>'loop_lag_p99_s')::DOUBLE AS loop_lag_p99_s,
    (client->>'loop_lag_max_s')::DOUBLE AS loop_lag_max_s,
    (client->>'send_lag_p99_s')::DOUBLE AS send_lag_p99_s,
    (client->>'late_sends')::INTEGER AS late_sends,
    (client->>'tokens')::BIGINT AS tokens,
    (client->>'shared_receive_tokens')::BIGINT AS shared_receive_tokens,
    (client->>'clock_step_s')::DOUBLE AS clock_step_s,
    ((client->'calibration')->>'added_ttft_mean_s')::DOUBLE AS added_ttft_mean_s,
    ((client->'calibration')->>'added_ttft_p50_s')::DOUBLE AS added_ttft_p50_s,
    ((client->'calibration')->>'added_ttft_p99_s')::DOUBLE AS added_ttft_p99_s,
    ((client->'calibration')->>'capacity_tokens_per_s')::DOUBLE AS capacity_tokens_per_s,
    (client->'calibration')->>'error' AS calibration_error
FROM raw.levels
