"""A metric is a line in `spec/metric_definitions.METRICS` and a function of the same name in `analysis/metrics.py`."""

import inspect

from shapebench.analysis import metrics
from shapebench.spec.metric_definitions import METRICS


def test_every_metric_has_a_function_of_its_name() -> None:
    missing = [m.name for m in METRICS if not callable(getattr(metrics, m.name, None))]
    assert not missing, f"write these functions in shapebench/analysis/metrics.py: {', '.join(missing)}"


def test_every_public_function_of_samples_is_a_metric_or_helps_one() -> None:
    helpers = {"wall_s", "with_slo_bounds", "from_server"}
    functions = [
        name
        for name, value in vars(metrics).items()
        if inspect.isfunction(value) and value.__module__ == metrics.__name__ and not name.startswith("_")
    ]
    unknown = set(functions) - {m.name for m in METRICS} - helpers
    assert not unknown, f"add a line to METRICS in shapebench/spec/metric_definitions.py for {', '.join(unknown)}"
