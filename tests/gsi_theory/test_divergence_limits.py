"""Divergences against fractions and scipy-free sums; the any-rule limit against the linear program (M19)."""

from __future__ import annotations

from fractions import Fraction
from functools import partial
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from scipy import stats

from gsi_theory import InputError, divergence, selection_law
from gsi_theory.arrays.logscale import normalize
from gsi_theory.laws.draws import Draws
from gsi_theory.limits import best_tv
from gsi_theory.testing import candidates, instances
from tests.gsi_theory.random_rules import RANDOM_RULES
from tests.oracles import enumeration
from tests.oracles.limit_lp import best_tv_lp


def policy(rng: np.random.Generator, size: int, low: int = 0) -> list[Fraction]:
    counts = rng.integers(low, 20, size)
    counts[rng.integers(size)] += 1
    return [Fraction(int(c), int(counts.sum())) for c in counts]


def logs(values: list[Fraction]) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return np.log(np.array([float(v) for v in values]))


def test_divergences_equal_exact_sums() -> None:
    rng = np.random.default_rng(31)
    for trial in range(200):
        size = int(rng.integers(1, 6))
        p, q = policy(rng, size), policy(rng, size, low=trial % 2)
        lp, lq = logs(p), logs(q)
        assert divergence.tv(lp, lq) == pytest.approx(float(enumeration.tv(p, q)), abs=1e-15)
        assert divergence.kl(lp, lq) == pytest.approx(float(enumeration.kl(p, q)), abs=1e-14)
        assert divergence.chi2(lp, lq) == pytest.approx(float(enumeration.chi2(p, q)), rel=1e-13, abs=1e-14)
        stick = float(sum(max(a - 2 * b, Fraction(0)) for a, b in zip(p, q, strict=True)))
        assert divergence.hockey_stick(lp, lq, 2.0) == pytest.approx(stick, abs=1e-14)
        assert divergence.hockey_stick(lp, lq, 1.0) == pytest.approx(float(enumeration.tv(p, q)), abs=1e-14)
        if all(b > 0 for b in q):
            order_two = float(np.log1p(float(enumeration.chi2(p, q))))
            assert divergence.renyi(lp, lq, 2.0) == pytest.approx(order_two, abs=1e-13)
            top = max(a / b for a, b in zip(p, q, strict=True))
            assert divergence.renyi(lp, lq, np.inf) == pytest.approx(float(np.log(float(top))), abs=1e-13)


def test_nearly_equal_laws_keep_relative_accuracy() -> None:
    """q = p(1 ± ε) at ε = 1e-7: KL = -½ log(1 - ε²), χ² = ε², TV = ε/2 to a relative 1e-8."""
    eps = 1e-7
    lp, lq = np.log([0.5, 0.5]), np.log1p([eps, -eps]) - np.log(2)
    assert divergence.kl(lp, lq) == pytest.approx(-0.5 * np.log1p(-(eps**2)), rel=1e-8)
    assert divergence.chi2(lq, lp) == pytest.approx(eps**2, rel=1e-8)
    assert divergence.tv(lp, lq) == pytest.approx(eps / 2, rel=1e-8)


def test_support_failure_is_infinite_and_far_laws_do_not_overflow() -> None:
    lp, lq = logs([Fraction(1, 2), Fraction(1, 2)]), logs([Fraction(1), Fraction(0)])
    assert divergence.kl(lp, lq) == np.inf
    assert divergence.chi2(lp, lq) == np.inf
    assert divergence.kl(lq, lp) == pytest.approx(np.log(2))
    far_p, far_q = np.array([-1e4, 0.0]), np.array([0.0, -1e4])
    assert divergence.kl(far_p, far_q) == pytest.approx(1e4)
    assert divergence.chi2(far_p, far_q) == np.inf
    assert divergence.tv(far_p, far_q) == 1.0


@pytest.mark.parametrize("call", [lambda: divergence.kl([0.0], [0.0, 0.0]), lambda: divergence.tv([np.nan], [0.0])])
def test_bad_laws_are_refused(call) -> None:
    with pytest.raises(InputError):
        call()


def test_limit_equals_the_linear_program() -> None:
    """200 random instances, K ≤ 4, n ≤ 5, over all selection rules, to 1e-9."""
    rng = np.random.default_rng(32)
    worst = 0.0
    for trial in range(200):
        size, n = int(rng.integers(1, 5)), int(rng.integers(1, 6 if trial % 4 == 0 else 4))
        target, proposal = policy(rng, size), policy(rng, size)
        linear = best_tv_lp(target, proposal, n)
        worst = max(worst, abs(best_tv(logs(target), logs(proposal), n) - linear))
    assert worst <= 1e-9


