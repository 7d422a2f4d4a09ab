"""What tokens cost."""


def cost_per_million_output_tokens(price_per_hour: float, system_tokens_per_s: float) -> float:
    """In the price's currency, of a machine that is kept as busy as this; at 2 an hour, 32 queries of 40 tokens/s each
    cost 0.434."""
    return price_per_hour / (system_tokens_per_s * 3600) * 1e6
