"""Tools whose results are recognised only to name them in the refusal: they are not read."""

import re
from pathlib import Path

ENOUGH = 100_000  # characters of a file that are looked at

SIGNS = {  # what no other tool writes
    "Locust": r'"num_none_requests"|^Type,Name,Request Count,Failure Count',
    "k6": r'"root_group"\s*:|"type"\s*:\s*"(?:Metric|Point)"',
    "Vegeta": r'"latencies"\s*:\s*\{\s*"total"|^Requests\s+\[total, rate',
    "wrk": r"^Running \S+ test @ ",
    "ApacheBench": r"^This is ApacheBench",
    "hey": r"^Summary:\s+Total:",
    "oha": r'"responseTimeHistogram"',
    "Artillery": r'"http\.response_time"',
    "JMeter": r"<testResults|^timeStamp,elapsed,label",
    "MLPerf's LoadGen": r"^MLPerf Results Summary|^:::MLLOG",
    "NVIDIA Perf Analyzer": r'"experiments"\s*:\s*\[\s*\{\s*"experiment"|^(?:Concurrency|Request Rate),Inferences/',
    "trtllm-bench": r'"system_output_throughput_tok_s"',
    "llm-load-test": r'"tt_ack"',
    "EvalScope": r'"Average time to first token \(s\)"',
    "Hugging Face's inference-benchmarker": r'"executor_type"',
    "optimum-benchmark": r'"optimum_benchmark_version"',
    "llama-bench": r'"build_commit"[\s\S]*"n_gen"',
    "lm-evaluation-harness": r'"lm_eval_version"',
    "vllm bench latency": r'"avg_latency"[\s\S]*"percentiles"',
    "vllm bench throughput": r'"total_num_tokens"[\s\S]*"tokens_per_second"',
}


def tool_that_is_not_read(path: Path) -> str | None:
    """Return the name of the tool that wrote a file, if it is one of those that are not read."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            text = file.read(ENOUGH)
    except OSError:
        return None
    return next((tool for tool, sign in SIGNS.items() if re.search(sign, text, re.MULTILINE)), None)
