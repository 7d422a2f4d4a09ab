"""Facts of a run's server, and what changed about it since the first probe."""

from dataclasses import replace

from shapebench.runs import run_file
from shapebench.runs.records import Run, ServerFacts
from shapebench.server_metrics import exposition


def record_facts(run: Run, probed: ServerFacts) -> ServerFacts:
    """Record in run.json what a probe found, and return the run's facts.

    A run keeps the facts of its first probe; differences found by a later probe are changes, which make the levels
    measured after it invalid. A restart alone is no change. Requests go on as the first profile says.
    """
    content = run_file.load(run.spec.data, run.run_id)
    facts = _with_changes(content.facts, probed) if content.facts else probed
    run_file.save(replace(content, facts=facts))
    return facts


def _with_changes(first: ServerFacts, probed: ServerFacts) -> ServerFacts:
    found = exposition.list_changes(_described(first), _described(probed))
    started = {exposition.ITS_START: probed.identity.get(exposition.ITS_START)}
    identity = first.identity | {name: when for name, when in started.items() if when}
    profile = first.server_profile or probed.server_profile  # a run of an earlier version has none
    changes = tuple(dict.fromkeys((*first.changes, *found)))
    return replace(first, identity=identity, changes=changes, server_profile=profile)


def _described(facts: ServerFacts) -> dict[str, str]:
    return {**facts.identity, **({"its fingerprint": facts.fingerprint} if facts.fingerprint else {})}
