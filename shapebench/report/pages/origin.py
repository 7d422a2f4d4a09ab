"""The test setup of a run: endpoint, server, load, client, versions, and a spec that repeats it."""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import yaml
from pydantic import BaseModel

from shapebench.apis.profile import COUNTED_BY
from shapebench.apis.reading import TokenSource
from shapebench.report.pages.columns import ABSENT
from shapebench.results.views import RunRow
from shapebench.spec.model import Endpoint, Limits, Load, Workload
from shapebench.support.redact import redact
from shapebench.support.wording import listed

_SECTIONS: dict[str, type[BaseModel]] = {"endpoint": Endpoint, "workload": Workload, "load": Load, "limits": Limits}
_FACTS = {
    "server": "Server",
    "version": "Server version",
    "models": "Models served",
    "max_model_len": "Longest context (tokens)",
    "fingerprint": "Fingerprint",
}
_OPTIONAL_FACTS = {"root": "Model read from", "revision": "Model revision"}
_CACHE = {  # from vllm:cache_config_info
    "gpu_memory_utilization": "Share of GPU memory used",
    "cache_dtype": "KV cache, numbers",
    "block_size": "KV cache, tokens in a block",
    "num_gpu_blocks": "KV cache, blocks",
    "enable_prefix_caching": "Prefix caching",
}
_PROFILE = {  # apis.profile.ServerProfile
    "path": "Path",
    "dropped_fields": "Fields left out",
    "renamed_fields": "Fields renamed",
    "end_marker": "End marker in streams",
    "usage": "Usage in streams",
    "token_source": "Tokens counted by",
    "continuous_usage": "Usage requested in each chunk",
    "tokens_per_chunk": "Tokens in a chunk",
    "reasoning": "Reasons before it answers",
    "enforces_output": "Lengths of answers enforced",
    "rate_limit_waited_s": "Waited for rate limit (s)",
}
_INSTANCE = {
    "shape": "Shape (OCI metadata)",
    "ocpus": "OCPUs",
    "memory_gb": "Memory (GB)",
    "gpus": "GPUs (OCI metadata)",
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
    "sm_clock_max_mhz": "max. {:,} MHz",
    "memory_clock_max_mhz": "memory clock max. {:,} MHz",
    "power_limit_w": "power limit {:g} W",
    "ecc": "ECC {}",
    "mig": "MIG {}",
}


def origin(run: RunRow, servers: Sequence[str] = ()) -> dict[str, Any]:
    """Return the variables of the template about a run's test setup."""
    return {
        "url": redact(run["url"]),
        "started": utc(run["started_at"]),
        "took": duration(run),
        "interrupted": interrupted(run),
        "settings": _settings(run),
        "server_notes": server_notes(run, servers),
        "recipe": _recipe(run),
    }


def setup_sentences(run: RunRow) -> list[str]:
    """Describe the test setup in sentences; the first has time and place."""
    started, server = utc(run["started_at"]), run["facts"].get("server")
    version = run["facts"].get("version") or ""
    where = f"at {redact(run['url'])}, in {duration(run)}, as run {run['run_id']}."
    sentences = [f"Measured {started:%Y-%m-%d %H:%M} UTC {where} {interrupted(run)}"]
    sentences += [f"Server: {redact(f'{server} {version}').strip()}."] if server else []
    sentences += [f"{name.capitalize()}: {_brief(run['spec'], name)}." for name in ("workload", "load") if run["spec"]]
    sentences += [f"Measured by {_brief_versions(run)}; seed {run['seed']}."] if run["versions"] else []
    return sentences


def _brief(spec: dict[str, Any], name: str) -> str:
    """Describe a section of the spec in one line, without settings that are empty."""
    titles = _titles(_SECTIONS[name])
    given = {key: value for key, value in spec.get(name, {}).items() if value not in (None, "", [], {})}
    told = (f"{titles.get(key, key)} {_shown(value)}" for key, value in given.items() if key != "seed")
    return "; ".join(f"{words[0].lower()}{words[1:]}" for words in told)


def _brief_versions(run: RunRow) -> str:
    versions = {name: run["versions"].get(name) for name in ("shapebench", "python")}
    revision = [f"git {run['git_revision'][:12]}"] if run["git_revision"] else []
    return ", ".join([*(f"{name} {version}" for name, version in versions.items() if version), *revision])


