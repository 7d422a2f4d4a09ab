"""JSON schemas of what commands print with `--json`: `python -m cli.json_schemas` writes them to docs/schemas.

Types of the code are used where there are any. A key may be added without a change of version, so an object may have
more keys than its schema names.
"""

import json
from pathlib import Path
from typing import Any, Literal, get_type_hints

from pydantic import TypeAdapter

from cli.doctor import Check
from shapebench.apis.profile import ServerProfile
from shapebench.apis.reading import TokenSource
from shapebench.apis.token_counts import TokenCounts
from shapebench.results.imports.taken import Imported
from shapebench.results.views import LevelRow
from shapebench.runs.progress_events import EVENTS
from shapebench.runs.records import Artifact, Calibration, Finding, Link, Status
from shapebench.sizing.shapes import Shape
from shapebench.spec.metric_definitions import COLUMNS, DISTRIBUTIONS, STATS, TOTALS
from shapebench.spec.presets import Preset

FOLDER = Path(__file__).parents[1] / "docs" / "schemas"
Schema = dict[str, Any]


def of(kind: Any) -> Schema:
    """Return the schema of a type as it is printed."""
    return dict(TypeAdapter(kind).json_schema(mode="serialization"))


def record(properties: dict[str, Schema], *, optional: dict[str, Schema] | None = None) -> Schema:
    """Return the schema of an object that has all of these properties and may have the optional ones."""
    return {"type": "object", "properties": {**properties, **(optional or {})}, "required": [*properties]}


def rows(item: Schema) -> Schema:
    return {"type": "array", "items": item}


def merged(*parts: Schema) -> Schema:
    """Return the schema of an object with the properties of all parts."""
    required = [name for part in parts for name in part.get("required", ())]
    defs = {name: schema for part in parts for name, schema in part.get("$defs", {}).items()}
    properties = {name: schema for part in parts for name, schema in part["properties"].items()}
    return {"type": "object", "properties": properties, "required": required, "$defs": defs}


TEXT, WHOLE, NUMBER, YES_OR_NO = of(str), of(int), of(float), of(bool)
TEXTS, WHOLES = of(list[str]), of(list[int])
MAYBE_TEXT, MAYBE_WHOLE, MAYBE_NUMBER = of(str | None), of(int | None), of(float | None)
INTERVAL = of(list[float | None] | None)  # its ends; null where it is not known
ROW = {"type": "object"}  # the columns are those of the query or view

METRICS = record(
    {m.name: MAYBE_NUMBER for m in TOTALS} | {m.name: record(dict.fromkeys(STATS, MAYBE_NUMBER)) for m in DISTRIBUTIONS}
)
LEVEL = merged(
    record({name: of(kind) for name, kind in get_type_hints(LevelRow).items()}),
    record(dict.fromkeys(COLUMNS, MAYBE_NUMBER)),
)
MEASURE = merged(
    record(
        {
            "concurrency": WHOLE,
            "completed": WHOLE,
            "failed": WHOLE,
            "timestamps": of(Literal["kernel", "user"]),
            "token_counts": of(TokenCounts | None),
            "token_source": of(TokenSource | None),
            "wall_s": NUMBER,
        }
    ),
    METRICS,
    record(
        {
            "withheld": TEXTS,
            "errors": of(dict[str, int]),
            "timeline": rows(record({"at_s": NUMBER, "busy_streams": NUMBER, "tokens_per_s": NUMBER})),
            "client": of(dict[str, float]),
            "calibration": of(Calibration | None),
            "server_profile": of(ServerProfile | None),
        }
    ),
)
SLO_RESULT = record(
    {
        "concurrency": WHOLE,
        "slo": TEXT,
        **dict.fromkeys(("value", "low", "high", "margin"), MAYBE_NUMBER),
        "passes": of(bool | None),
    }
)
RUN = record(
    {
        "run_id": TEXT,
        "verdict": of(Status),
        "headline": TEXT,
        "sentences": TEXTS,
        "findings": of(list[Finding]),
        "levels": rows(LEVEL),
        "slos": rows(SLO_RESULT),
        "database": TEXT,
        "report": TEXT,
        "published": of(list[Artifact]),
        "publish_error": MAYBE_TEXT,
        "resumes": WHOLE,
        "skipped_levels": WHOLES,
        "server_profile": of(ServerProfile | None),
    }
)
SEARCH = record(
    {
        "greatest_concurrency": MAYBE_WHOLE,
        "interval": of(list[int | None]),
        "limited_by": MAYBE_TEXT,
        "unusable": WHOLES,
    }
)
COMPARED = {"runs": TEXTS, "headline": TEXT, "sentences": TEXTS, "page": TEXT}
DIFFERENCE = record(
    {
        "concurrency": WHOLE,
        "metric": TEXT,
        "stat": TEXT,
        **dict.fromkeys(
            ("before", "after", "difference", "ratio", "difference_low", "difference_high"),
            MAYBE_NUMBER,
        ),
        "verdict": MAYBE_TEXT,
        "before_verdict": of(Status),
        "after_verdict": of(Status),
    }
)
CHANGES = record({"view": of(Literal["changes"]), **COMPARED, "differences": rows(DIFFERENCE)})
PRICED = ("per_million_output_tokens", "per_user_hour", "instances", "fleet_per_hour")
RANKED = record(
    {
        "run_id": TEXT,
        "shape": TEXT,
        "greatest": MAYBE_WHOLE,
        "greatest_interval": INTERVAL,
        "limited_by": MAYBE_TEXT,
        "system_tokens_per_s": MAYBE_NUMBER,
        "price_per_hour": MAYBE_NUMBER,
        **dict.fromkeys(PRICED, MAYBE_NUMBER),
        **{f"{name}_interval": INTERVAL for name in PRICED},
    }
)
RANKING = record({"view": of(Literal["shapes"]), **COMPARED, "slos": TEXTS, "ranking": rows(RANKED)})
HISTORY = record({"view": of(Literal["history"]), **COMPARED}, optional={"severity": TEXT, "worse": rows(ROW)})
ESTIMATE = record(
    {
        "model": record(
            {"name": TEXT, "parameters": WHOLE, "active_parameters": WHOLE, "dtype": TEXT, "weights_bytes": NUMBER}
        ),
        "workload": record({"input_tokens": WHOLE, "output_tokens": WHOLE, "concurrency": WHOLE}),
        "serving": record({"tensor_parallel": MAYBE_WHOLE, "gpu_memory_utilization": NUMBER}),
        "shapes": rows(
            record(
                {
                    "shape": TEXT,
                    "cloud": TEXT,
                    "processor": TEXT,
                    "fits": of(bool | None),
                    "why_not": MAYBE_TEXT,
                    "single": of(dict[str, object] | None),
                    "loaded": of(dict[str, object] | None),
                    "price": of(dict[str, object] | None),
                    "cost_per_million_output_tokens": MAYBE_NUMBER,
                }
            )
        ),
        "note": TEXT,
    }
)
SCALING = record(
    {
        "saturated": of(bool | None),
        "knee": MAYBE_WHOLE,
        "knee_interval": INTERVAL,
        "collapses": of(bool | None),
        "peak": of(dict[str, float] | None),
        "headroom": of(dict[str, object] | None),
        "usl": of(dict[str, object] | None),
        "noise": of(dict[str, object] | None),
        "points": rows(record({"concurrency": WHOLE, "system_tokens_per_s": NUMBER})),
        "impossible_rows": rows(ROW),
        "sentences": TEXTS,
    }
)
SHARED = record({"files": of(list[Artifact]), "link": of(Link)})

