"""The limit with several drafters (M37b): linear programmes over choices, fractions over sets, the methods."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from scipy.optimize import linprog

from gsi_theory import Instance, Scheme, divergence, tilted_policy
from gsi_theory.errors import InputError
from gsi_theory.laws.drafters import log_mixture
from gsi_theory.laws.several_sources import best_tv_several
from gsi_theory.limits import best_reward_several, best_tv, best_tv_adaptive, best_tv_two
from gsi_theory.methods import METHODS

TIGHT = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}


def chosen_draws(masses: np.ndarray, ns: list[int]) -> dict[frozenset[int], float]:
    """Probability of every set of outcomes that the draws may be, from all sequences of draws."""
    sources = [row for row, n in zip(masses, ns, strict=True) for _ in range(n)]
    out: dict[frozenset[int], float] = {}
    for draws in itertools.product(range(masses.shape[1]), repeat=len(sources)):
        chance = math.prod(float(row[y]) for row, y in zip(sources, draws, strict=True))
        out[frozenset(draws)] = out.get(frozenset(draws), 0.0) + chance
    return out


def subsets(size: int) -> list[list[int]]:
    return [list(y) for k in range(size + 1) for y in itertools.combinations(range(size), k)]


def programme(masses: np.ndarray, ns: list[int], gain: np.ndarray, target: np.ndarray | None) -> float:
    """Largest Σ over what is returned of gain, or of Σ min(P, target), over all ways to choose one of the draws."""
    size = masses.shape[1]
    sets = chosen_draws(masses, ns)
    columns = [(i, y) for i, drawn in enumerate(sets) for y in drawn]
    whole = np.zeros((len(sets), len(columns)))
    law = np.zeros((size, len(columns)))
    for c, (i, y) in enumerate(columns):
        whole[i, c], law[y, c] = 1.0, 1.0
    if target is None:
        found = linprog(-gain @ law, A_eq=whole, b_eq=list(sets.values()), options=TIGHT)
        return float(-found.fun)
    extra = np.zeros((len(sets), size))
    found = linprog(
        np.concatenate([np.zeros(len(columns)), -np.ones(size)]),
        A_ub=np.hstack([-law, np.eye(size)]),
        b_ub=np.zeros(size),
        A_eq=np.hstack([whole, extra]),
        b_eq=list(sets.values()),
        bounds=[(0, None)] * len(columns) + [(0, t) for t in target],
        options=TIGHT,
    )
    return float(1.0 + found.fun)


def problem(seed: int) -> tuple[np.ndarray, np.ndarray, list[int], np.ndarray]:
    rng = np.random.default_rng([37, seed])
    size, sources = int(rng.integers(2, 5)), int(rng.integers(1, 4))
    laws = rng.dirichlet(np.full(size, rng.choice([0.3, 1.0, 4.0])), sources + 1)
    if seed % 5 == 0 and size > 2:  # outcomes that one law has not
        laws[np.arange(sources + 1), rng.integers(size, size=sources + 1)] = 0.0
        laws /= laws.sum(axis=1, keepdims=True)
    ns = [int(n) for n in rng.integers(1, 4 if sources == 1 else 3, sources)]
    return laws[0], laws[1:], ns, rng.normal(size=size)


@pytest.mark.parametrize("part", range(4))
def test_linear_programmes(part: int) -> None:
    for seed in range(part * 50, part * 50 + 50):
        target, masses, ns, reward = problem(seed)
        with np.errstate(divide="ignore"):
            limit = best_tv_several(np.log(target), np.log(masses), ns)
            most = best_reward_several(reward, np.log(masses), ns)
        assert limit.tv == pytest.approx(programme(masses, ns, reward, target), abs=1e-9)
        assert most == pytest.approx(programme(masses, ns, reward, None), abs=1e-9)


def test_sets_in_fractions_and_the_law_that_attains_them() -> None:
    rng = np.random.default_rng(38)
    for _ in range(100):
        size, sources = int(rng.integers(2, 8)), int(rng.integers(1, 5))
        parts = [[Fraction(int(x), 97) for x in rng.integers(1, 50, size)] for _ in range(sources + 1)]
        target, *laws = [[x / sum(row) for x in row] for row in parts]
        ns = [int(n) for n in rng.integers(1, 12, sources)]
        best = Fraction(0)
        for inside in subsets(size):
            missed = math.prod((1 - sum(row[y] for y in inside)) ** n for row, n in zip(laws, ns, strict=True))
            best = max(best, sum(target[y] for y in inside) - 1 + missed)
        floats = np.array([[float(x) for x in row] for row in (target, *laws)])
        limit = best_tv_several(np.log(floats[0]), np.log(floats[1:]), ns)
        assert abs(limit.tv - float(best)) <= 1e-12 and limit.error <= 1e-12
        law = np.exp(limit.log_prob)
        assert abs(law.sum() - 1.0) <= 1e-13 and 0.5 * np.abs(law - floats[0]).sum() <= limit.tv + limit.error
        for inside in subsets(size):
            missed = math.prod((1.0 - row[inside].sum()) ** n for row, n in zip(floats[1:], ns, strict=True))
            assert law[inside].sum() <= 1.0 - missed + 1e-12


def test_one_and_two_drafters_are_the_closed_forms() -> None:
    rng = np.random.default_rng(39)
    for n, m in ((1, 1), (3, 2), (10**9, 7), (64, 0)):
        target, draft, base = np.log(rng.dirichlet(np.full(40, 0.5), 3))
        limit = best_tv_several(target, np.stack([draft, base]), [n, m])
        assert abs(limit.tv - best_tv_two(target, draft, base, n, m)) <= 1e-12 and limit.error <= 1e-12
        assert abs(best_tv_several(target, draft[None], [n]).tv - best_tv(target, draft, n)) <= 1e-12


@pytest.mark.parametrize("seed", range(6))
def test_no_method_with_several_drafters_passes_it(seed: int) -> None:
    """Fixed allocation above its own limit, random allocation above that of the mixture, which is above; and below all,
    the limit of stopping."""
    rng = np.random.default_rng([40, seed])
    instance = Instance.from_probabilities(*rng.dirichlet(np.ones(7), 2), rng.uniform(size=7))
    further, counts, n = np.log(rng.dirichlet(np.full(7, 0.5), 2)), (3, 1), 2
    scheme = Scheme(4.0, n)
    drafts, ns = np.vstack([instance.log_draft, further]), [n, *counts]
    target = tilted_policy(instance, 4.0)
    limit, mix = best_tv_several(target, drafts, ns), log_mixture(drafts, ns)
    of_mixture = best_tv(target, mix, sum(ns))
    assert best_tv_adaptive(target, mix, sum(ns)) <= limit.tv <= of_mixture + 1e-12
    for name in ("drafters", "drafters_race", "drafters_random"):
        law = METHODS[name].law(instance, scheme, further=(further, counts)).log_prob
        apart = divergence.tv(law, target)
        assert apart >= (of_mixture if name == "drafters_random" else limit.tv) - 1e-12
        gained = float(np.exp(law) @ instance.reward)
        assert gained <= best_reward_several(instance.reward, drafts, ns) + 1e-12


@pytest.mark.parametrize(
    ("ns", "words"),
    [
        ([0, 0], "draw at least one"),
        ([1], "J numbers"),
        ([1, 1.5], r"ns\[1\] = 1.5"),
        ([True, 1], r"ns\[0\] = True"),
    ],
)
def test_bad_numbers_of_draws(ns: list, words: str) -> None:
    with pytest.raises(InputError, match=words):
        best_tv_several(np.log([0.5, 0.5]), np.log([[0.5, 0.5], [0.1, 0.9]]), ns)


def test_too_many_outcomes_are_refused() -> None:
    flat = np.full(300, -np.log(300.0))
    with pytest.raises(InputError, match="300 outcomes: give at most 256"):
        best_tv_several(flat, flat[None], [1])
