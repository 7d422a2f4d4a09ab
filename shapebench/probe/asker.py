"""Streamed requests like the workload's, changed until the server takes them."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime

from shapebench.apis.request_body import build_body
from shapebench.apis.table import APIS
from shapebench.apis.target import Target
from shapebench.probe.client import BASE, Client, StreamedAnswer, target
from shapebench.probe.endpoint_errors import (
    ContextTooSmallError,
    EndpointError,
    RateLimitedError,
    RefusedError,
    RouteNotFoundError,
    WrongModelError,
)
from shapebench.probe.rate_limit import STATUSES as LIMITED
from shapebench.probe.rate_limit import retry_after_s
from shapebench.probe.refusals import Refusal, Topic, paths, read_refusal
from shapebench.spec.model import Spec
from shapebench.support.wording import listed

PROBE_TOKENS = 16  # of an answer: enough to see how its chunks hold them
MAX_CHANGES = 24
NO_SUCH_PATH = (404, 405, 501)
TOPICS: tuple[Topic, ...] = ("context", "query", "header", "model")
NEEDS_USER: dict[int, tuple[Topic, ...]] = {400: TOPICS, 422: TOPICS, 404: ("model",)}  # by status
FIELDS_REFUSED = (200, 400, 422, 500)  # 200: the stream has an error
BASES = (BASE, "/v3/", "/openai/v1/", "/api/v1/", "/v1beta/openai/", "/")  # where servers have their APIs
OTHER_LIMITS = {"max_tokens": "max_completion_tokens"}
CONTINUOUS = "stream_options.continuous_usage_stats"
PAUSES_S = (1.0, 2.0, 4.0, 5.0)  # where the server does not say how long to wait


class Asker:
    """Asks a server as the workload does, and changes requests as far as the server refuses them."""

    def __init__(
        self, client: Client, spec: Spec, *, enforces_output: bool, still_starting: Callable[[], None]
    ) -> None:
        endpoint = spec.endpoint
        self._client, self._spec, self._still_starting = client, spec, still_starting
        self._own_path = endpoint.path or APIS[endpoint.api].path
        self._target = replace(
            target(endpoint, spec.workload, enforce_output_tokens=enforces_output),
            continuous_usage=bool(endpoint.continuous_usage),
            token_source="chunks",
        )
        self._other_paths = iter([] if endpoint.path else [*_other_paths(self._own_path)])
        self._not_there: StreamedAnswer | None = None  # the first answer that says so of a path
        self._guess: tuple[str, ...] = ()  # fields that are left out on trial
        self._guesses: Iterator[tuple[str, ...]] | None = None
        self._unexplained: StreamedAnswer | None = None  # the first refusal that names no field
        self.output_tokens = max(2, min(PROBE_TOKENS, round(spec.workload.output_tokens.mean)))
        self._reasons: dict[str, str] = {}
        self._limits_tried: set[str] = set()
        self.waited_s = 0.0
        self._waits = 0

    @property
    def target(self) -> Target:
        return replace(self._target, dropped_fields=(*self._target.dropped_fields, *self._guess))

    def ask(self, prompt: str) -> StreamedAnswer:
        """Ask until an answer is complete; raises EndpointError where that needs the user."""
        changes = 0
        while True:
            answer = self._client.stream(self.target, prompt, self.output_tokens)
            if answer.is_complete:
                self._keep_guess()
                return answer
            if answer.status in LIMITED:
                self._wait(answer)
            else:
                changes += 1
                self._change(answer, is_last=changes > MAX_CHANGES)

    def try_once(self, asked: Target, prompt: str) -> StreamedAnswer | None:
        """Ask once in another way; None where that is no complete answer."""
        try:
            answer = self._client.stream(asked, prompt, self.output_tokens)
        except EndpointError:
            return None
        return answer if answer.is_complete else None

    def ask_for_continuous_usage(self) -> None:
        self._target = replace(self._target, continuous_usage=True)

    def without_enforcement(self) -> None:
        self._target = replace(self._target, enforce_output_tokens=False)

    @property
    def enforcing_fields(self) -> tuple[str, ...]:
        """The fields that enforce the length of answers, whether or not the server takes them."""
        asked = replace(self._target, dropped_fields=())
        free = {*paths(build_body(replace(asked, enforce_output_tokens=False), "", 1, True))}
        return tuple(path for path in paths(build_body(asked, "", 1, True)) if path not in free)

    # What it does about an answer that is not complete

    def _change(self, answer: StreamedAnswer, *, is_last: bool) -> None:
        message = answer.fault.message.encode() if answer.fault else answer.body
        refusal = read_refusal(message, answer.asked)
        is_about_field = refusal.field and refusal.field.split(".")[0] not in self._fixed
        if refusal.topic in NEEDS_USER.get(answer.status, ()) and not is_about_field:
            raise self._needs_user(refusal)
        if answer.status in NO_SUCH_PATH:
            self._next_path(answer)
        elif answer.status not in FIELDS_REFUSED or is_last:
            raise self._client.refuse(answer)
        elif not (refusal.field and self._without(refusal)):
            self._guess_without(answer)

    def _needs_user(self, refusal: Refusal) -> EndpointError:
        kind, problem, remedy = ABOUT[refusal.topic or "model"]
        endpoint = self._spec.endpoint
        named = {"url": endpoint.url, "model": endpoint.model, "header": refusal.header or "NAME"}
        return kind(f"{problem.format(**named)}: {self._client.quote(refusal.message)}", remedy.format(**named))

    def _next_path(self, answer: StreamedAnswer) -> None:
        self._not_there = self._not_there or answer
        path = next(self._other_paths, None)
        if path is None:
            error = self._client.refuse(replace(self._not_there, status=404))
            others = [] if self._spec.endpoint.path else [*_other_paths(self._own_path)]
            tried = f" Also tried: {', '.join(others)}." if others else ""
            raise RouteNotFoundError(f"{error.problem}{tried}", error.remedy)
        self._target = replace(self._target, path=path)

    def _without(self, refusal: Refusal) -> bool:
        """Leave out or rename the refused field; False where it is to be guessed what is wrong."""
        field = str(refusal.field)
        name = {new: old for old, new in self._target.renamed_fields.items()}.get(field, field)
        workload = self._spec.workload
        if name.split(".")[0] in workload.extra_body:
            raise self._refused(refusal, f"the field {name} of workload.extra_body", "Correct workload.extra_body.")
        if name.split(".")[0] in self._fixed:
            return False
        if name.rpartition(".")[2].startswith("max"):
            self._rename(name, refusal)
        elif name.startswith("stream_options") and self._target.continuous_usage:
            self._target = replace(self._target, continuous_usage=False)
            self._drop(CONTINUOUS, refusal)
        else:
            self._drop("stream_options" if name == "stream_options.include_usage" else name, refusal)
        return True

    @property
    def _fixed(self) -> set[str]:
        """The fields without which there is no request."""
        return {"model", "stream", *APIS[self._target.api].write_prompt("")}

    def _rename(self, name: str, refusal: Refusal) -> None:
        new = refusal.instead or OTHER_LIMITS.get(name)
        if not new or new in self._limits_tried or "." in name:
            raise self._refused(refusal, f"the limit {name}", "Check which name the server has for it.")
        self._limits_tried |= {name, new}
        self._target = replace(self._target, renamed_fields={**self._target.renamed_fields, name: new})

    def _drop(self, field: str, refusal: Refusal) -> None:
        self._reasons[field] = self._client.quote(refusal.message)
        self._target = replace(self._target, dropped_fields=(*self._target.dropped_fields, field))

    def _refused(self, refusal: Refusal, what: str, remedy: str) -> RefusedError:
        url = self._spec.endpoint.url
        return RefusedError(f"{url} refuses {what}: {self._client.quote(refusal.message)}", remedy)

    def _guess_without(self, answer: StreamedAnswer) -> None:
        """Leave out what many servers do not know, where the refusal does not say what is wrong."""
        if self._guesses is None:
            self._unexplained = answer
            groups = [tuple(name for name in self.enforcing_fields if name not in self._target.dropped_fields)]
            if answer.status in (400, 422):
                groups += [tuple(n for n in ("stream_options",) if n in answer.asked)]
                groups += [tuple(n for n in ("temperature",) if n in answer.asked)]
                groups += [tuple(field for group in groups for field in group)]
            self._guesses = iter([group for group in groups if group])
        self._guess = next(self._guesses, ())
        if not self._guess:
            raise self._client.refuse(self._unexplained or answer)

    def _keep_guess(self) -> None:
        for field in self._guess:
            said = self._unexplained.fault.message if self._unexplained and self._unexplained.fault else "not said why"
            self._reasons[field] = self._client.quote(said)
        self._target = self.target
        self._guess = ()

    def _wait(self, answer: StreamedAnswer) -> None:
        asked_s = retry_after_s(answer.headers, datetime.now(UTC))
        pause_s = PAUSES_S[min(self._waits, len(PAUSES_S) - 1)] if asked_s is None else max(asked_s, 0.05)
        limit_s = self._spec.endpoint.ready_timeout_s
        if self.waited_s + pause_s > limit_s:
            wants = f" and asks to wait {asked_s:g} s" if asked_s else ""
            said = self._client.quote(answer.body.decode("utf-8", "replace"))
            raise RateLimitedError(
                f"{answer.url} answers with HTTP {answer.status}{wants}: {said}",
                f"Use a key with a higher limit, or raise endpoint.ready_timeout_s, which is {limit_s:g}.",
            )
        self._still_starting()
        time.sleep(pause_s)
        self._still_starting()
        self.waited_s, self._waits = self.waited_s + pause_s, self._waits + 1

    # What is to be said about it

    def changes(self) -> Iterator[str]:
        """Say in sentences what was changed."""
        asked, own = self._target, self._own_path
        if asked.path != own:
            yield f"The API is at {asked.path}; the server has no {own}."
        for old, new in asked.renamed_fields.items():
            yield f"The server takes {new} in place of {old}."
        if asked.dropped_fields:
            reasons = sorted({self._reasons[name] for name in asked.dropped_fields})
            yield f"The server refuses {listed(asked.dropped_fields)}, left out of requests: {'; '.join(reasons)}"
        if self.waited_s:
            yield f"The server limits the rate of requests: it had the probe wait {self.waited_s:.3g} s."


ABOUT: dict[Topic, tuple[type[EndpointError], str, str]] = {
    "context": (
        ContextTooSmallError,
        "{url} refuses the request's length",
        "Change workload.input_tokens or workload.output_tokens, or serve the model with a longer context.",
    ),
    "model": (
        WrongModelError,
        "{url} does not serve {model!r}",
        "Set endpoint.model (--model) to a model that it serves.",
    ),
    "query": (
        RefusedError,
        "{url} expects a parameter in the address",
        "Set endpoint.query (--query), such as api-version=2024-10-21.",
    ),
    "header": (
        RefusedError,
        "{url} expects a header",
        "Name it in endpoint.headers, with the variable that holds its value: --header {header}=MY_VARIABLE.",
    ),
}


def _other_paths(path: str) -> Iterator[str]:
    """List where else the API may be."""
    if path.startswith(BASE):
        yield from (base + path.removeprefix(BASE) for base in BASES if base != BASE)
