"""What a level gave of an SLO, as a part of a sentence."""

from dataclasses import dataclass

from shapebench.spec import metric_definitions
from shapebench.spec.slo import Held

ASKED = {"<=": "at most", ">=": "at least"}
MISSED = {"<=": "more than", ">=": "less than"}
UNITS = {"s": " s", "ms": " ms", "tokens/s": " tokens/s", "requests/s": " requests/s"}
LABELS = {m.name: m.label[0].lower() + m.label[1:] for m in metric_definitions.METRICS}
UNIT_OF = {m.name: m.unit for m in metric_definitions.METRICS}


@dataclass(frozen=True)
class Form:
    """`gives` for an SLO that is kept, `lacks` for one that is not."""

    gives: str
    lacks: str


QUERY = Form(
    "each query gets {value} tokens/s on average (at least {bound} are wanted)",
    "each query gets {value} tokens/s on average, less than {bound}",
)
TTFT = Form(
    "{share} first tokens come within {value}{unit} (at most {bound}{unit} is wanted)",
    "the {named} is {value}{unit}, more than {bound}{unit}",
)
ANY = Form(
    "the {named} is {value}{unit} ({asked} {bound}{unit} is wanted)",
    "the {named} is {value}{unit}, {missed} {bound}{unit}",
)
FORMS = {("query_tokens_per_s_mean", ">="): QUERY, ("ttft_s_p95", "<="): TTFT}


def gives(held: Held) -> str:
    return _form(held).gives.format(**_words(held))


def lacks(held: Held) -> str:
    return _form(held).lacks.format(**_words(held))


def by_the_worst(held: Held) -> str:
    """That the worst request was judged in place of a percentile that is withheld."""
    if _form(held) is TTFT:
        return "too few requests completed for a 95th percentile: all first tokens had to come in time"
    worst = _named(held.slo.metric, held.stat)
    return f"too few requests completed for the {_named(held.slo.metric, held.slo.stat)}: the {worst} was judged"


def _form(held: Held) -> Form:
    return FORMS.get((held.slo.column, held.slo.sign), ANY)


def _words(held: Held) -> dict[str, str]:
    scale, unit = _scale(held)
    value, bound = apart(held.value * scale, held.slo.bound * scale)
    return {
        "value": value,
        "bound": bound,
        "unit": unit,
        "named": _named(held.slo.metric, held.stat),
        "share": "95% of" if held.stat == held.slo.stat else "all",
        "asked": ASKED[held.slo.sign],
        "missed": MISSED[held.slo.sign],
    }


def _scale(held: Held) -> tuple[float, str]:
    """What a number is multiplied by to be shown, and the unit after it; times below a second are in ms."""
    unit = UNIT_OF[held.slo.metric]
    return (1000, UNITS["ms"]) if unit == "s" and held.slo.bound < 1 else (1, UNITS.get(unit, ""))


def _named(metric: str, stat: str) -> str:
    of = LABELS[metric]
    long, short = ("longest", "shortest") if UNIT_OF[metric] == "s" else ("greatest", "least")
    percentiles = {name: f"{p}th percentile of the {of}" for name, p in metric_definitions.PERCENTILES.items()}
    others = {"mean": f"mean {of}", "stddev": f"standard deviation of the {of}", "max": f"{long} {of}"}
    return {**percentiles, **others, "min": f"{short} {of}", metric_definitions.TOTAL: of}[stat]


def apart(value: float, bound: float) -> tuple[str, str]:
    """Both numbers to three significant digits, or to as many as it takes for different numbers to read differently."""
    pairs = ((_rounded(value, digits), _rounded(bound, digits)) for digits in range(3, 17))
    return next((pair for pair in pairs if value == bound or pair[0] != pair[1]), (repr(value), repr(bound)))


def _rounded(value: float, digits: int) -> str:
    return f"{float(f'{value:.{digits}g}'):,.15g}"
