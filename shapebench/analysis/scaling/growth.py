"""The end of growth of throughput, from the levels alone.

On logarithmic axes a throughput curve is concave, whether it is a straight line, saturates smoothly, hits a hard cap
or collapses. So the levels are smoothed by concave regression (Hildreth, Journal of the American Statistical
Association 49, 1954). The slope is the growth for a doubling of concurrency; growth ends where it falls below a tenth.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from shapebench.analysis.scaling.levels import ASSUMED_FREEDOM, Levels, Values
from shapebench.analysis.scaling.usl import DRAWS, TAILS

Places = npt.NDArray[np.intp]

GROWING_SHARE = 0.1  # of the growth of concurrency; less does not count as growth
MIN_SLOPE = float(np.log2(1 + GROWING_SHARE))
END = float(np.log2(1.25))  # doublings; growth at the end is measured over this step or more: shorter ones are noise
MAX_PLACES = 40  # where the smoothed curve may bend or fall
MIN_FALL = 0.05  # of throughput; a smaller fall is negligible
STEEP = 5.0  # times the noise: such a fall ends growth, even if few levels show it
SUDDEN = 40.0  # reduction of chi-square by which a sudden fall is significant: of a fifth, if noise is 2%
SURE = 0.98  # confidence of a collapse: one in fifty curves that do not fall is reported to, given the noise
MAX_FREEDOM = 1e6


@dataclass(frozen=True)
class Growth:
    """`knee`: the level at which growth ends, None where it does not; `fall`: share lost after the peak."""

    knee: int | None
    interval: tuple[int, int] | None
    uncertain: bool  # in more than one of twenty curves, noise of this size changes the result
    last_doubling: float  # growth for a doubling at the highest level, as a share
    fall: float
    collapses: bool


def concave_fit(levels: Levels, tokens: Values, min_slope: float | None = None, drop: int | None = None) -> Values:
    """Fit a concave curve to these `tokens` (their log2) by weighted least squares.

    Its slope is at least `min_slope`, if given; it may have one sudden fall, just before the level `drop`.
    """
    from scipy.optimize import nnls

    along, weights = levels.doublings - levels.doublings[0], 1 / levels.log_noise
    floor, ones = (min_slope or 0) * along, np.ones_like(along)
    down = [-along] if min_slope is None else []
    fallen = [] if drop is None else [-(np.arange(len(along)) >= drop).astype(float)]
    hinges = [np.minimum(along, along[place]) for place in _places(1, len(along) - 2)]
    columns = np.column_stack([ones, -ones, along, *down, *fallen, *hinges])
    sizes, _ = nnls(columns * weights[:, None], (tokens - tokens.mean() - floor) * weights)
    smoothed: Values = columns @ sizes + floor + tokens.mean()
    return smoothed


def _places(first: int, last: int) -> Places:
    count = max(0, min(last - first + 1, MAX_PLACES))
    return np.linspace(first, last, count).round().astype(int)


def with_curve_noise(levels: Levels) -> Levels:
    """Adjust the noise by residuals from a smooth curve: an assumed noise up or down, a known one only up."""
    if len(levels) < 3:
        return levels
    smoothed = _smoothed(levels)
    bends = np.diff(np.diff(smoothed) / np.diff(levels.doublings))
    freedom = max(0, len(levels) - 2 - int((np.abs(bends) > 1e-9).sum()))
    factor = np.sqrt((ASSUMED_FREEDOM + _chi_square(levels, smoothed)) / (ASSUMED_FREEDOM + freedom))
    if levels.source != "assumed":
        return replace(levels, noise=levels.noise * max(1, factor))
    return replace(levels, noise=levels.noise * factor, freedom=levels.freedom + freedom)


def _smoothed(levels: Levels) -> Values:
    """Fit a concave curve, with a sudden fall if nothing else explains the levels."""
    plain = concave_fit(levels, levels.log_tokens)
    falling = (concave_fit(levels, levels.log_tokens, drop=place) for place in _places(1, len(levels) - 1))
    best = min(falling, key=lambda smoothed: _chi_square(levels, smoothed))
    return best if _chi_square(levels, plain) - _chi_square(levels, best) > SUDDEN else plain


def growth(levels: Levels) -> Growth:
    """Find where growth ends; it takes at least two levels."""
    tokens = levels.log_tokens
    smooth = concave_fit(levels, _filled(tokens))
    knee = _knee(levels, smooth)
    drawn = _drawn(levels, smooth)
    last = len(levels) - 1
    places = [last if place is None else place for place in drawn]
    other = np.mean([(place is None) != (knee is None) for place in drawn])
    fall, falls = _fall(levels)
    if knee is None and falls and -np.log2(1 - fall) > STEEP * np.median(levels.log_noise):
        knee, other = int(tokens.argmax()), np.float64(0)  # it fell on the last steps, which are too short for a slope
    return Growth(
        knee=None if knee is None else int(levels.concurrency[knee]),
        interval=None if knee is None else _interval(levels, knee, places),
        uncertain=bool(other > 0.05),
        last_doubling=float(2 ** _end_slope(levels, concave_fit(levels, tokens)) - 1),
        fall=fall,
        collapses=falls and knee is not None,
    )


def _filled(tokens: Values) -> Values:
    """Replace the levels after the peak by the peak: the depth of a fall does not move the end of growth."""
    return np.where(np.arange(len(tokens)) > tokens.argmax(), tokens.max(), tokens)


def _knee(levels: Levels, smoothed: Values) -> int | None:
    if _end_slope(levels, smoothed) >= MIN_SLOPE - 1e-9:
        return None
    slopes = np.diff(smoothed) / np.diff(levels.doublings)
    return int(np.argmax(slopes < MIN_SLOPE - 1e-9))


def _end_slope(levels: Levels, smoothed: Values) -> float:
    along = levels.doublings
    begin = max(along[0], along[-1] - END)
    return float((smoothed[-1] - np.interp(begin, along, smoothed)) / (along[-1] - begin))


def _drawn(levels: Levels, smoothed: Values) -> list[int | None]:
    """Draw curves that this one could have been, by chance, and return their knees."""
    chance = np.random.default_rng(0).standard_normal((DRAWS, len(levels)))
    curves = smoothed + chance * levels.log_noise
    return [_knee(levels, concave_fit(levels, _filled(curve))) for curve in curves]


def _interval(levels: Levels, knee: int, places: list[int]) -> tuple[int, int]:
    """Return the levels between which growth ended: the knee's neighbours, or further by chance."""
    low, high = (round(place) for place in np.percentile(places, TAILS))
    ends = min(low, max(knee - 1, 0)), max(high, min(knee + 1, len(levels) - 1))
    return int(levels.concurrency[ends[0]]), int(levels.concurrency[ends[1]])


def _fall(levels: Levels) -> tuple[float, bool]:
    """Return the fall after the peak, and whether curves without one are too far from the levels for chance."""
    from scipy.special import stdtrit

    free, smooth = _smoothed(levels), concave_fit(levels, levels.log_tokens, min_slope=0)
    fall = float(1 - 2 ** (free[-1] - free.max()))
    further = _chi_square(levels, smooth) - _chi_square(levels, free)
    return fall, bool(fall >= MIN_FALL and further > stdtrit(min(levels.freedom, MAX_FREEDOM), SURE) ** 2)


def _chi_square(levels: Levels, smoothed: Values) -> float:
    return float((((levels.log_tokens - smoothed) / levels.log_noise) ** 2).sum())
