"""Flow that measures several endpoints at the same time and ranks their machines."""

import sys
from dataclasses import dataclass

from prefect import flow, unmapped
from prefect.client.schemas.objects import State
from prefect.futures import PrefectFuture, wait
from prefect.states import Completed, Failed
from prefect.task_runners import ThreadPoolTaskRunner

from shapebench.report.build_comparison import Comparison
from shapebench.runs.progress_events import FinishedEvent
from shapebench.spec.multi_endpoint import Choice
from shapebench.support.child_processes import stopped_on_error
from tasks.compare import compare
from tasks.measure_endpoint import measure_endpoint

BENCHMARK = (sys.executable, "-P", "-m", "flows.benchmark_process")  # -P: not the working directory's flows/


@dataclass(frozen=True)
class Chosen:
    """Ranking (None if no endpoint could be measured) and the reasons of failed endpoints."""

    compared: Comparison | None
    failures: tuple[str, ...]


# No retries, whatever Prefect's settings say: they would measure all endpoints again.
@flow(name="choose", retries=0, task_runner=ThreadPoolTaskRunner(max_workers=64))  # type: ignore[arg-type]
def choose(choice: Choice) -> State[Chosen]:
    """Measure several endpoints, each on its own machine, and rank them: the cheapest that meets the SLOs first.

    Endpoints are measured at the same time, the levels of each one after another. Those that fail are not ranked.
    """
    with stopped_on_error():
        measured = measure_endpoint.map(choice.specs, unmapped(BENCHMARK))
        wait(measured)
    runs, failures = _runs_and_failures(measured)
    if not runs:
        return Failed(message="\n".join(failures), data=Chosen(None, failures))
    compared = compare(runs, choice.data, "shapes", choice.users, choice.prices)
    message = "\n".join((f"{compared.answer['headline']}. Page: {compared.page}", *failures))
    return (Failed if failures else Completed)(message=message, data=Chosen(compared, failures))


def _runs_and_failures(measured: list[PrefectFuture[FinishedEvent]]) -> tuple[list[str], tuple[str, ...]]:
    """Return the ids of the stored runs, and all reasons for failures and invalid results."""
    results: list[object] = [future.result(raise_on_failure=False) for future in measured]
    finished = [result for result in results if isinstance(result, FinishedEvent)]
    complaints = (result.complaint if isinstance(result, FinishedEvent) else str(result) for result in results)
    return [run.run_id for run in finished], tuple(filter(None, complaints))
