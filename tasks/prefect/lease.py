"""Prefect concurrency limit of one, held by a lease that is renewed: a holder that dies loses it.

Prefect's own `concurrency` does not show who holds a limit, and by which lease. This module does, so that a waiting
run can log whom it waits for, and does not wait for the lease of a run that Prefect knows to be dead.
"""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from threading import Event, Thread
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitUpdate
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterTags
from prefect.client.schemas.objects import ConcurrencyLeaseHolder, FlowRun
from prefect.client.schemas.sorting import FlowRunSort
from prefect.runtime import flow_run
from prefect.utilities.urls import url_for

from shapebench.support.timing import timing

logger = logging.getLogger("shapebench.probe")

LEASE_S = 60  # the minimum that Prefect allows: a holder whose death goes unnoticed loses it after that
STOP_TIMEOUT_S = 5
LABEL = "shapebench.lease"
LOCKED, GONE = 423, 410
RECENT = 50  # runs that are looked at to find who holds the limit


@contextmanager
def hold_lease(name: str, wait_for: Callable[[str], None]) -> Iterator[str]:
    """Hold the limit while the block runs; `wait_for` is called with the holder, and raises to stop waiting."""
    with get_client(sync_client=True) as client:
        client.upsert_global_concurrency_limit_by_name(name, 1)
        logger.info("Exclusive use by the Prefect concurrency limit %s", name)
        leases = [_wait_and_take(client, name, wait_for)]  # the last is in force
    try:
        with _renewed(name, leases):
            yield leases[0]
    finally:
        _return_lease(leases[-1])


def release_lease(lease: str) -> None:
    """End a lease of any holder; one that has ended already is ignored."""
    with get_client(sync_client=True) as client:
        client.release_concurrency_slots_with_lease(UUID(lease))


def _wait_and_take(client: SyncPrefectClient, name: str, wait_for: Callable[[str], None]) -> str:
    ended: set[str] = set()
    nobody_since_s: float | None = None
    while not (lease := _take(client, name)):
        runs = _former_holders(client, name)
        if dead := {str(run.labels[LABEL]) for run in runs if _died(run)} - ended:
            for lost in dead:
                release_lease(lost)
            ended |= dead
            continue
        holder = _holder(runs)
        wait_for(holder or "another flow run")
        nobody_since_s = None if holder else nobody_since_s or time.monotonic()
        # A restarted server that kept its leases in memory counts slots without a holder.
        if nobody_since_s and time.monotonic() - nobody_since_s > timing().lease_forgotten_s:
            logger.warning("No run holds %s, but the server counts its slot as taken: releasing it", name)
            client.update_global_concurrency_limit(name, GlobalConcurrencyLimitUpdate(active_slots=0))
        time.sleep(timing().lease_look_s)
    return lease


def _take(client: SyncPrefectClient, name: str) -> str | None:
    """Take a lease, recorded in a label and a tag of our flow run; None if another run has it."""
    us = UUID(flow_run.id)
    holder = ConcurrencyLeaseHolder(type="flow_run", id=us)
    try:
        answer = client.increment_concurrency_slots_with_lease([name], 1, "concurrency", LEASE_S, holder)
    except httpx.HTTPStatusError as error:
        if error.response.status_code != LOCKED:
            raise
        return None
    lease = str(answer.json()["lease_id"])
    client.update_flow_run(us, tags={*flow_run.tags, name})
    client.update_flow_run_labels(us, {LABEL: lease})
    return lease


def _died(run: FlowRun) -> bool:
    """Check whether Prefect knows that the run died; one that ended has returned its lease."""
    return run.state is not None and (run.state.is_crashed() or run.state.is_cancelled())


def _holder(runs: list[FlowRun]) -> str | None:
    """Name the newest run that has not ended, with a link to it."""
    alive = (run for run in runs if run.state and not run.state.is_final())
    return next((f"flow run {run.name}, {url_for(run) or run.id}" for run in alive), None)


def _former_holders(client: SyncPrefectClient, name: str) -> list[FlowRun]:
    """List flow runs that have held the limit, the newest first."""
    tagged = FlowRunFilter(tags=FlowRunFilterTags(all_=[name]))
    runs = client.read_flow_runs(flow_run_filter=tagged, sort=FlowRunSort.START_TIME_DESC, limit=RECENT)
    return [run for run in runs if LABEL in run.labels]


@contextmanager
def _renewed(name: str, leases: list[str]) -> Iterator[None]:
    done = Event()
    keep = Thread(target=copy_context().run, args=(_renew_until, done, name, leases), daemon=True)
    keep.start()
    try:
        yield
    finally:
        done.set()
        keep.join(STOP_TIMEOUT_S)


def _renew_until(done: Event, name: str, leases: list[str]) -> None:
    """Renew until done; measuring continues if the server is down or has lost the lease."""
    with get_client(sync_client=True) as client:
        while not done.wait(timing().lease_renewal_s):
            try:
                _renew(client, name, leases)
            except httpx.HTTPError as error:
                logger.warning("The lease of %s could not be renewed: %s", name, error)


def _renew(client: SyncPrefectClient, name: str, leases: list[str]) -> None:
    try:
        client.renew_concurrency_lease(UUID(leases[-1]), LEASE_S)
    except httpx.HTTPStatusError as error:
        if error.response.status_code != GONE:
            raise
        if again := _take(client, name):
            leases.append(again)
        else:
            logger.warning("The lease of %s is lost: another run may measure the endpoint meanwhile", name)


def _return_lease(lease: str) -> None:
    try:
        release_lease(lease)
    except httpx.HTTPError as error:
        logger.warning("The lease was not returned, and expires within %d s: %s", LEASE_S, error)
