"""Model of continuous batching without clock and sockets; times are arguments."""

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import NamedTuple

from shapebench.test_servers.simulator.presets import Preset

BLOCK_TOKENS = 16


def _nobody() -> None:
    """Do nothing: nobody waits for the token."""


@dataclass(slots=True, eq=False)
class Request:
    """One request in the engine; the driver calls `on_token`."""

    prompt_tokens: int
    output_tokens: int
    finish_reason: str = "length"
    blocks: tuple[int, ...] = ()
    on_token: Callable[[], None] = _nobody
    generated: int = 0
    to_prefill: int = 0  # tokens whose keys and values are still to be computed
    cached_tokens: int = 0
    preemptions: int = 0
    aborted: bool = False
    arrived_s: float = 0.0
    admitted_s: float = 0.0
    first_token_s: float = 0.0
    last_token_s: float = 0.0
    gap_s: float = 0.0  # between its two latest tokens

    @property
    def held_tokens(self) -> int:
        return self.prompt_tokens + self.generated

    @property
    def ended(self) -> bool:
        return self.aborted or self.generated == self.output_tokens


class Step(NamedTuple):
    """Work and duration of one step."""

    duration_s: float
    sequences: int
    prefill_tokens: int
    preemptions: int


class PrefixCache:
    """LRU cache of blocks of prompts."""

    def __init__(self, capacity_tokens: int) -> None:
        self._capacity_blocks = capacity_tokens // BLOCK_TOKENS
        self._blocks: OrderedDict[int, None] = OrderedDict()

    def hit_tokens(self, blocks: Sequence[int], prompt_tokens: int) -> int:
        """Count the cached tokens at the prompt's head; its last token is always computed."""
        usable = blocks[: (prompt_tokens - 1) // BLOCK_TOKENS]
        return BLOCK_TOKENS * sum(1 for _ in takewhile(self._blocks.__contains__, usable))

    def remember(self, blocks: Iterable[int]) -> None:
        for block in blocks:
            self._blocks[block] = None
            self._blocks.move_to_end(block)
        while len(self._blocks) > self._capacity_blocks:
            self._blocks.popitem(last=False)


def block_hashes(tokens: Sequence[object]) -> tuple[int, ...]:
    """Hash each full block of a prompt, together with all the blocks before it."""
    hashes, parent = [], 0
    for start in range(0, len(tokens) - BLOCK_TOKENS + 1, BLOCK_TOKENS):
        parent = hash((parent, *tokens[start : start + BLOCK_TOKENS]))
        hashes.append(parent)
    return tuple(hashes)


class Engine:
    """Requests in, steps out: `begin_step` says how long the next step takes, `end_step` hands out its tokens."""

    def __init__(self, preset: Preset) -> None:
        self.preset = preset
        self.waiting: deque[Request] = deque()
        self.running: list[Request] = []
        self._cache = PrefixCache(preset.kv_capacity_tokens)
        self._chunks: dict[Request, int] = {}  # prompt tokens that this step computes, for each request in prefill

    @property
    def busy(self) -> bool:
        return bool(self.running or self.waiting)

    @property
    def kv_usage(self) -> float:
        return self._held_tokens() / self.preset.kv_capacity_tokens

    def add(self, request: Request, now_s: float) -> None:
        request.arrived_s = now_s
        self.waiting.append(request)

    def abort(self, request: Request) -> None:
        """Free a request's place at once, even during a step; one that has ended is not changed."""
        if request.ended:
            return
        request.aborted = True
        if request in self.running:
            self.running.remove(request)
        elif request in self.waiting:  # neither, where its client left before it was added
            self.waiting.remove(request)

    def begin_step(self, now_s: float) -> Step:
        """Choose the work of the next step: all running sequences first, then prompts up to the budget."""
        preemptions = self._preempt()
        decoding = sum(not request.to_prefill for request in self.running)
        budget = max(self.preset.max_num_batched_tokens - decoding, 0)
        self._chunks = {}
        for request in self.running:
            budget -= self._prefill(request, budget)
        if not preemptions:
            self._admit(budget, now_s)
        return self._step(decoding, preemptions)

    def end_step(self, now_s: float) -> list[Request]:
        """Return the requests that got a token; those that are complete have left the engine."""
        stepped = [request for request in self.running if self._advance(request, now_s)]
        self.running = [request for request in self.running if not request.ended]
        return stepped

    def _held_tokens(self) -> int:
        return sum(request.held_tokens for request in self.running)

    def _preempt(self) -> int:
        """Preempt the latest requests until the others have room for one more token each, as vLLM does."""
        preemptions, room = 0, self.preset.kv_capacity_tokens
        while len(self.running) > 1 and self._held_tokens() + len(self.running) > room:
            victim = self.running.pop()
            victim.preemptions += 1
            self.waiting.appendleft(victim)
            preemptions += 1
        return preemptions

    def _admit(self, budget: int, now_s: float) -> None:
        room = self.preset.kv_capacity_tokens - self._held_tokens() - len(self.running)
        while self.waiting and budget > 0 and len(self.running) < self.preset.max_num_seqs:
            if (room := room - self.waiting[0].held_tokens - 1) < 0:
                return
            request = self.waiting.popleft()
            self.running.append(request)
            self._start(request, now_s)
            budget -= self._prefill(request, budget)

    def _start(self, request: Request, now_s: float) -> None:
        hit_tokens = self._cache.hit_tokens(request.blocks, request.prompt_tokens)
        request.to_prefill = request.held_tokens - hit_tokens
        if not request.preemptions:
            request.admitted_s, request.cached_tokens = now_s, hit_tokens

    def _prefill(self, request: Request, budget: int) -> int:
        chunk = min(request.to_prefill, budget)
        if chunk:
            self._chunks[request] = chunk
        return chunk

    def _step(self, decoding: int, preemptions: int) -> Step:
        sequences, prefill_tokens = decoding + len(self._chunks), sum(self._chunks.values())
        p = self.preset
        duration_s = p.base_s + p.per_sequence_s * sequences + p.per_prefill_token_s * prefill_tokens
        return Step(duration_s, sequences, prefill_tokens, preemptions)

    def _advance(self, request: Request, now_s: float) -> bool:
        if request.to_prefill:
            request.to_prefill -= self._chunks.get(request, 0)
            if request.to_prefill:
                return False
            self._cache.remember(request.blocks)
        request.generated += 1
        request.gap_s = now_s - request.last_token_s
        request.last_token_s = now_s
        if request.generated == 1:
            request.first_token_s = now_s
        return True
