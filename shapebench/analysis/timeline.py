"""A level over time: how many streams were busy, and how many tokens came."""

import numpy as np
import numpy.typing as npt
import pandas as pd

from shapebench.analysis.sample_reader import Samples

Values = npt.NDArray[np.float64]

MAX_BINS = 200
MIN_BIN_S = 0.05


def timeline(samples: Samples) -> pd.DataFrame:
    """Divide a level into equal spans, warm-up included: `at_s` is a span's middle, after the first request was sent.

    `busy_streams` is the mean of the requests in flight, `tokens_per_s` counts tokens as they arrived.
    """
    requests = samples.requests
    if requests.empty:
        return pd.DataFrame({"at_s": [], "busy_streams": [], "tokens_per_s": []}, dtype=float)
    sent_s = ((requests["sent_at_ns"] - requests["sent_at_ns"].min()) / 1e9).to_numpy()
    ended_s = sent_s + requests["ended_s"].to_numpy()
    edges_s = _edges(float(ended_s.max()))
    in_flight_s = _time_after(edges_s, sent_s) - _time_after(edges_s, ended_s)
    return pd.DataFrame(
        {
            "at_s": (edges_s[1:] + edges_s[:-1]) / 2,
            "busy_streams": np.diff(in_flight_s) / np.diff(edges_s),
            "tokens_per_s": _tokens(samples, edges_s) / np.diff(edges_s),
        }
    )


def _edges(length_s: float) -> Values:
    bins = max(1, min(MAX_BINS, int(length_s / MIN_BIN_S)))
    return np.linspace(0, max(length_s, MIN_BIN_S), bins + 1)


def _time_after(edges_s: Values, moments_s: Values) -> Values:
    """Sum for each edge how long before it the earlier moments were."""
    ordered = np.sort(moments_s)
    sums = np.concatenate([[0.0], np.cumsum(ordered)])
    before = np.searchsorted(ordered, edges_s)
    return np.asarray(before * edges_s - sums[before])


def _tokens(samples: Samples, edges_s: Values) -> Values:
    """Count the tokens that came in each span."""
    origin_ns, bins, whole = int(samples.requests["sent_at_ns"].min()), len(edges_s) - 1, (0.0, edges_s[-1])
    of_each = (np.histogram(at_s, bins, whole, weights=tokens)[0] for at_s, tokens in samples.arrivals(origin_ns))
    return sum(of_each, start=np.zeros(bins))
