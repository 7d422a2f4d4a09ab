"""A level's samples with the times that follow from each, and the selections that metrics use."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from shapebench.analysis.sample_reader import Samples, read_requests
from shapebench.server_metrics.reconcile import ServerMetrics


def read(
    path: Path, server_metrics: ServerMetrics | None = None, slo_bounds: Mapping[str, float] | None = None
) -> Samples:
    """Read a level's samples and add to each `ttft_s`, `e2e_s`, `tpot_s`, `query_tokens_per_s` and so on.

    A failed request has none of these. `slo_bounds` are those of the SLOs.
    """
    requests = read_requests(path)
    done = requests["error_kind"].isna()
    requests["ttft_s"] = requests["first_token_s"].where(done)
    requests["e2e_s"] = requests["last_token_s"].where(done)
    requests["time_to_first_answer_s"] = _time_to_first_answer_s(requests)
    output_tokens = requests["output_tokens"].astype(float)
    sent = output_tokens - _hidden_tokens(requests)
    several = sent.where(sent > 1)  # one token alone has no time between tokens
    requests["tpot_s"] = (requests["e2e_s"] - requests["ttft_s"]) / (several - 1)
    requests["query_tokens_per_s"] = output_tokens / requests["e2e_s"]
    return Samples(requests, path, server_metrics, slo_bounds)


def _time_to_first_answer_s(requests: pd.DataFrame) -> "pd.Series[float]":
    """Return when each answer itself began, which is with the first token where nothing was reasoned.

    NaN in files of earlier versions, and where a request ended before it came to its answer.
    """
    if "first_answer_s" not in requests:
        return pd.Series(np.nan, requests.index)
    began_s = requests["first_answer_s"].astype(float).where(_reasoned(requests) > 0, requests["ttft_s"])
    return began_s.where(requests["ttft_s"].notna())


def _hidden_tokens(requests: pd.DataFrame) -> "pd.Series[float]":
    """Count the tokens that were reasoned and not sent: then the first that is sent is of the answer."""
    if "first_answer_s" not in requests:
        return pd.Series(0.0, requests.index)
    return _reasoned(requests).where(requests["first_answer_s"].astype(float) <= requests["first_token_s"], 0.0)


def _reasoned(requests: pd.DataFrame) -> "pd.Series[float]":
    return requests["reasoning_tokens"].astype(float).fillna(0.0)


def is_measured(samples: Samples) -> "pd.Series[bool]":
    return ~samples.requests["warmup"]


def is_completed(samples: Samples) -> "pd.Series[bool]":
    return is_measured(samples) & samples.requests["error_kind"].isna()


def completed(samples: Samples, *names: str) -> pd.DataFrame:
    """Select completed requests, with all columns unless some are named: a million requests are much to copy."""
    return samples.requests.loc[is_completed(samples), list(names) or slice(None)]


def measured(samples: Samples, *names: str) -> pd.DataFrame:
    return samples.requests.loc[is_measured(samples), list(names) or slice(None)]


def steady_window_ns(samples: Samples) -> tuple[int, int]:
    """Return the time from which every stream is past its warm-up until the first is done; it may be empty.

    In between all streams are busy: each sends its next request when it has the answer to the last.
    """
    streams, of_all = measured(samples, "stream", "sent_at_ns").groupby("stream"), samples.requests["stream"]
    if of_all.empty or len(streams) < of_all.nunique():
        return 0, 0  # a stream never got a measured request
    return int(streams["sent_at_ns"].min().max()), int(ended_ns(samples).groupby(of_all).max().min())


def ended_ns(samples: Samples) -> "pd.Series[int]":
    return samples.requests["sent_at_ns"] + (samples.requests["ended_s"] * 1e9).astype("int64")
