"""One concurrency level: from the spec to samples in a Parquet file."""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace

from shapebench.load import workers
from shapebench.load.counters import Progress
from shapebench.load.plan import LevelPlan
from shapebench.load.prompts import RequestMix
from shapebench.load.workers import Outcome
from shapebench.probe.client import Client, target
from shapebench.probe.endpoint_errors import EndpointError
from shapebench.probe.endpoint_secrets import request_credentials
from shapebench.runs.records import Calibration, LevelRun, RequestedLoad, Run, ServerFacts
from shapebench.runs.resume import attempt
from shapebench.runs.samples_file import server_addresses
from shapebench.server_metrics import exposition
from shapebench.server_metrics.scraper import Scraper
from shapebench.sizing.shapes import memory_bandwidth_bytes_per_s
from shapebench.spec.model import Spec
from shapebench.spec.slo import slo_bounds
from shapebench.support.wording import listed

LOOKS = 3  # to tell a server that changed from several that take turns


def plan(run: Run, facts: ServerFacts, concurrency: int, processes: int) -> LevelPlan:
    """Make the plan for the measuring processes."""
    spec = run.spec
    return LevelPlan(
        target=target(
            spec.endpoint, spec.workload, facts.server_profile, enforce_output_tokens=enforces_output(spec, facts)
        ),
        mix=_mix(run, facts, concurrency),
        concurrency=concurrency,
        requests=spec.load.requests_at(concurrency),
        duration_s=spec.load.duration_at(concurrency),
        until_precise=spec.load.until_precise,
        warmup_requests=concurrency * spec.load.warmup_requests_per_stream,
        request_timeout_s=spec.load.request_timeout_s,
        stall_timeout_s=spec.load.stall_timeout_s,
        processes=processes,
        samples=str(run.samples_at(concurrency)),
    )


def _mix(run: Run, facts: ServerFacts, concurrency: int) -> RequestMix:
    """Make the request mix, by another seed where the level was begun before: the server knows the prompts of that."""
    inputs, outputs = run.spec.workload.input_tokens, run.spec.workload.output_tokens
    tries = attempt(run, concurrency)
    seed = run.seed if tries == 1 else random.Random(f"{run.seed}/{tries}").getrandbits(48)
    return RequestMix(facts.sizing, inputs.lengths, outputs.lengths, seed)


def enforces_output(spec: Spec, facts: ServerFacts) -> bool:
    if facts.server_profile:
        return facts.server_profile.enforces_output
    asked = spec.workload.enforce_output_tokens
    return facts.is_vllm if asked is None else asked


def measure_level(
    run: Run, facts: ServerFacts, calibration: Calibration, on_progress: Callable[[Progress], None]
) -> LevelRun:
    """Measure one level in worker processes, and scrape the server's metrics meanwhile.

    Errors are in the result; nothing is raised for them.
    """
    level = plan(run, facts, calibration.concurrency, calibration.processes)
    profile = facts.server_profile
    with Client(run.spec.endpoint, path=profile.path if profile else None) as client:
        with Scraper(client.metrics) as scraper:
            outcome = workers.run_workers(level, request_credentials(run.spec.endpoint), on_progress)
            if not outcome.error:
                scraper.scrape_at_end()
        changes, doubt = ((), None) if outcome.error else _changes(facts.identity, client, _servers(outcome))
    return replace(
        _measured(run, facts, level, outcome),
        calibration=calibration if run.spec.load.calibrate else None,
        server_metrics=scraper.write(run.server_metrics_at(level.concurrency)),
        server_error=scraper.error or doubt,
        server_changes=changes,
    )


def _measured(run: Run, facts: ServerFacts, level: LevelPlan, outcome: Outcome) -> LevelRun:
    return LevelRun(
        run_id=run.run_id,
        concurrency=level.concurrency,
        planned_requests=_planned(level, outcome),
        started_at=outcome.started_at,
        wall_s=outcome.wall_s,
        timestamps=outcome.timestamps,
        samples=outcome.samples,
        enforced_output_tokens=level.target.enforce_output_tokens,
        exact_prompts=facts.sizing.exact,
        client=outcome.client,
        error=outcome.error,
        stopped=outcome.stopped,
        until_precise=level.until_precise,
        requested=_requested(run.spec, facts),
        slo_bounds=slo_bounds(run.spec.limits.slos),
        is_vllm=facts.is_vllm,
        fingerprint=facts.fingerprint,
    )


def _requested(spec: Spec, facts: ServerFacts) -> RequestedLoad:
    weights_bytes, bandwidth = spec.endpoint.weights_bytes, memory_bandwidth_bytes_per_s(spec.endpoint.shape)
    return RequestedLoad(
        input_tokens=spec.workload.input_tokens.lengths,
        output_tokens=spec.workload.output_tokens.lengths,
        shared_tokens=facts.sizing.fixed_tokens,
        weights_read_s=weights_bytes / bandwidth if weights_bytes and bandwidth else None,
    )


def _servers(outcome: Outcome) -> list[str]:
    """List the addresses that answered the level's requests."""
    return server_addresses(outcome.samples) if outcome.samples else []


def _changes(before: dict[str, str], client: Client, servers: Sequence[str] = ()) -> tuple[tuple[str, ...], str | None]:
    """Compare the server's identity with what the probe saw; return the changes, or else why it cannot be compared."""
    if len(servers) > 1:
        return (), f"{len(servers)} servers answered ({listed(servers)}), and what one of them reports is not of all"
    try:
        now = client.identity()
        changed = exposition.list_changes(before, now)
        if changed and any(client.identity() != now for _ in range(LOOKS)):
            return (), "its identity changes from one answer to the next: several servers share this address"
        if "model" in before and "model" not in now:
            client.models()  # says why it does not list them any more
    except EndpointError as error:
        return (), f"its identity can no longer be read ({error.problem})"
    return tuple(changed), None


def _planned(level: LevelPlan, outcome: Outcome) -> int:
    """Count the planned requests; where time or precision may end the level, those that were sent."""
    if level.requests and (outcome.error or not (level.duration_s or level.until_precise)):
        return level.requests
    return max(1, outcome.sent)
