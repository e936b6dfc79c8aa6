"""A model of difficulties, for pass@n at more draws than a log has: an estimate, not a bound (M49).

The chance of success p of a prompt is 0 with probability w₀, 1 with w₁, else Beta(a, b): of N draws c are right by the
beta-binomial law. pass@n = 1 − w₀ − (1 − w₀ − w₁) B(a, b + n)/B(a, b). Counts above a quarter of N
are one event: what decides beyond N is how many prompts there are of small p, and the many ways in which large p are
spread shall not say it. The interval is that of the profile likelihood, every value of pass@n that some parameters give
whose log-likelihood is at most 1.2 χ²₁/2 below the largest (1.2: for samples of a hundred prompts); as it is to hold
what n draws of each of these prompts show, the variance of that, (pass@2n − pass@n)/P, is added.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import betaln, chdtri, expit, gammaln, ndtri

from gsi_theory.types import Floats

__all__ = ["CountTable", "profile"]

# (w₀, w₁, logit of the mean, log of a + b): beyond these the law is one of atoms
_LOW, _HIGH = np.array([0.0, 0.0, -12.0, -5.0]), np.array([0.999, 0.999, 12.0, 8.0])
_BOX = list(zip(_LOW, _HIGH, strict=True))
_ALL = {"type": "ineq", "fun": lambda x: 0.999 - x[0] - x[1]}
_WIDER = 1.2
_STARTS = np.array([[0.02, 0.02, -1.0, 0.5], [0.3, 0.02, -1.0, 0.5], [0.02, 0.4, -2.0, 2.0], [0.02, 0.4, -3.0, 0.5]])


@dataclass(frozen=True)
class CountTable:
    """size N: of prompts with N draws, or of N-subsets of them, how many (weights, may be shares) have 0, 1, ..., and
    as the last entry more right ones. One entry of each for every N there is."""

    sizes: tuple[int, ...]
    weights: tuple[Floats, ...]


def _value(zero: float, one: float, a: float, b: float, n: int) -> float:
    return float(1.0 - zero - (1.0 - zero - one) * np.exp(betaln(a, b + n) - betaln(a, b)))


def _shape(x: Floats) -> tuple[float, float]:
    size = float(np.exp(x[3]))
    return max(float(expit(x[2])) * size, 1e-8), max(float(expit(-x[2])) * size, 1e-8)


def _likelihood(table: CountTable) -> Callable[[Floats], float]:
    parts = []
    for n, weight in zip(table.sizes, table.weights, strict=True):
        c = np.arange(weight.size - 1.0)
        parts.append((n, c, gammaln(n + 1.0) - gammaln(c + 1.0) - gammaln(n - c + 1.0), weight))

    def log_likelihood(x: Floats) -> float:
        zero, one = np.clip(x[:2], 0.0, 1.0)
        (a, b), rest, total = _shape(x), max(1.0 - zero - one, 0.0), 0.0
        for n, c, choose, weight in parts:
            law = rest * np.exp(choose + betaln(c + a, n - c + b) - betaln(a, b))
            law[0] += zero
            total += float(weight @ np.log(np.maximum(np.append(law, 1.0 - law.sum()), 1e-300)))
        return total

    return log_likelihood


def _fit(table: CountTable) -> tuple[Floats, float]:
    log_likelihood, total = _likelihood(table), float(sum(w.sum() for w in table.weights))
    found = []
    for start in _STARTS:
        result = minimize(
            lambda x: -log_likelihood(x) / total, start, method="SLSQP", bounds=_BOX, constraints=_ALL,
            options={"maxiter": 200, "ftol": 1e-10},
        )  # fmt: skip
        found.append(np.clip(result.x, _LOW, _HIGH))
    best = max(found, key=log_likelihood)
    return best, log_likelihood(best)


def profile(table: CountTable, n: int, level: float = 0.9) -> tuple[float, float, float]:
    """(pass@n, low, high) of the model, the interval by profile likelihood with the noise of n draws a prompt."""
    x, best = _fit(table)
    log_likelihood, fall = _likelihood(table), 0.5 * _WIDER * float(chdtri(1.0, 1.0 - level))

    def value(x: Floats) -> float:
        return _value(float(x[0]), float(x[1]), *_shape(x), n)

    near = {"type": "ineq", "fun": lambda x: log_likelihood(x) - best + fall}
    middle, ends = value(x), [0.0, 1.0]  # where the search fails nothing is said
    spare = max(0.5 * (1.0 - float(x[0] + x[1])), 0.0)
    # the likelihood bends around an atom at zero and small p, which look alike: start at both
    starts = [x + np.array([min(0.05, spare), 0, 0, 0]), x * np.array([0.5, 1, 1, 1]) - np.array([0, 0, 0.3, 0.3])]
    for k, side in enumerate((-1.0, 1.0)):
        points = []
        for start in starts:
            result = minimize(
                lambda x, side=side: -side * value(x), np.clip(start, _LOW, _HIGH), method="SLSQP", bounds=_BOX,
                constraints=[_ALL, near], options={"maxiter": 100, "ftol": 1e-8},
            )  # fmt: skip
            point = np.clip(result.x, _LOW, _HIGH)
            if log_likelihood(point) >= best - fall - 1e-2:
                points.append(value(point))
        if points:
            ends[k] = side * max(side * middle, *(side * each for each in points))
    low, high = ends
    fresh = float(ndtri(0.5 + 0.5 * level)) ** 2 * _noise(x, n) / sum(w.sum() for w in table.weights)
    low, high = middle - np.hypot(middle - low, np.sqrt(fresh)), middle + np.hypot(high - middle, np.sqrt(fresh))
    return middle, max(float(low), 0.0), min(float(high), 1.0)


def _noise(x: Floats, n: int) -> float:
    """E (1−p)^n (1 − (1−p)^n): the variance of whether one of n draws is right, within a prompt."""
    part = (float(x[0]), float(x[1]), *_shape(x))
    return max(_value(*part, 2 * n) - _value(*part, n), 0.0)
