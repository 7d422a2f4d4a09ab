"""Numbers with their units and SLOs, as people read them."""

from dataclasses import dataclass

from shapebench.spec import metric_definitions
from shapebench.spec.metric_definitions import TOTAL
from shapebench.spec.slo import Slo, SloResult

METRICS = {metric.name: metric for metric in metric_definitions.METRICS}
SYMBOLS = {"<=": "≤", ">=": "≥"}
WANTED = {"<=": "at most", ">=": "at least"}
MISSED = {"<=": "more than", ">=": "less than"}


def slo_label(slo: Slo) -> str:
    """Name an SLO in a few words, such as "TTFT p95 ≤ 500 ms" or "60 tokens/s per query"."""
    bound = _bound(slo)
    if (slo.column, slo.sign) == ("query_tokens_per_s_mean", ">="):
        return f"{bound} per query"
    stat = "" if slo.stat == TOTAL else f" {slo.stat}"
    return f"{METRICS[slo.metric].short}{stat} {SYMBOLS[slo.sign]} {bound}"


def _bound(slo: Slo) -> str:
    """Show a bound as it was given, not rounded to three digits."""
    scale, unit = _shown_unit(slo.metric, slo.bound)
    return f"{_rounded(slo.bound * scale, 12)}{unit}"


def quantity(metric: str, value: float) -> str:
    """Show a metric's value with its unit: to three digits, times below a second in ms, shares in percent."""
    scale, unit = _shown_unit(metric, value)
    return f"{_rounded(value * scale, 3)}{unit}"


def quantities(metric: str, first: float, second: float) -> tuple[str, str]:
    """Show two values of a metric in the unit of the second, with as many digits as make them differ."""
    scale, unit = _shown_unit(metric, second)
    one, other = distinct_numbers(first * scale, second * scale)
    return f"{one}{unit}", f"{other}{unit}"


def distinct_numbers(first: float, second: float) -> tuple[str, str]:
    """Show numbers to three digits, or to as many as it takes for different ones to read differently."""
    pairs = ((_rounded(first, digits), _rounded(second, digits)) for digits in range(3, 17))
    return next((pair for pair in pairs if first == second or pair[0] != pair[1]), (repr(first), repr(second)))


def _shown_unit(metric: str, value: float) -> tuple[float, str]:
    """The factor from the metric's unit to the one that is shown, and that one with the space before it."""
    unit = METRICS[metric].unit
    if unit == "s":
        return (1000, " ms") if abs(value) < 1 else (1, " s")
    if unit == "1":
        return 100, "%"
    return 1, {"1/min": " per minute", "count": ""}.get(unit, f" {unit}")


def _rounded(value: float, digits: int) -> str:
    return f"{float(f'{value:.{digits}g}'):,.15g}"


def stat_name(metric: str, stat: str) -> str:
    """Name a stat in a sentence, such as "95th percentile of the time to first token"."""
    label, unit = METRICS[metric].label, METRICS[metric].unit
    label = label[0].lower() + label[1:]
    if stat in metric_definitions.PERCENTILES:
        return f"{metric_definitions.PERCENTILES[stat]}th percentile of the {label}"
    longest, shortest = ("longest", "shortest") if unit == "s" else ("greatest", "least")
    return {
        "mean": f"mean {label}",
        "stddev": f"standard deviation of the {label}",
        "max": f"{longest} {label}",
        "min": f"{shortest} {label}",
        TOTAL: label,
    }[stat]


@dataclass(frozen=True)
class Sentences:
    """Templates for a level that meets an SLO, and for one that misses it."""

    met: str
    missed: str


QUERY = Sentences(
    "each query gets {value} on average (SLO: at least {bound})",
    "each query gets {value} on average, less than {bound}",
)
TTFT = Sentences(
    "{share} first tokens come within {value} (SLO: at most {bound})",
    "the {name} is {value}, more than {bound}",
)
ANY = Sentences(
    "the {name} is {value} (SLO: {wanted} {bound})",
    "the {name} is {value}, {missed} {bound}",
)
SENTENCES = {("query_tokens_per_s_mean", ">="): QUERY, ("ttft_s_p95", "<="): TTFT}


def slo_met(result: SloResult) -> str:
    """Say by which number a level meets an SLO."""
    return _sentences(result.slo).met.format(**_words(result))


def slo_missed(result: SloResult) -> str:
    """Say by which number a level misses an SLO."""
    return _sentences(result.slo).missed.format(**_words(result))


def percentile_withheld(result: SloResult) -> str:
    """Say that the worst request is evaluated in place of a percentile that is withheld."""
    if _sentences(result.slo) is TTFT:
        return "too few requests completed for a 95th percentile: all first tokens had to come in time"
    worst, percentile = (stat_name(result.slo.metric, stat) for stat in (result.stat, result.slo.stat))
    return f"too few requests completed for the {percentile}: the {worst} was evaluated"


def _sentences(slo: Slo) -> Sentences:
    return SENTENCES.get((slo.column, slo.sign), ANY)


def _words(result: SloResult) -> dict[str, str]:
    slo = result.slo
    value, _ = quantities(slo.metric, result.value, slo.bound)
    return {
        "value": value,
        "bound": _bound(slo),
        "name": stat_name(slo.metric, result.stat),
        "share": "95% of" if result.stat == slo.stat else "all",
        "wanted": WANTED[slo.sign],
        "missed": MISSED[slo.sign],
    }
