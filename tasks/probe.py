"""Is the endpoint healthy, and what is it?"""

from collections.abc import Callable

from prefect import task
from prefect.cache_policies import NO_CACHE

from shapebench.probe import probe as probe_endpoint
from shapebench.records import Facts, Run
from shapebench.runs import RunFile, save


# No retries: the probe itself waits for as long as the spec allows, and what it then reports will not pass by itself.
@task(name="probe", cache_policy=NO_CACHE)
def probe(run: Run, still_starting: Callable[[], None]) -> Facts:
    facts = probe_endpoint(run.spec, still_starting)
    save(RunFile(run, facts))
    return facts
