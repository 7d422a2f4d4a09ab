"""A server's /metrics under stable names, since engines' names differ, and between versions as well."""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from shapebench.server_metrics.engines import CONFIG, COUNTERS, DERIVED, HISTOGRAMS, NAMES, PARTS, SHARES, Series

Values = dict[tuple[str, str], float]  # by our name and a label: the finish reason, or a bucket's upper bound
Found = Mapping[str, list[Sample]]

LABELS = ("le", "finished_reason")  # labels that distinguish values; engines and models are summed
COPIES = frozenset(
    ("tp_rank", "pp_rank", "moe_ep_rank")
)  # each rank of a parallel server may tell of the same requests
OF_A_CLASS = "priority"  # SGLang has a series for each priority beside their total, whose label is empty
NOT_CONFIG = frozenset(("engine", "engine_type", "model_name"))
STARTED = "process_start_time_seconds"
ITS_START = "its start"

_SERIES = {series.name: engine for row in NAMES.values() for engine, cell in row.items() for series in cell}
_TOTAL = ("", "_total")
_LINES = frozenset(
    {STARTED, *CONFIG}
    | {
        s.name + part
        for o, row in NAMES.items()
        for c in row.values()
        for s in c
        for part in (PARTS if o in HISTOGRAMS else _TOTAL)
    }
)
_NAME = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)[{ ]")
_COUNTER = re.compile(r"^# TYPE (\S+?)(?:_total)? counter$", re.MULTILINE)
_IN_BLOCKS = re.compile(r"# HELP vllm:gpu_prefix_cache_\w+ .*blocks")  # of the first versions of V1: tokens are meant


def known_values(text: str) -> Values:
    """Parse the known metrics, histograms as `_bucket`, `_sum` and `_count`; raises ValueError for malformed lines.

    Values that are not finite are skipped. A counter that the server declares and has not yet counted is 0.
    """
    found = _by_name(sample for sample in _samples(text) if math.isfinite(sample.value))
    engine = _engine(found)
    if engine is None:
        return {}
    declared = frozenset(_COUNTER.findall(text))
    in_blocks = bool(_IN_BLOCKS.search(text))
    values: Values = {}
    for ours, row in NAMES.items():
        if not (in_blocks and ours.startswith("prefix_cache")):
            values |= _values(ours, row.get(engine, ()), found, declared)
    values |= _derived(engine, values)
    return {key: value for key, value in values.items() if not key[0].startswith("_")}


def engine(text: str) -> str | None:
    """Tell which engine's metrics these are; None if none is known."""
    return _engine(_by_name(_samples(text)))


def identity(text: str) -> dict[str, str]:
    """Identify a server by its start time and its configuration."""
    fields: dict[str, str] = {}
    for sample in _samples(text):
        if sample.name == STARTED:
            with suppress(ValueError, OverflowError):  # no time
                fields[ITS_START] = f"{datetime.fromtimestamp(sample.value, UTC):%Y-%m-%d %H:%M:%S} UTC"
        elif sample.name in CONFIG:
            fields |= {name: value for name, value in sample.labels.items() if name not in NOT_CONFIG}
    return fields


def list_changes(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """List what changed in a server's identity, among the fields known both times."""
    both = sorted(before.keys() & now.keys())
    return [f"{name} was {before[name]} and is {now[name]}" for name in both if before[name] != now[name]]


def _samples(text: str) -> Iterable[Sample]:
    """Parse the lines of known metrics only: other lines may be malformed."""
    lines = [line for line in text.splitlines() if (name := _NAME.match(line)) and name[1] in _LINES]
    try:
        for family in text_string_to_metric_families("\n".join(lines) + "\n"):
            yield from family.samples
    except IndexError as error:  # how the parser fails on a label without a name
        raise ValueError("a label has no name") from error


def _by_name(samples: Iterable[Sample]) -> dict[str, list[Sample]]:
    found: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        if not sample.labels.get(OF_A_CLASS):
            found[sample.name].append(sample)
    return dict(found)


def _engine(found: Found) -> str | None:
    """Return the engine that most of the names belong to: a gateway may add some that look like another's."""
    engines = Counter(_SERIES[name] for sample in found for name in {sample, _without_part(sample)} & _SERIES.keys())
    return engines.most_common(1)[0][0] if engines else None


def _without_part(name: str) -> str:
    return re.sub(rf"({'|'.join(PARTS)}|_total)$", "", name)


def _values(ours: str, cell: Iterable[Series], found: Found, declared: frozenset[str]) -> Values:
    """Read one metric under the first of its names that is present."""
    parts = PARTS if ours in HISTOGRAMS else _TOTAL
    for series in cell:
        values: Values = {}
        for part in parts:
            samples = [s for s in found.get(series.name + part, ()) if series.labels.items() <= s.labels.items()]
            whole = ours + part.replace("_total", "")
            values |= {(whole, label): value for label, value in _merged(ours, samples).items()}
        if values:
            return values
        if ours in COUNTERS and series.name in declared:
            return {(ours, ""): 0.0}
    return {}


def _merged(ours: str, samples: Iterable[Sample]) -> dict[str, float]:
    """Merge the series of each label: the maximum of copies, of what remains the sum, or of shares the maximum."""
    single: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
    for sample in samples:
        label = next((sample.labels[name] for name in LABELS if name in sample.labels), "")
        key = label, frozenset((name, value) for name, value in sample.labels.items() if name not in COPIES)
        single[key] = max(sample.value, single.get(key, -math.inf))
    merged: dict[str, list[float]] = defaultdict(list)
    for (label, _), value in single.items():
        merged[label].append(value)
    return {label: max(several) if ours in SHARES else sum(several) for label, several in merged.items()}


def _derived(engine: str, values: Values) -> Values:
    totals: dict[str, float] = defaultdict(float)
    for (name, _), value in values.items():
        totals[name] += value
    with suppress(KeyError):  # a version that does not count all of it
        return {(name, ""): value for name, value in DERIVED[engine](dict(totals)).items()}
    return {}
