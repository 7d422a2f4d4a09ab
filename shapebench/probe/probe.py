"""Probe of an endpoint: wait until it is ready, and learn what is needed to measure it."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from shapebench.apis.profile import ServerProfile
from shapebench.apis.table import APIS
from shapebench.probe.asker import Asker
from shapebench.probe.client import Client, Model, target
from shapebench.probe.endpoint_errors import (
    BadAnswerError,
    ConnectionDroppedError,
    ContextTooSmallError,
    EndpointError,
    EndpointTimeoutError,
    EndpointUnreachableError,
    NeverHealthyError,
    RedirectedError,
    RouteNotFoundError,
    UnauthorizedError,
    WrongModelError,
)
from shapebench.probe.find_profile import Found, find_profile
from shapebench.probe.host import inspect_host, revision
from shapebench.probe.token_counters import Count, file_counter
from shapebench.runs.prompt_sizing import PromptSizing, candidate_words, single_token_words
from shapebench.runs.records import ServerFacts
from shapebench.sizing.shapes import memory_bandwidth_bytes_per_s
from shapebench.spec.model import Endpoint, Spec
from shapebench.support.wording import listed

logger = logging.getLogger(__name__)

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 5.0
HEALTH_COUNTS_FOR_S = 3.0  # then a server that is not healthy is asked whether it answers all the same
QUICK_TIMEOUT_S = 10.0
NO_HEALTH_ROUTE = (301, 302, 303, 307, 308, 401, 403, 404, 405)
REFUSED_FOR_A_REASON = (400, 401, 403, 422, 429)  # by a server that is ready
MIN_VOCABULARY = 32
FEW_WORDS, MANY_WORDS = 64, 256
MIN_TOKENS_PER_WORD = 0.25  # no tokenizer has fewer: the server counts badly


def probe(spec: Spec, still_starting: Callable[[], None] = lambda: None) -> ServerFacts:
    """Wait until the endpoint is healthy and learn what is needed to measure it; raises EndpointError.

    `still_starting` is called before each try; it raises if the launched server has ended.
    """
    endpoint = spec.endpoint
    if endpoint.weights_bytes and memory_bandwidth_bytes_per_s(endpoint.shape) is None:
        logger.warning("The memory bandwidth of %s is unknown: throughput cannot be checked.", endpoint.shape)
    with Client(endpoint) as client:
        ill = wait_until_healthy(client, endpoint, still_starting, lambda: answers(client, spec))
        asked = _ask(client, spec, still_starting)
        identity = client.identity()
        sizing = learn_sizing(client, asked, spec)
        still_starting()  # if it has ended, another server answered on its port
    found, models = asked.found, asked.models
    model = next((model for model in models if model.id == endpoint.model), Model(endpoint.model, None, None))
    _refuse_what_cannot_fit(spec, model, sizing)
    host = inspect_host(endpoint)
    profile = _preceded(found.profile, ill)
    for note in profile.notes:
        logger.warning("%s", note)
    return ServerFacts(
        server="vllm" if model.owner == "vllm" else str(model.owner or "unknown"),
        version=identity.get("version"),
        max_model_len=model.max_model_len,
        models=tuple(m.id for m in models),
        fingerprint=found.answer.reading.fingerprint,
        sizing=sizing,
        probe_e2e_s=found.answer.e2e_s,
        identity=identity,
        root=model.root,
        revision=revision(model.root, host.command, endpoint.launch),
        host=host,
        server_profile=profile,
    )


def quick_profile(spec: Spec) -> ServerProfile:
    """Find the server's profile without waiting for it, and without learning more; raises EndpointError."""
    with Client(spec.endpoint) as client:
        return _ask(client, spec, lambda: None).found.profile


@dataclass(frozen=True)
class _Asked:
    """The server's profile, the models that it lists, and the asker that found out how it takes requests."""

    asker: Asker
    found: Found
    models: list[Model]


def _preceded(profile: ServerProfile, note: str | None) -> ServerProfile:
    """Put a note, if there is one, before those of the profile."""
    return replace(profile, notes=(note, *profile.notes)) if note else profile


def _ask(client: Client, spec: Spec, still_starting: Callable[[], None]) -> _Asked:
    """Find the models and the profile; a model that is not served is an error that names those that are."""
    asked, endpoint = spec.workload.enforce_output_tokens, spec.endpoint
    models, unlisted = list_models(client, endpoint)
    is_vllm = any(model.owner == "vllm" for model in models if model.id == endpoint.model)
    enforces = (is_vllm if asked is None else asked) and APIS[endpoint.api].can_enforce_length
    asker = Asker(client, spec, enforces_output=enforces, still_starting=still_starting)
    try:
        found = find_profile(asker, client, spec, _text(candidate_words(), FEW_WORDS))
    except WrongModelError as error:
        if not models:
            raise
        served = listed(model.id for model in models)
        remedy = f"Set endpoint.model to one of the models that it serves: {served}."
        raise WrongModelError(error.problem, remedy) from None
    if found.profile.path != client.path:
        client.path = found.profile.path
        models, unlisted = list_models(client, endpoint)
    return _Asked(asker, replace(found, profile=_preceded(found.profile, unlisted)), models)


