"""The cost of tokens."""


def cost_per_million_output_tokens(price_per_hour: float, system_tokens_per_s: float) -> float:
    """Divide a machine's price by its output tokens at this throughput, in the price's currency.

    At 2 an hour and 32 queries of 40 tokens/s each, a million cost 0.434.
    """
    return price_per_hour / (system_tokens_per_s * 3600) * 1e6