@given(candidates())
def test_limit_falls_with_n_and_no_rule_beats_it(pool) -> None:
    log_pi = normalize(pool.log_mass + pool.log_ratio)
    values = [best_tv(log_pi, pool.log_mass, n) for n in (1, 2, 8, 64, 10**9)]
    assert values == sorted(values, reverse=True)
    for n, limit in zip((1, 2, 8, 64), values, strict=False):
        for rule in ("softmax", "race", "max"):
            law = selection_law(pool.log_mass, pool.log_ratio, n, rule)
            assert divergence.tv(law.log_prob, log_pi) >= limit - law.error - 1e-14


@given(instances(zeros=True, covered=False))
def test_limit_counts_what_the_draft_misses(instance) -> None:
    missed = float(np.exp(instance.log_base[list(instance.uncovered)]).sum())
    assert best_tv(instance.log_base, instance.log_draft, 2**53) >= missed - 1e-12


@pytest.mark.parametrize(("fixed", "mean"), [(0, 0.2), (0, 2.0), (0, 12.0), (1, 0.7), (3, 5.0)])
def test_limit_of_a_random_number_of_draws(fixed: int, mean: float) -> None:
    """The largest π(A) − P(A is drawn | a draw) over all sets A, the number summed over its law; no rule beats it."""
    rng = np.random.default_rng([37, fixed])
    numbers = np.arange(200)
    chance = stats.poisson.pmf(numbers, mean)
    some = chance[numbers + fixed > 0].sum()
    for _ in range(20):
        target, proposal = rng.dirichlet(np.ones(4), 2)
        least = 0.0
        for inside in product((False, True), repeat=4):
            mass = float(proposal[list(inside)].sum())
            drawn = float(chance @ (1.0 - (1.0 - mass) ** (numbers + fixed))) / some
            least = max(least, float(target[list(inside)].sum()) - drawn)
        log_target, log_proposal = np.log(target), np.log(proposal)
        found = best_tv(log_target, log_proposal, Draws(fixed, mean))
        assert found == pytest.approx(least, abs=1e-12)
        for rule in RANDOM_RULES:
            law = selection_law(log_proposal, log_target - log_proposal, Draws(fixed, mean), rule)
            assert divergence.tv(law.log_prob, log_target) >= found - law.error - 1e-14
    # hardly ever two draws: the winner is one draw
    one = best_tv(log_target, log_proposal, 1)
    assert best_tv(log_target, log_proposal, Draws(0, 0.01)) == pytest.approx(one, abs=0.02)


def test_batches_and_torch_agree_with_single_laws() -> None:
    """Leading axes are a batch; torch gives the same numbers to 1e-12 relative."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(5)
    p, q = rng.normal(size=(6, 1, 9)) * 3, rng.normal(size=(4, 9)) * 3
    p[0, 0, 2], q[1, 3], q[1, 2] = -np.inf, -np.inf, -np.inf
    p, q = normalize(p), normalize(q)
    measures = (
        divergence.kl,
        divergence.tv,
        divergence.chi2,
        partial(divergence.renyi, order=2.5),
        partial(divergence.hockey_stick, gamma=1.3),
    )
    for measure in measures:
        batch = measure(p, q)
        assert batch.shape == (6, 4)
        single = np.array([[measure(p[i, 0], q[j]) for j in range(4)] for i in range(6)])
        np.testing.assert_allclose(batch, single, rtol=1e-13)
        np.testing.assert_allclose(measure(torch.tensor(p), torch.tensor(q)).numpy(), single, rtol=1e-12)
    counts = np.array([1, 3, 10**9, 7])
    batch = best_tv(p, q, counts)
    single = np.array([[best_tv(p[i, 0], q[j], int(counts[j])) for j in range(4)] for i in range(6)])
    np.testing.assert_allclose(batch, single, atol=1e-15)
    np.testing.assert_allclose(best_tv(torch.tensor(p), torch.tensor(q), counts).numpy(), single, atol=1e-12)


def test_a_number_is_no_law() -> None:
    for pair in ((0.0, [0.0]), ([0.0], 0.0), (0.0, 0.0), ([], [])):
        with pytest.raises(InputError, match="give two laws of one length"):
            divergence.kl(*pair)