def answers(client: Client, spec: Spec) -> bool:
    """Check with one request whether the API works although the health route says otherwise."""
    try:
        answer = client.stream(target(spec.endpoint, spec.workload), "time", 1, QUICK_TIMEOUT_S)
    except EndpointError:
        return False
    return answer.is_complete or answer.status in REFUSED_FOR_A_REASON


def wait_until_healthy(
    client: Client, endpoint: Endpoint, still_starting: Callable[[], None], answers: Callable[[], bool]
) -> str | None:
    """Poll /health with growing pauses until it answers 200, for as long as the spec allows.

    The API has the last word: a server that answers requests is ready, whatever its health route says, which the
    returned note then says. One that was launched may still be loading, and has all the time that the spec allows.
    """
    if not APIS[endpoint.api].control_plane:
        return None
    begun_s = time.monotonic()
    deadline_s = begun_s + endpoint.ready_timeout_s
    patience_s = endpoint.ready_timeout_s if endpoint.launch else min(HEALTH_COUNTS_FOR_S, endpoint.ready_timeout_s / 2)
    pause_s = FIRST_PAUSE_S
    logged = None
    while (problem := check_health(client, endpoint)) is not None:
        still_starting()
        now_s = time.monotonic()
        is_late = now_s + pause_s > deadline_s
        may_answer = isinstance(problem, NeverHealthyError | EndpointTimeoutError)  # a gateway may ask its models first
        if may_answer and (is_late or now_s > begun_s + patience_s) and answers():
            return f"{problem.problem} It answers requests all the same."
        if is_late:
            problem.waited_for = True
            raise problem
        if problem.problem != logged:
            logger.info("Waiting for %s, up to %g s: %s", endpoint.url, endpoint.ready_timeout_s, problem.problem)
            logged = problem.problem
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
    return None


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


def list_models(client: Client, endpoint: Endpoint) -> tuple[list[Model], str | None]:
    """List the models that the server names, with a note where the spec's is not among them.

    That alone is no error: servers may list none, or others. The first completion tells.
    """
    if not APIS[endpoint.api].control_plane:
        return [], None
    try:
        models = client.models()
    except (BadAnswerError, RedirectedError, RouteNotFoundError, UnauthorizedError) as error:
        return [], f"The models that are served are not known: {error.problem}"
    if any(model.id == endpoint.model for model in models):
        return models, None
    names = listed((model.id for model in models), none="no model")
    return models, f"The server lists {names}, not {endpoint.model}."


def learn_sizing(client: Client, asked: _Asked, spec: Spec) -> PromptSizing:
    """Learn how many tokens prompts have: from a tokenizer, or else estimated from real answers."""
    words, count = candidate_words(), _counter(client, spec)
    if count is None:
        return _estimate(asked, words, count)
    known = single_token_words(words, lambda text: count(text) or 0)
    if len(known) < MIN_VOCABULARY:
        return _estimate(asked, words, count)
    total = client.count_request(_text(known, FEW_WORDS))
    if total is not None:
        return PromptSizing(known, fixed_tokens=total - (FEW_WORDS - 1), exact=True)
    return _by_usage(asked, known, count) or _estimate(asked, words, count)


def _by_usage(asked: _Asked, known: tuple[str, ...], count: Count) -> PromptSizing | None:
    """Learn from the usage of answers what the chat template adds, where the counter takes plain text only.

    None where the counter is another model's tokenizer, as a gateway's may be: what usage has beyond the count is then
    more for a long prompt than for a short one.
    """
    short, long = _text(candidate_words(), FEW_WORDS), _text(known, MANY_WORDS)
    few, many = asked.found.answer.reading.input_tokens, asked.asker.ask(long).reading.input_tokens
    if not few or not many:
        return PromptSizing(known)
    if abs((few - (count(short) or 0)) - (many - (count(long) or 0))) > 1:
        return None
    return PromptSizing(known, fixed_tokens=many - (MANY_WORDS - 1), exact=True)


def _counter(client: Client, spec: Spec) -> Count | None:
    if client.count_prompt(" time") is not None:
        return client.count_prompt
    return file_counter(spec.endpoint.tokenizer) if spec.endpoint.tokenizer else None


def _estimate(asked: _Asked, words: tuple[str, ...], count: Count | None) -> PromptSizing:
    """Fit a line through a short and a long prompt: right on average, and the results have the real lengths."""
    few = asked.found.answer.reading.input_tokens
    if few:
        many = asked.asker.ask(_text(words, MANY_WORDS)).reading.input_tokens
    else:
        few, many = (count(_text(words, number)) if count else None for number in (FEW_WORDS, MANY_WORDS))
    if not few or not many:  # without any count, a word is about a token
        return PromptSizing(words)
    tokens_per_word = max((many - few) / (MANY_WORDS - FEW_WORDS), MIN_TOKENS_PER_WORD)
    return PromptSizing(words, max(round(few - (FEW_WORDS - 1) * tokens_per_word), 0), tokens_per_word)


def _text(words: tuple[str, ...], count: int) -> str:
    """Join words from all of the list, at even distances: it begins with common words, which have fewer tokens."""
    return " ".join(words[n * len(words) // count] for n in range(count))


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
