"""Where a run's numbers come from: what was asked, of whom, with what, and how to do it again."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import yaml
from pydantic import BaseModel

from shapebench.report.pages.columns import ABSENT
from shapebench.results.views import RunRow
from shapebench.spec.model import Endpoint, Limits, Load, Workload
from shapebench.support.redact import redact

_SECTIONS: dict[str, type[BaseModel]] = {"endpoint": Endpoint, "workload": Workload, "load": Load, "limits": Limits}
_FACTS = {
    "server": "Server",
    "version": "Server version",
    "models": "Models served",
    "max_model_len": "Longest context (tokens)",
    "fingerprint": "Fingerprint",
}
_WHERE_TOLD = {"root": "Model read from", "revision": "Model revision"}
_CACHE = {  # of what vLLM says in vllm:cache_config_info
    "gpu_memory_utilization": "Share of GPU memory used",
    "cache_dtype": "KV cache, numbers",
    "block_size": "KV cache, tokens in a block",
    "num_gpu_blocks": "KV cache, blocks",
    "enable_prefix_caching": "Prefix caching",
}
_INSTANCE = {
    "shape": "Shape, by OCI's metadata",
    "ocpus": "OCPUs",
    "memory_gb": "Memory (GB)",
    "gpus": "GPUs, by OCI's metadata",
    "processor": "Processor",
    "region": "Region",
    "availability_domain": "Availability domain",
    "image": "Image",
}
_GPU = {
    "name": "{}",
    "driver_version": "driver {}",
    "memory_mib": "{:,} MiB",
    "sm_clock_mhz": "SM clock {:,} MHz",
    "sm_clock_max_mhz": "at most {:,} MHz",
    "memory_clock_max_mhz": "memory clock at most {:,} MHz",
    "power_limit_w": "power limit {:g} W",
    "ecc": "ECC {}",
    "mig": "MIG {}",
}


def origin(run: RunRow) -> dict[str, Any]:
    return {
        "url": redact(run["url"]),
        "started": utc(run["started_at"]),
        "took": duration(run),
        "interrupted": interrupted(run),
        "settings": _settings(run),
        "recipe": _recipe(run),
    }


def measured_how(run: RunRow) -> list[str]:
    """The same in sentences; the first says when and where."""
    began, server = utc(run["started_at"]), run["facts"].get("server")
    version = run["facts"].get("version") or ""
    where = f"at {redact(run['url'])}, in {duration(run)}, as run {run['run_id']}."
    told = [f"Measured {began:%Y-%m-%d %H:%M} UTC {where} {interrupted(run)}"]
    told += [f"Server: {redact(f'{server} {version}').strip()}."] if server else []
    told += [f"{name.capitalize()}: {_brief(run['spec'], name)}." for name in ("workload", "load") if run["spec"]]
    told += [f"Measured by {_brief_versions(run)}; seed {run['seed']}."] if run["versions"] else []
    return told


def _brief(spec: dict[str, Any], name: str) -> str:
    """What was asked for, without what was left open."""
    titles = _titles(_SECTIONS[name])
    given = {key: value for key, value in spec.get(name, {}).items() if value not in (None, "", [], {})}
    told = (f"{titles.get(key, key)} {_shown(value)}" for key, value in given.items() if key != "seed")
    return "; ".join(f"{words[0].lower()}{words[1:]}" for words in told)


def _brief_versions(run: RunRow) -> str:
    versions = {name: run["versions"].get(name) for name in ("shapebench", "python")}
    revision = [f"git {run['git_revision'][:12]}"] if run["git_revision"] else []
    return ", ".join([*(f"{name} {version}" for name, version in versions.items() if version), *revision])


def _settings(run: RunRow) -> dict[str, list[tuple[str, str]]]:
    """Tables of what was run, by their headings."""
    spec = {name: _rows(run["spec"].get(name, {}), _titles(model)) for name, model in _SECTIONS.items()}
    tables = {
        "Run": _rows(_run(run), {}),
        "Server": [
            *_rows({key: run["facts"].get(key) for key in _FACTS}, _FACTS),
            *_told(run["facts"], _WHERE_TOLD),
            *_told(run["facts"].get("identity") or {}, _CACHE),
            *_host(run["facts"].get("host") or {}),
        ],
        **{name.capitalize(): rows for name, rows in spec.items()},
        "Client machine": _rows(run["machine"], {}),
        "Versions": sorted(_rows(run["versions"], {name: name for name in run["versions"]})),
    }
    return {heading: rows for heading, rows in tables.items() if rows}


def _told(values: dict[str, Any], titles: dict[str, str]) -> list[tuple[str, str]]:
    """Only what is known; vLLM says None where it has nothing to say."""
    return _rows({key: values[key] for key in titles if values.get(key) not in (None, [], "None")}, titles)


def _host(host: dict[str, Any]) -> list[tuple[str, str]]:
    """Of the machine that serves, where it was asked: its instance, its GPUs, those that are alike together."""
    alike = Counter(", ".join(_gpu(gpu)) for gpu in host.get("gpus", ()))
    gpus = [f"{count} x {text}" for text, count in alike.items()]
    rest = {"command": "Command line", "unknown": "Not found out"}
    instance = _told(host.get("instance") or {}, _INSTANCE)
    return [*instance, *(("GPU, by its driver", redact(gpu)) for gpu in gpus), *_told(host, rest)]


def _gpu(gpu: dict[str, Any]) -> Iterator[str]:
    return (form.format(gpu[name]) for name, form in _GPU.items() if gpu.get(name) is not None)


def _run(run: RunRow) -> dict[str, Any]:
    resumed = [f"{utc(at):%Y-%m-%d %H:%M} UTC" for at in run.get("resumed_at") or ()]
    resumes = {"resumed": resumed, "skipped levels": run.get("skipped_levels") or []} if interrupted(run) else {}
    seed = None if run["seed"] is None else str(run["seed"])  # a name, not a quantity
    return {"run": run["run_id"], "seed": seed, "git revision": run["git_revision"], **resumes}


def interrupted(run: RunRow) -> str:
    """That a run was broken off and went on, and what was given up; nothing where it was not."""
    times, given_up = len(run.get("resumed_at") or ()), run.get("skipped_levels") or []
    resumed = f"Interrupted and resumed {times} time{'' if times == 1 else 's'}" if times else ""
    levels = f"skipped levels: {', '.join(map(str, given_up))}" if given_up else ""
    said = "; ".join(filter(None, [resumed, levels]))
    return f"{said[:1].upper()}{said[1:]}." if said else ""


def _titles(model: type[BaseModel]) -> dict[str, str]:
    return {name: field.title or name for name, field in model.model_fields.items()}


def _rows(values: dict[str, Any], titles: dict[str, str]) -> list[tuple[str, str]]:
    return [(titles.get(key, _as_words(key)), _shown(value)) for key, value in values.items()]


def _as_words(key: str) -> str:
    words = key.replace("_", " ")
    return f"{words[:1].upper()}{words[1:]}"


def _shown(value: Any) -> str:
    if value is None or value in ("", [], {}):
        return ABSENT
    match value:
        case bool():
            return "yes" if value else "no"
        case int() | float():
            return f"{value:,.15g}"
        case dict():
            return ", ".join(f"{key.replace('_', ' ')} {_shown(item)}" for key, item in value.items())
        case list():
            return ", ".join(map(_shown, value))
    return redact(str(value))


def _recipe(run: RunRow) -> str:
    """The spec that repeats the run, as YAML; nothing where another tool measured."""
    if not run["spec"]:
        return ""
    spec = {name: dict(run["spec"][name]) for name in _SECTIONS}
    spec["workload"]["seed"] = run["seed"]
    spec["endpoint"] = {key: _redacted(value) for key, value in spec["endpoint"].items() if value is not None}
    return yaml.safe_dump(spec, sort_keys=False, allow_unicode=True, width=100)


def _redacted(value: Any) -> Any:
    return redact(value) if isinstance(value, str) else value


def utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def duration(run: RunRow) -> str:
    if pd.isna(run["finished_at"]):
        return ABSENT
    took: timedelta = utc(run["finished_at"]) - utc(run["started_at"])
    minutes, seconds = divmod(round(took.total_seconds()), 60)
    return f"{minutes} min {seconds} s"
