"""Is the endpoint fit to be measured, and what is it?"""

import logging
import time
from collections.abc import Callable

from shapebench.endpoint import Client, Completion, EndpointError, Model, Refused, TooSlow
from shapebench.records import Facts
from shapebench.spec import Endpoint, Spec
from shapebench.workload import Sizing, candidate_words, single_token_words

logger = logging.getLogger(__name__)

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 5.0
NO_HEALTH_ROUTE = (404, 405)
LEAST_VOCABULARY = 32
CALIBRATION_WORDS = 64


class NeverHealthy(EndpointError):
    """The server answers, but is not ready in time."""


class WrongModel(EndpointError):
    """The server does not serve the model."""


class DoesNotFit(EndpointError):
    """Requests of this workload do not fit the model."""


def probe(spec: Spec, still_starting: Callable[[], None] = lambda: None) -> Facts:
    """Wait until the endpoint is healthy and learn what is needed to measure it; raises EndpointError.

    `still_starting` is called before each try and raises where waiting has become pointless.
    """
    with Client(spec.endpoint) as client:
        wait_until_healthy(client, spec.endpoint, still_starting)
        models = client.models()
        model = served_model(spec.endpoint, models)
        version = client.version()
        sizing = learn_sizing(client, candidate_words())
        _refuse_what_cannot_fit(spec, model, sizing)
        completion = client.complete(" ".join(sizing.words[:CALIBRATION_WORDS]), 2)
        if not sizing.exact:
            sizing = _estimate(sizing, completion)
    return Facts(
        server="vllm" if model.owner == "vllm" else str(model.owner or "unknown"),
        version=version,
        max_model_len=model.max_model_len,
        models=tuple(m.id for m in models),
        fingerprint=completion.fingerprint,
        sizing=sizing,
        probe_e2e_s=completion.e2e_s,
    )


def wait_until_healthy(client: Client, endpoint: Endpoint, still_starting: Callable[[], None]) -> None:
    """Ask /health with growing pauses until it answers 200, for as long as the spec allows."""
    deadline_s = time.monotonic() + endpoint.ready_timeout_s
    pause_s = FIRST_PAUSE_S
    while (trouble := _trouble(client, endpoint)) is not None:
        still_starting()
        if time.monotonic() + pause_s > deadline_s:
            raise trouble
        logger.info("Waiting for %s: %s", endpoint.url, trouble.problem)
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)


def _trouble(client: Client, endpoint: Endpoint) -> EndpointError | None:
    """What may pass with time; what will not is raised at once."""
    try:
        status = client.health()
    except (Refused, TooSlow) as error:
        return error
    if status == 200 or status in NO_HEALTH_ROUTE:  # /v1/models comes next and tells more than a missing route
        return None
    return NeverHealthy(
        f"{endpoint.url}/health answers {status}, not 200.",
        f"Look into the server's log; where it only needs longer than {endpoint.ready_timeout_s:g} s, "
        "raise endpoint.ready_timeout_s.",
    )


def served_model(endpoint: Endpoint, models: list[Model]) -> Model:
    for model in models:
        if model.id == endpoint.model:
            return model
    names = ", ".join(m.id for m in models) or "none"
    raise WrongModel(
        f"{endpoint.url} does not serve {endpoint.model!r}.", f"Ask for one of the models that it serves: {names}."
    )


def learn_sizing(client: Client, words: tuple[str, ...]) -> Sizing:
    """Ask the server's tokenizer what prompts cost; without one, the sizing is still to be estimated."""
    if client.count_prompt(words[0]) is None:
        return Sizing(words)

    def count(text: str) -> int:
        return client.count_prompt(text) or 0

    known = single_token_words(words, count)
    if len(known) < LEAST_VOCABULARY:
        return Sizing(words)
    opening = " ".join(known[:CALIBRATION_WORDS])
    total = client.count_request(opening) or 0
    return Sizing(known, fixed_tokens=total - (len(known[:CALIBRATION_WORDS]) - 1), exact=True)


def _estimate(sizing: Sizing, completion: Completion) -> Sizing:
    """From one answer's usage: good on average, and the real lengths are in the results."""
    words = len(sizing.words[:CALIBRATION_WORDS])
    return Sizing(sizing.words, tokens_per_word=completion.input_tokens / words)


def _refuse_what_cannot_fit(spec: Spec, model: Model, sizing: Sizing) -> None:
    inputs, outputs = spec.workload.input_tokens.lengths, spec.workload.output_tokens.lengths
    wrong = []
    if model.max_model_len and inputs.most + outputs.most > model.max_model_len:
        wrong.append(
            f"up to {inputs.most} input and {outputs.most} output tokens exceed the model's {model.max_model_len}"
        )
    if inputs.mean < sizing.least_tokens:
        wrong.append(
            f"{inputs.mean:g} input tokens are too few: the chat template and a prompt that never repeats "
            f"need {sizing.least_tokens}"
        )
    if wrong:
        raise DoesNotFit(
            f"The workload does not fit {model.id}: {'; '.join(wrong)}.",
            "Change workload.input_tokens or workload.output_tokens (lengths go up to 4 standard deviations), "
            "or serve the model with a longer context.",
        )
