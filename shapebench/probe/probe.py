"""Probe of an endpoint: wait until it is ready, and learn what is needed to measure it."""

import logging
import time
from collections.abc import Callable

from shapebench.probe.client import (
    Client,
    ConnectionDroppedError,
    EndpointError,
    EndpointTimeoutError,
    EndpointUnreachableError,
    Model,
)
from shapebench.probe.host import inspect_host, revision
from shapebench.runs.prompt_sizing import PromptSizing, candidate_words, single_token_words
from shapebench.runs.records import ServerFacts
from shapebench.sizing.shapes import memory_bandwidth_bytes_per_s
from shapebench.spec.model import Endpoint, Spec

logger = logging.getLogger(__name__)

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 5.0
NO_HEALTH_ROUTE = (301, 302, 303, 307, 308, 401, 403, 404, 405)
MIN_VOCABULARY = 32
FEW_WORDS, MANY_WORDS = 64, 256
MIN_TOKENS_PER_WORD = 0.25  # no tokenizer has fewer: the server counts badly


class NeverHealthyError(EndpointError):
    """The server answers, but is not ready in time."""


class WrongModelError(EndpointError):
    """The server does not serve the model."""


class ContextTooSmallError(EndpointError):
    """Requests of this workload do not fit the model."""


def probe(spec: Spec, still_starting: Callable[[], None] = lambda: None) -> ServerFacts:
    """Wait until the endpoint is healthy and learn what is needed to measure it; raises EndpointError.

    `still_starting` is called before each try; it raises if the launched server has ended.
    """
    if spec.endpoint.weights_bytes and memory_bandwidth_bytes_per_s(spec.endpoint.shape) is None:
        logger.warning("The memory bandwidth of %s is unknown: throughput cannot be checked.", spec.endpoint.shape)
    with Client(spec.endpoint) as client:
        wait_until_healthy(client, spec.endpoint, still_starting)
        models = client.models()
        model = served_model(spec.endpoint, models)
        identity = client.identity()
        sizing = learn_sizing(client, candidate_words())
        _refuse_what_cannot_fit(spec, model, sizing)
        completion = client.complete(_text(sizing.words, FEW_WORDS), 2)
        still_starting()  # if it has ended, another server answered on its port
    host = inspect_host(spec.endpoint)
    return ServerFacts(
        server="vllm" if model.owner == "vllm" else str(model.owner or "unknown"),
        version=identity.get("version"),
        max_model_len=model.max_model_len,
        models=tuple(m.id for m in models),
        fingerprint=completion.fingerprint,
        sizing=sizing,
        probe_e2e_s=completion.e2e_s,
        identity=identity,
        root=model.root,
        revision=revision(model.root, host.command, spec.endpoint.launch),
        host=host,
    )


def wait_until_healthy(client: Client, endpoint: Endpoint, still_starting: Callable[[], None]) -> None:
    """Poll /health with growing pauses until it answers 200, for as long as the spec allows."""
    deadline_s = time.monotonic() + endpoint.ready_timeout_s
    pause_s = FIRST_PAUSE_S
    logged = None
    while (problem := check_health(client, endpoint)) is not None:
        still_starting()
        if time.monotonic() + pause_s > deadline_s:
            problem.waited_for = True
            raise problem
        if problem.problem != logged:
            logger.info("Waiting for %s, up to %g s: %s", endpoint.url, endpoint.ready_timeout_s, problem.problem)
            logged = problem.problem
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)


def is_transient(error: BaseException) -> bool:
    """Check whether a healthy server failed to answer for a moment only."""
    return (
        isinstance(error, EndpointUnreachableError | ConnectionDroppedError | EndpointTimeoutError)
        and not error.waited_for
    )


def check_health(client: Client, endpoint: Endpoint) -> EndpointError | None:
    """Return the problem why the server is not ready, if it may pass with time; raise any other."""
    try:
        status = client.health()
    except (EndpointUnreachableError, ConnectionDroppedError, EndpointTimeoutError) as error:
        return error
    if status == 200 or status in NO_HEALTH_ROUTE:  # /v1/models is requested next, with a better error
        return None
    return NeverHealthyError(
        f"{endpoint.url}/health answers with HTTP {status}, not 200.",
        f"See the server's log; if it needs more than {endpoint.ready_timeout_s:g} s to start, raise "
        "endpoint.ready_timeout_s.",
    )


def served_model(endpoint: Endpoint, models: list[Model]) -> Model:
    for model in models:
        if model.id == endpoint.model:
            return model
    names = ", ".join(m.id for m in models) or "none"
    raise WrongModelError(
        f"{endpoint.url} does not serve {endpoint.model!r}.",
        f"Set endpoint.model to one of the models that it serves: {names}.",
    )


def learn_sizing(client: Client, words: tuple[str, ...]) -> PromptSizing:
    """Learn how many tokens prompts have: from the server's tokenizer, or else estimated from real answers."""
    if client.count_prompt(words[0]) is None:
        return _estimate(client, words)
    known = single_token_words(words, lambda text: client.count_prompt(text) or 0)
    if len(known) < MIN_VOCABULARY:
        return _estimate(client, words)
    opening = _text(known, FEW_WORDS)
    total = client.count_request(opening)
    if total is None:  # /tokenize takes plain text only: the usage of an answer includes the template
        total = client.complete(opening, 1).input_tokens
    return PromptSizing(known, fixed_tokens=total - (len(known[:FEW_WORDS]) - 1), exact=True)


def _estimate(client: Client, words: tuple[str, ...]) -> PromptSizing:
    """Fit a line through a short and a long prompt: right on average, and the results have the real lengths."""
    few, many = (client.complete(_text(words, count), 1).input_tokens for count in (FEW_WORDS, MANY_WORDS))
    tokens_per_word = max((many - few) / (MANY_WORDS - FEW_WORDS), MIN_TOKENS_PER_WORD)
    return PromptSizing(words, max(round(few - (FEW_WORDS - 1) * tokens_per_word), 0), tokens_per_word)


def _text(words: tuple[str, ...], count: int) -> str:
    return " ".join(words[:count])


def _refuse_what_cannot_fit(spec: Spec, model: Model, sizing: PromptSizing) -> None:
    inputs, outputs = spec.workload.input_tokens.lengths, spec.workload.output_tokens.lengths
    wrong = []
    if model.max_model_len and inputs.max_tokens + outputs.max_tokens > model.max_model_len:
        wrong.append(
            f"up to {inputs.max_tokens} input and {outputs.max_tokens} output tokens exceed the model's "
            f"{model.max_model_len}"
        )
    if inputs.mean < sizing.min_tokens:
        wrong.append(
            f"{inputs.mean:g} input tokens are too few: the chat template and a prompt that never repeats "
            f"need {sizing.min_tokens}"
        )
    if wrong:
        raise ContextTooSmallError(
            f"The workload does not fit {model.id}: {'; '.join(wrong)}.",
            "Change workload.input_tokens or workload.output_tokens (lengths go up to 4 standard deviations), "
            "or serve the model with a longer context.",
        )
