"""The Universal Scalability Law (Gunther, Guerrilla Capacity Planning, 2007), fitted to levels.

    throughput(N) = lambda N / (1 + sigma (N - 1) + kappa N (N - 1))

lambda is the throughput of one stream, sigma the serial share of the work (contention), kappa the cost of each pair of
streams (crosstalk). If a server runs at most `cap` streams at once, throughput is constant beyond. A cap is fitted only
if growth has ended and the levels cannot be explained without one.

N / throughput is linear in three coefficients, none of them negative. So the fit is a non-negative least-squares
problem of relative errors, with an exact solution.
"""

from dataclasses import dataclass, field

import numpy as np

from shapebench.analysis.scaling.levels import Levels, Values
from shapebench.support.batch_means import Z, t_quantile

MIN_LEVELS = 3
CAPPED_LEVELS = 4  # at least, two of them at or beyond the cap
CANDIDATES = 24  # for the cap, from one end of the levels to the other
NEAR = np.geomspace(1 / 1.4, 1.4, 17)  # times the best of them: those that are tried then
CAPPED = 10.0  # by how much a cap must lower chi-square
DRAWS = 200  # curves that the levels could have been by chance
TAILS = (2.5, 97.5)  # percent of them
DESCRIBES = 0.05  # a greater error, and one of more than twice the noise, is none that chance explains


@dataclass(frozen=True)
class Estimate:
    """A number and its 95% interval."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, value: float, draws: Values) -> "Estimate":
        low, high = np.percentile(draws, TAILS)
        return cls(float(value), min(float(low), float(value)), max(float(high), float(value)))


@dataclass(frozen=True, eq=False)
class Law:
    """A fitted law, and the laws of bootstrapped curves."""

    parameters: Values  # lambda, sigma, kappa, cap (infinite where there is none)
    draws: Values = field(repr=False)  # a row of parameters for each
    error: float  # root mean square of the relative errors at the levels
    describes: bool

    @property
    def lambda_tokens_per_s(self) -> Estimate:
        return self._estimate(0)

    @property
    def sigma(self) -> Estimate:
        return self._estimate(1)

    @property
    def kappa(self) -> Estimate:
        return self._estimate(2)

    @property
    def cap(self) -> Estimate | None:
        return self._estimate(3) if np.isfinite(self.parameters[3]) else None

    def _estimate(self, place: int) -> Estimate:
        return Estimate.of(self.parameters[place], self.draws[:, place])

    def tokens_per_s(self, concurrency: Values) -> Values:
        return throughput(self.parameters, concurrency)

    def drawn(self, concurrency: Values) -> Values:
        """Compute tokens/s for each draw, a row each."""
        return np.array([throughput(row, concurrency) for row in self.draws])


def throughput(parameters: Values, concurrency: Values) -> Values:
    """Compute tokens/s by the law with these parameters."""
    alone, sigma, kappa, cap = parameters
    running = np.minimum(concurrency, cap)
    tokens: Values = alone * running / (1 + sigma * (running - 1) + kappa * running * (running - 1))
    return tokens


def fit(levels: Levels, *, ended: bool) -> Law | None:
    """Fit the law; None: too few levels for three parameters. `ended`: throughput does not grow at their end."""
    if len(levels) < MIN_LEVELS:
        return None
    tokens = levels.tokens_per_s
    plain = _fitted(levels, tokens, np.inf)
    capped = _capped(levels) if ended and len(levels) >= CAPPED_LEVELS else plain
    needed = chi_square(levels, tokens, plain) - chi_square(levels, tokens, capped) > CAPPED
    parameters = capped if needed else plain
    misses = np.log(tokens / throughput(parameters, levels.concurrency))
    error = float(np.sqrt(np.mean(misses**2)))
    describes = error <= max(DESCRIBES, 2 * float(np.median(levels.noise)))
    return Law(parameters, _drawn(levels, parameters, misses), error, describes)


def chi_square(levels: Levels, tokens: Values, parameters: Values) -> float:
    """Return chi-square: how far the law is from these tokens/s, in units of noise."""
    return float(((np.log(tokens / throughput(parameters, levels.concurrency)) / levels.noise) ** 2).sum())


def _capped(levels: Levels) -> Values:
    first, last = levels.concurrency[[1, -2]]
    coarse = _best(levels, levels.tokens_per_s, np.geomspace(first, last, CANDIDATES))
    return _best(levels, levels.tokens_per_s, _near(levels, coarse))


def _near(levels: Levels, parameters: Values) -> Values:
    """Return caps to try around the one that was found; at least two levels must be at or beyond it."""
    cap: float = parameters[3]
    return np.unique((cap * NEAR).clip(*levels.concurrency[[1, -2]])) if np.isfinite(cap) else np.array([np.inf])


def _best(levels: Levels, tokens: Values, caps: Values) -> Values:
    fits = (_fitted(levels, tokens, cap) for cap in caps)
    return min(fits, key=lambda parameters: chi_square(levels, tokens, parameters))


def _fitted(levels: Levels, tokens: Values, cap: float) -> Values:
    """Fit N / throughput = alone + shared N + pairs N (N - 1), where N counts the streams that run."""
    from scipy.optimize import nnls

    running = np.minimum(levels.concurrency, cap)
    terms = np.column_stack([np.ones_like(running), running, running * (running - 1)])
    sizes, rate = terms.max(axis=0).clip(min=1), tokens / running / tokens[0]
    found, _ = nnls(terms / sizes * (rate / levels.noise)[:, None], 1 / levels.noise)
    alone, shared, pairs = found / sizes
    one = max(alone + shared, 1e-9)
    return np.array([tokens[0] / one, shared / one, pairs / one, cap])


def _drawn(levels: Levels, parameters: Values, misses: Values) -> Values:
    """Draw parameters by chance; where the law misses the levels by more than noise, they spread as far."""
    spare = len(levels) - MIN_LEVELS
    missed = np.sqrt((misses**2).sum() / spare) if spare > 1 else 0
    spread = np.maximum(levels.noise, missed) * t_quantile(min(levels.freedom, 1e6)) / Z
    chance = np.random.default_rng(1).standard_normal((DRAWS, len(levels)))
    curves = throughput(parameters, levels.concurrency) * np.exp(chance * spread)
    caps = _near(levels, parameters)
    return np.array([_best(levels, curve, caps) for curve in curves])
