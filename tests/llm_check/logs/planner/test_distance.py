"""Distances of a plan against enumerated laws, at every threshold that tells two outcomes apart and at every β."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from llm_check.logs.planner.distance import UNBOUNDED, distances
from llm_check.logs.planner.scheme_grid import Grid, Option
from llm_check.logs.planner.values import Sets
from tests.oracles import enumeration

# A pool that repeats each outcome as often as its policy says is the instance itself.
COUNTS, BASE_COUNTS, REWARD = (4, 2, 1, 1), (1, 2, 3, 4), (0.1, 0.7, 0.4, 0.9)
DRAFT, BASE = [Fraction(c, 8) for c in COUNTS], [Fraction(c, 10) for c in BASE_COUNTS]
RATIO = [float(b / d) for b, d in zip(BASE, DRAFT, strict=True)]
BETAS, NS = (0.3, 2.0, 7.0), (1, 3)


def _tilted(beta: float) -> list[float]:
    return [r + math.log(rho) / beta for r, rho in zip(REWARD, RATIO, strict=True)]


def _grid() -> Grid:
    """Thresholds between any two neighboring tilted rewards, and between neighboring weights for the score."""
    between = {b: tuple(float(x) for x in np.convolve(sorted(_tilted(b)), [0.5, 0.5], "valid")) for b in BETAS}
    return Grid(("softmax", "race"), BETAS, NS, (2,), between, between)


def _found(grid: Grid) -> tuple[list[Option], np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    own, other = np.repeat(np.arange(4), COUNTS), np.repeat(np.arange(4), BASE_COUNTS)
    ratio, reward = np.log(RATIO), np.array(REWARD)
    sets = Sets(
        ratio[own][None], reward[own][None], reward[other][None], reward[own][None, None], reward[other][None, None]
    )
    options = grid.options()
    found = distances(sets, ratio[other][None], grid, options)
    return options, found.kl_bound[:, 0], found.kl[:, 0], found.tv[:, 0], found.ess[:, 0]


def _exact(option: Option) -> tuple[list[float], list[float], float]:
    """(law, the draft part of the lower bound of law/π, P(reject)) of an option, by enumeration."""
    beta, n = option.beta, option.n
    raised = [math.exp(beta * r) for r in REWARD]
    weight = [x * rho for x, rho in zip(raised, RATIO, strict=True)]
    z = sum(float(b) * x for b, x in zip(BASE, raised, strict=True))
    fallback = enumeration.selection_law(BASE, raised, option.n_base, option.rule)
    if option.on_base:
        return [float(p) for p in fallback], [0.0] * 4, 1.0
    least = 1.0
    kept = [True] * 4
    if option.gate == "score":
        cut = math.exp(beta * option.threshold)  # type: ignore[operator]
        accepted, _ = enumeration.score_gate_law(DRAFT, weight, Fraction(cut), n)
        least = max(1.0, cut / z)
    else:
        if option.threshold is not None:
            kept = [t >= option.threshold for t in _tilted(beta)]
        won = enumeration.selection_law(DRAFT, weight, n, option.rule)
        accepted = [p if k else Fraction(0) for p, k in zip(won, kept, strict=True)]
    rejected = 1 - sum(accepted)
    law = [float(a + rejected * f) for a, f in zip(accepted, fallback, strict=True)]
    w = [x / z for x in weight]
    parts = [n / (n - 1 + x) if option.rule == "softmax" else 1 - (1 - 1 / max(x, least)) ** n for x in w]
    return law, [p if k else 0.0 for p, k in zip(parts, kept, strict=True)], float(rejected)


def test_every_option_is_as_far_from_the_tilt_as_its_enumerated_law() -> None:
    options, kl_bound, kl, tv, ess = _found(_grid())
    gates = {(o.gate, o.threshold is None, o.on_base) for o in options if o.method not in UNBOUNDED}
    assert len(gates) == 4 and {o.n_base for o in options if o.n == 3} == {2, 3}
    for s, option in enumerate(options):
        if option.method in UNBOUNDED:
            assert (kl_bound[s], kl[s], tv[s]) == (math.inf, math.inf, 1.0)
            continue
        raised = [math.exp(option.beta * r) for r in REWARD]
        z = sum(float(b) * x for b, x in zip(BASE, raised, strict=True))
        pi = [float(b) * x / z for b, x in zip(BASE, raised, strict=True)]
        law, parts, rejected = _exact(option)
        assert kl[s] == pytest.approx(float(enumeration.kl(pi, law)), abs=1e-9), option
        assert tv[s] == pytest.approx(float(enumeration.tv(pi, law)), abs=1e-9), option
        m = option.n_base
        falls = [x / z for x in raised]
        fall = [m / (m - 1 + x) if option.rule == "softmax" else 1 - (1 - 1 / max(x, 1)) ** m for x in falls]
        bound = -sum(p * math.log(part + rejected * f) for p, part, f in zip(pi, parts, fall, strict=True))
        assert kl_bound[s] == pytest.approx(bound, abs=1e-9), option
        assert kl_bound[s] >= kl[s] - 1e-9, option
    for b, beta in enumerate(BETAS):
        v = np.repeat(np.exp(beta * np.array(REWARD)), BASE_COUNTS)
        assert ess[b] == pytest.approx(v.sum() ** 2 / (v**2).sum())