SCHEMAS: dict[str, tuple[str, Schema]] = {
    "measure": ("One level. Metrics with stats are objects; null where the level does not have the number.", MEASURE),
    "run": ("A finished run. `levels` are rows of level_summary.", RUN),
    "resume": ("A finished run, as `run` prints it.", RUN),
    "capacity": ("The result of a search, then what `run` prints.", merged(SEARCH, RUN)),
    "choose": ("A ranking of machines, the best first, and the endpoints that failed.",
               merged(RANKING, record({"failures": TEXTS}))),
    "compare": ("What `view` says: changes, shapes or history.", {"anyOf": [CHANGES, RANKING, HISTORY]}),
    "report": ("Where the report is.", record({"run_id": TEXT, "report": TEXT})),
    "publish": ("The files; with --share-for-days the link, too.", {"anyOf": [of(list[Artifact]), SHARED]}),
    "runs": ("Runs, newest first.", rows(record({"run_id": TEXT}))),
    "query": ("Rows of the answer; dates are ISO 8601.", rows(ROW)),
    "import": ("The runs that were imported.", of(list[Imported])),
    "export": ("The files that were written.", record({"run_id": TEXT, "format": TEXT, "files": TEXTS})),
    "prune": ("How many rows were dropped.", record({"dropped_rows": WHOLE})),
    "site": ("The index, and the files that were written.", record({"index": TEXT, "written": TEXTS})),
    "estimate": ("Whether a model fits shapes, and bounds on speed and cost.", ESTIMATE),
    "shapes": ("Known shapes.", of(list[Shape])),
    "workloads": ("Presets.", rows(merged(record({"name": TEXT}), of(Preset)))),
    "scaling": ("Where throughput stops growing.", SCALING),
    "doctor": ("What was checked; `ok` is null where there was nothing to check.", of(list[Check])),
}  # fmt: skip


def document(command: str) -> Schema:
    """Return the schema of a command's output, complete with its title and definitions."""
    description, schema = SCHEMAS[command]
    defs: Schema = {}
    body: Schema = _hoisted(schema, defs)
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"shapebench {command} --json",
        "description": description,
    }
    return head | body | ({"$defs": defs} if defs else {})


def _hoisted(schema: Any, defs: Schema) -> Any:
    """Return a schema without definitions inside, which go into `defs`."""
    if isinstance(schema, list):
        return [_hoisted(one, defs) for one in schema]
    if not isinstance(schema, dict):
        return schema
    defs.update({name: _hoisted(one, defs) for name, one in schema.get("$defs", {}).items()})
    return {key: _hoisted(value, defs) for key, value in schema.items() if key != "$defs"}


def text(command: str) -> str:
    """Return the content of a command's schema file."""
    return json.dumps(document(command), indent=2, ensure_ascii=False) + "\n"


def progress_text() -> str:
    """Return the content of the schema file of progress between processes."""
    return json.dumps(EVENTS.json_schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / "progress-events.schema.json").write_text(progress_text(), encoding="utf-8")
    for name in SCHEMAS:
        (FOLDER / f"{name}.schema.json").write_text(text(name), encoding="utf-8")
