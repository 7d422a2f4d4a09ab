"""Token counts of answers without usage: their texts are counted once a level's load is over, never between tokens."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

from shapebench.apis.reading import Reading, TokenSource
from shapebench.apis.target import Credentials, PlannedRequest, Target
from shapebench.errors import ShapebenchError
from shapebench.load.http_connection import Answer
from shapebench.load.sample_writer import make_sample
from shapebench.probe.route import Fault
from shapebench.probe.token_counters import Count, counter
from shapebench.runs.samples_file import Sample

THREADS = 8  # that ask /tokenize
NOT_COUNTED = "the server sent no usage, and the answer's text could not be counted: "

Uncounted = tuple[PlannedRequest, int, Answer, Reading]  # the number is that of the stream


def count_texts(
    uncounted: Iterable[Uncounted],
    target: Target,
    credentials: Credentials,
    *,
    exact_prompts: bool,
    stopped: bool = False,
) -> Iterator[Sample]:
    """Count answers, and yield a sample for each; one that cannot be counted is a failed sample, none is lost.

    A prompt has its planned length where that is exact, else it is counted, too, without the chat template. Where the
    level was stopped, there is no time to count.
    """
    if stopped:
        yield from (_failed(one, "the level was stopped") for one in uncounted)
        return
    try:
        with counter(target, credentials) as count, ThreadPoolExecutor(THREADS) as threads:
            yield from threads.map(lambda one: _counted(one, target.token_source, count, exact_prompts), uncounted)
    except ShapebenchError as error:
        yield from (_failed(one, error.problem) for one in uncounted)


def _counted(one: Uncounted, source: TokenSource, count: Count | None, exact_prompts: bool) -> Sample:
    request, stream, answer, reading = one
    output_tokens = count(reading.text) if count else None
    if not (count and output_tokens):
        return _failed(one, "the tokenizer gave no count")
    reading.input_tokens = request.input_tokens if exact_prompts else count(request.prompt)
    reading.recount(output_tokens, source)
    return make_sample(request, stream, answer, reading, None)


def _failed(one: Uncounted, why: str) -> Sample:
    request, stream, answer, reading = one
    reading.output_tokens = None
    fault: Fault = ("no_usage", f"{NOT_COUNTED}{why}")
    return make_sample(request, stream, answer, reading, fault)
