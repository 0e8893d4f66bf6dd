"""Student's t distribution, from the regularised incomplete beta function."""

from functools import lru_cache
from math import exp, fabs, lgamma, log, log1p

_TINY, _PRECISION, _MAX_TERMS = 1e-300, 1e-14, 500


def two_sided_p(t: float, dof: float) -> float:
    """The chance of a value at least as far from 0 as ``t``: I_x(dof / 2, 1 / 2) with x = dof / (dof + t^2)."""
    return _beta(dof / 2, 0.5, dof / (dof + t * t))


@lru_cache(maxsize=4096)
def quantile(p: float, dof: float) -> float:
    """The value below which a share ``p`` above 0.5 lies, by halving."""
    low, high = 0.0, 1.0
    while two_sided_p(high, dof) > 2 * (1 - p):
        high *= 2
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if two_sided_p(middle, dof) > 2 * (1 - p) else (low, middle)
    return (low + high) / 2


def _beta(a: float, b: float, x: float) -> float:
    """I_x(a, b), by the continued fraction of DLMF 8.17.22, on the side where it converges fast."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x))
    if x < (a + 1) / (a + b + 2):
        return front * _fraction(a, b, x) / a
    return 1 - front * _fraction(b, a, 1 - x) / b


def _fraction(a: float, b: float, x: float) -> float:
    """Lentz's algorithm."""
    c, d = 1.0, 1 / _away_from_zero(1 - (a + b) * x / (a + 1))
    found = d
    for m in range(1, _MAX_TERMS):
        for step in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 / _away_from_zero(1 + step * d)
            c = _away_from_zero(1 + step / c)
            found *= c * d
        if fabs(c * d - 1) < _PRECISION:
            break
    return found


def _away_from_zero(value: float) -> float:
    return value if fabs(value) > _TINY else _TINY
