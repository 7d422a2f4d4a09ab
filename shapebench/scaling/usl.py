"""The Universal Scalability Law (Gunther, Guerrilla Capacity Planning, 2007), fitted to levels.

    throughput(N) = lambda N / (1 + sigma (N - 1) + kappa N (N - 1))

lambda is the throughput of one stream, sigma what streams take turns at (contention), kappa what each pair of them
costs (crosstalk). A server that runs at most `cap` streams at once lets the others wait: from there on throughput is
that of `cap` streams, whatever N. The cap is fitted only where the levels cannot be explained without one.

N / throughput is linear in three coefficients that are not negative, so that the fit is one of non-negative least
squares, of relative errors: its minimum is found, not searched for.
"""

from dataclasses import dataclass, field

import numpy as np

from shapebench.scaling.levels import Levels, Values

LEAST_LEVELS = 3
CAPPED_LEVELS = 4  # at least, and two of them at or beyond the cap
CAPPED = 6.0  # by how much a cap must lower chi-square
CANDIDATES = 24  # caps that are tried
FITTING_ERROR = 0.05
DRAWS = 200
TAILS = (2.5, 97.5)
REACH = 2.0  # times the greatest level: nothing is said beyond


@dataclass(frozen=True)
class Estimate:
    """A number and its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Law:
    """A fitted law; `draws` are laws of curves that the levels could have been, a row for each."""

    parameters: Values  # lambda, sigma, kappa, cap
    draws: Values = field(repr=False)
    error: float  # root mean square of the relative errors at the levels
    describes: bool

    def estimate(self, place: int) -> Estimate:
        low, high = np.percentile(self.draws[:, place], TAILS)
        return Estimate(float(self.parameters[place]), float(low), float(high))

    @property
    def lambda_tokens_per_s(self) -> Estimate:
        return self.estimate(0)

    @property
    def sigma(self) -> Estimate:
        return self.estimate(1)

    @property
    def kappa(self) -> Estimate:
        return self.estimate(2)

    @property
    def cap(self) -> Estimate | None:
        return self.estimate(3) if np.isfinite(self.parameters[3]) else None

    def tokens_per_s(self, concurrency: Values) -> Values:
        return throughput(self.parameters[None], concurrency)[0]

    def drawn(self, concurrency: Values) -> Values:
        """A row for each draw."""
        return throughput(self.draws, concurrency)


def throughput(parameters: Values, concurrency: Values) -> Values:
    """Tokens/s of each row of parameters at each concurrency."""
    lambda_, sigma, kappa, cap = (parameters[:, place, None] for place in range(4))
    running = np.minimum(concurrency[None], cap)
    found: Values = lambda_ * running / (1 + sigma * (running - 1) + kappa * running * (running - 1))
    return found


def fit(levels: Levels) -> Law | None:
    """None where there are too few levels for three parameters."""
    if len(levels) < LEAST_LEVELS:
        return None
    caps = _caps(levels)
    plain = _fitted(levels, levels.tokens_per_s, np.inf)
    best = _best(levels, levels.tokens_per_s, caps)
    capped = best is not None and _strays(levels, plain) - _strays(levels, best) > CAPPED
    parameters = best if capped and best is not None else plain
    misses = np.log(levels.tokens_per_s / throughput(parameters[None], levels.concurrency)[0])
    error = float(np.sqrt(np.mean(misses**2)))
    freedom = max(1, len(levels) - (4 if capped else 3))
    spread = np.maximum(levels.noise, np.sqrt((misses**2).sum() / freedom) if len(levels) > 4 else 0)
    draws = _drawn(levels, parameters, spread, caps if capped else None)
    return Law(parameters, draws, error, error <= max(FITTING_ERROR, 2 * float(np.median(levels.noise))))


def _fitted(levels: Levels, tokens: Values, cap: float) -> Values:
    from scipy.optimize import nnls

    running = np.minimum(levels.concurrency, cap)
    columns = np.column_stack([np.ones_like(running), running, running * (running - 1)])
    sizes = columns.max(axis=0).clip(min=1)
    weighted = columns / sizes * (tokens / running / levels.noise)[:, None]
    scale = tokens[0] / running[0]
    (alone, shared, pairs), _ = nnls(weighted / scale, 1 / levels.noise)
    alone, shared, pairs = np.array([alone, shared, pairs]) / sizes
    first = max(alone + shared, 1e-9)
    return np.array([scale / first, shared / first, pairs / first, cap])


def _caps(levels: Levels) -> Values:
    """Between the second level and the last but one, so that two levels at least are at the cap."""
    if len(levels) < CAPPED_LEVELS:
        return np.empty(0)
    inner = levels.concurrency[1:-1]
    return np.unique([*inner, *np.geomspace(inner[0], inner[-1], CANDIDATES)])


def _best(levels: Levels, tokens: Values, caps: Values) -> Values | None:
    fits = [_fitted(levels, tokens, cap) for cap in caps]
    strays = [_strays_of(levels, tokens, parameters) for parameters in fits]
    return fits[int(np.argmin(strays))] if fits else None


def _strays(levels: Levels, parameters: Values) -> float:
    return _strays_of(levels, levels.tokens_per_s, parameters)


def _strays_of(levels: Levels, tokens: Values, parameters: Values) -> float:
    misses = np.log(tokens / throughput(parameters[None], levels.concurrency)[0])
    return float(((misses / levels.noise) ** 2).sum())


def _drawn(levels: Levels, parameters: Values, spread: Values, caps: Values | None) -> Values:
    chance = np.random.default_rng(1).standard_normal((DRAWS, len(levels)))
    curves = throughput(parameters[None], levels.concurrency) * np.exp(chance * spread)
    if caps is None:
        return np.array([_fitted(levels, curve, np.inf) for curve in curves])
    return np.array([_best(levels, curve, caps) for curve in curves])