def _settings(run: RunRow) -> dict[str, list[tuple[str, str]]]:
    """Return the tables of the test setup by heading."""
    spec = {name: _rows(run["spec"].get(name, {}), _titles(model)) for name, model in _SECTIONS.items()}
    tables = {
        "Run": _rows(_run(run), {}),
        "Server": [
            *_rows({key: run["facts"].get(key) for key in _FACTS}, _FACTS),
            *_known(run["facts"], _OPTIONAL_FACTS),
            *_known(run["facts"].get("identity") or {}, _CACHE),
            *_host(run["facts"].get("host") or {}),
        ],
        "Server profile": _profile(run["facts"].get("server_profile") or {}),
        **{name.capitalize(): rows for name, rows in spec.items()},
        "Client machine": _rows(run["machine"], {}),
        "Versions": sorted(_rows(run["versions"], {name: name for name in run["versions"]})),
    }
    return {heading: rows for heading, rows in tables.items() if rows}


def _profile(profile: dict[str, Any]) -> list[tuple[str, str]]:
    """Return rows about how the server is asked, and how it answers."""
    if not profile:
        return []
    source: TokenSource = profile["token_source"]
    told = {"token_source": COUNTED_BY[source], "usage": _USAGE[profile["usage"]]}
    if (per_chunk := profile["tokens_per_chunk"]) is not None:
        told["tokens_per_chunk"] = f"{per_chunk:.3g}"
    shown = {key: {**profile, **told}[key] for key in _PROFILE}
    return _rows(
        {key: value for key, value in shown.items() if value not in (None, [], {}, 0.0) or value is False}, _PROFILE
    )


def server_notes(run: RunRow, servers: Sequence[str]) -> list[str]:
    """Say in sentences what is unusual about the server, and how many answered where there were several."""
    notes = [redact(note) for note in (run["facts"].get("server_profile") or {}).get("notes", ())]
    several = f"{len(servers)} servers answered at the name of the endpoint: {listed(servers)}."
    return [*notes, several] if len(servers) > 1 else notes


_USAGE = {"final": "at the end", "running": "in each chunk", "none": "none"}


def _known(values: dict[str, Any], titles: dict[str, str]) -> list[tuple[str, str]]:
    """Return the rows with a value; vLLM reports None for unset options."""
    return _rows({key: values[key] for key in titles if values.get(key) not in (None, [], "None")}, titles)


def _host(host: dict[str, Any]) -> list[tuple[str, str]]:
    """Return rows about the serving machine: instance, GPUs (identical ones in one row) and command."""
    counts = Counter(", ".join(_gpu(gpu)) for gpu in host.get("gpus", ()))
    gpus = [f"{count} x {text}" for text, count in counts.items()]
    rest = {"command": "Command line", "unknown": "Unknown"}
    instance = _known(host.get("instance") or {}, _INSTANCE)
    return [*instance, *(("GPU (driver)", redact(gpu)) for gpu in gpus), *_known(host, rest)]


def _gpu(gpu: dict[str, Any]) -> Iterator[str]:
    return (form.format(gpu[name]) for name, form in _GPU.items() if gpu.get(name) is not None)


def _run(run: RunRow) -> dict[str, Any]:
    resumed = [f"{utc(at):%Y-%m-%d %H:%M} UTC" for at in run.get("resumed_at") or ()]
    resumes = {"resumed": resumed, "skipped levels": run.get("skipped_levels") or []} if interrupted(run) else {}
    seed = None if run["seed"] is None else str(run["seed"])  # a name, not a quantity
    return {"run": run["run_id"], "seed": seed, "git revision": run["git_revision"], **resumes}


def interrupted(run: RunRow) -> str:
    """Say that a run was interrupted and resumed, and which levels it skipped; empty otherwise."""
    times, skipped = len(run.get("resumed_at") or ()), run.get("skipped_levels") or []
    resumed = f"Interrupted and resumed {times} time{'' if times == 1 else 's'}" if times else ""
    levels = f"skipped levels: {', '.join(map(str, skipped))}" if skipped else ""
    text = "; ".join(filter(None, [resumed, levels]))
    return f"{text[:1].upper()}{text[1:]}." if text else ""


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
    """Return the spec that repeats the run as YAML, empty where another tool measured."""
    if not run["spec"]:
        return ""
    spec = {name: dict(run["spec"][name]) for name in _SECTIONS}
    spec["workload"]["seed"] = run["seed"]
    spec["endpoint"] = {key: _redacted(value) for key, value in spec["endpoint"].items() if value is not None}
    return yaml.safe_dump(spec, sort_keys=False, allow_unicode=True, width=100)


def _redacted(value: Any) -> Any:
    return redact(value) if isinstance(value, str) else value


def utc(moment: datetime) -> datetime:
    """Return a moment in UTC; one without a zone is in UTC already."""
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def duration(run: RunRow) -> str:
    """Return how long a run took, as "2 min 31 s"."""
    if pd.isna(run["finished_at"]):
        return ABSENT
    took: timedelta = utc(run["finished_at"]) - utc(run["started_at"])
    minutes, seconds = divmod(round(took.total_seconds()), 60)
    return f"{minutes} min {seconds} s"
