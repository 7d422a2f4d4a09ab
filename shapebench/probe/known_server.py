"""Is it still the server that the run began with?"""

from dataclasses import replace

from shapebench.runs import run_file
from shapebench.runs.records import Run, ServerFacts
from shapebench.server_metrics import vllm_metrics


def record_facts(run: Run, found: ServerFacts) -> ServerFacts:
    """Note in run.json what a probe has found.

    A run has the facts of its first probe, and what another finds otherwise is held against the levels measured after
    it. Only a new start alone is no other server.
    """
    content = run_file.load(run.spec.data, run.run_id)
    facts = _met_again(content.facts, found) if content.facts else found
    run_file.save(replace(content, facts=facts))
    return facts


def _met_again(first: ServerFacts, found: ServerFacts) -> ServerFacts:
    changes = vllm_metrics.changed(_said(first), _said(found))
    started = {vllm_metrics.ITS_START: found.identity.get(vllm_metrics.ITS_START)}
    identity = first.identity | {name: when for name, when in started.items() if when}
    return replace(first, identity=identity, changes=tuple(dict.fromkeys((*first.changes, *changes))))


def _said(facts: ServerFacts) -> dict[str, str]:
    return {**facts.identity, **({"its fingerprint": facts.fingerprint} if facts.fingerprint else {})}
