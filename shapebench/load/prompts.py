"""The requests of a level: lengths drawn from the seed, and prompts that never repeat."""

import random
from dataclasses import dataclass

from shapebench.apis.target import PlannedRequest
from shapebench.runs.prompt_sizing import PromptSizing
from shapebench.spec.lengths import Lengths


@dataclass(frozen=True)
class RequestMix:
    """The distribution from which the requests of a level are drawn."""

    sizing: PromptSizing
    input_tokens: Lengths
    output_tokens: Lengths
    seed: int

    def request(self, index: int, concurrency: int, *, warmup: int) -> PlannedRequest:
        """Plan the request of that index at a level, the first `warmup` of which are not measured.

        The same seed and index produce the same request, in any process and order.
        """
        rng = random.Random(f"{self.seed}/{concurrency}/{index}")
        input_tokens = max(self.sizing.min_tokens, self.input_tokens.draw(rng))
        output_tokens = self.output_tokens.draw(rng)
        if index < min(warmup, concurrency):
            # Streams that all start at once would answer in step for long. Ending their first requests at
            # random moments spreads them as a server in steady state finds them.
            output_tokens = rng.randint(1, output_tokens)
        return PlannedRequest(index, index < warmup, self.sizing.prompt(input_tokens, rng), input_tokens, output_tokens)
