"""Prefect artifact that shows how much of a run has been measured."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import copy_context
from threading import Event, Thread
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import ArtifactCreate, ArtifactUpdate
from prefect.runtime import flow_run

from shapebench.load.counters import Progress
from shapebench.load.progress import listening, overall_progress
from shapebench.runs.records import Run
from shapebench.support.endpoint_id import endpoint_id
from shapebench.support.run_log import milestone

POST_S = 5
STOP_TIMEOUT_S = 5


@contextmanager
def show_progress(run: Run) -> Iterator[None]:
    """Keep the artifact up to date while the block measures.

    A separate thread sends it, since the main one must read from the measuring processes, even if the Prefect server
    is slow or down.
    """
    board, done = _Board(run), Event()
    thread = Thread(target=copy_context().run, args=(board.keep_posting, done), daemon=True)
    thread.start()
    try:
        with listening(board.update):
            yield
        board.finish()
    finally:
        done.set()
        thread.join(STOP_TIMEOUT_S)


class _Board:
    def __init__(self, run: Run) -> None:
        endpoint = run.spec.endpoint
        self._load = run.spec.load
        self._key = f"progress-{endpoint_id(endpoint.url, endpoint.model, endpoint.shape)}"
        self._now = (0.0, "Begins")
        self._shown = -1  # percent
        self._artifact: UUID | None = None
        self._failed = False

    def update(self, concurrency: int, progress: Progress) -> None:
        self._now = overall_progress(self._load, concurrency, progress)

    def finish(self) -> None:
        self._now = (1.0, "All levels measured")

    def keep_posting(self, done: Event) -> None:
        """Send each full percent, at most once in five seconds, and the final one."""
        with get_client(sync_client=True) as client:
            last = False
            while not last:
                last = done.wait(POST_S)
                self._post(client)

    def _post(self, client: SyncPrefectClient) -> None:
        share, words = self._now
        percent = int(100 * share)
        if percent == self._shown:
            return
        try:
            self._send(client, percent, words)
            self._shown = percent
        except Exception as error:  # noqa: BLE001 - whatever is wrong with the Prefect server
            if not self._failed:
                milestone("measure", "progress is not shown in Prefect: {error}", logging.WARNING, error=str(error))
            self._failed = True

    def _send(self, client: SyncPrefectClient, percent: int, words: str) -> None:
        if self._artifact:
            client.update_artifact(self._artifact, ArtifactUpdate(data=percent, description=words))
        else:
            of_run = UUID(flow_run.id) if flow_run.id else None
            new = ArtifactCreate(type="progress", key=self._key, description=words, data=percent, flow_run_id=of_run)
            self._artifact = client.create_artifact(new).id
