"""Log-weights as formed in float64: ties of rule max, and error bounds where β r and ℓ cancel."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from gsi_theory import Candidates, Instance, Scheme, gsi_law
from gsi_theory.claims import CLAIMS, Outcome
from gsi_theory.laws.weights import form_weights
from gsi_theory.methods import selected


def _best_of(mass: list[Fraction], level: list[int], n: int) -> list[Fraction]:
    """Law of the best of n where `level` ranks the outcomes, ties in proportion to mass."""
    at = {v: sum((m for m, k in zip(mass, level, strict=True) if k == v), Fraction(0)) for v in level}
    below = {v: sum((m for k, m in at.items() if k < v), Fraction(0)) for v in at}
    won = {v: (below[v] + at[v]) ** n - below[v] ** n for v in at}
    return [m / at[v] * won[v] for m, v in zip(mass, level, strict=True)]


def test_a_tie_that_rounding_breaks_is_a_tie_and_in_the_error() -> None:
    """log(.2) − log(.1) and log(.6) − log(.3) differ by one unit; the ratios are both 2."""
    instance = Instance.from_probabilities([0.1, 0.3, 0.6], [0.2, 0.6, 0.2], [0, 0, 0])
    assert instance.log_ratio[0] != instance.log_ratio[1]
    exact = np.array([float(p) for p in _best_of([Fraction(k, 10) for k in (1, 3, 6)], [1, 1, 0], 3)])
    found = gsi_law(instance, Scheme(0.0, 3, rule="max"))
    np.testing.assert_allclose(np.exp(found.log_prob), exact, atol=1e-15)
    # an order is possible too: then .127 and .657
    ordered = [float(p) for p in _best_of([Fraction(k, 10) for k in (1, 3, 6)], [1, 2, 0], 3)]
    assert found.error >= 0.5 * np.abs(exact - ordered).sum()
    verdict = CLAIMS["M16-win"].evaluate(instance, Scheme(0.0, 3, rule="max"))
    assert verdict.outcome is Outcome.UNDECIDED
    law = selected(instance, Scheme(0.0, 3), "draft", "tilted", "max")
    np.testing.assert_allclose(np.exp(law.log_prob), exact, atol=1e-15)
    assert law.error >= 0.06


def test_a_tie_of_ratios_near_one_is_lost_by_the_logs_of_the_masses() -> None:
    """Two ratios of 21/20: their logs are small, the logs they are differences of are not, and those are rounded."""
    broken = 0
    for a, b in ((1, 2), (3, 7), (5, 40), (8, 30), (11, 23), (20, 30), (13, 50)):
        rest = 100 - a - b
        draft = [Fraction(a, 100), Fraction(b, 100), Fraction(rest, 100)]
        base = [Fraction(21, 20) * draft[0], Fraction(21, 20) * draft[1]]
        base.append(1 - base[0] - base[1])
        instance = Instance.from_probabilities([float(p) for p in draft], [float(p) for p in base], [0, 0, 0])
        broken += bool(instance.log_ratio[0] != instance.log_ratio[1])
        made = form_weights(instance.log_draft, instance.reward, instance.log_ratio, 0.0, "max")
        assert made.log_weight[0] == made.log_weight[1] > made.log_weight[2], (a, b)
        exact = [float(p) for p in _best_of(draft, [1, 1, 0], 3)]
        found = gsi_law(instance, Scheme(0.0, 3, rule="max"))
        np.testing.assert_allclose(np.exp(found.log_prob), exact, atol=1e-14)
        for level in ([2, 1, 0], [1, 2, 0]) if made.doubt[0] else ():
            ordered = [float(p) for p in _best_of(draft, level, 3)]
            assert found.error >= 0.5 * sum(abs(x - y) for x, y in zip(exact, ordered, strict=True)), (a, b)
    assert broken >= 4


def test_ties_of_equal_inputs_are_exact() -> None:
    """Equal rewards of equal ratios, and β r + ℓ = 1 without rounding, leave no doubt; rule max by reward has none."""
    mass = np.log([0.2, 0.3, 0.5])
    for reward, ratio, beta in (([1.0, 1.0, 0.0], [0.3, 0.3, 0.1], 2.0), ([0.0, 1.0, 0.0], [1.0, 0.0, 0.5], 1.0)):
        made = form_weights(mass, np.array(reward), np.array(ratio), beta, "max")
        assert made.log_weight[0] == made.log_weight[1] and not made.doubt.any()
        pair = Candidates(mass, reward, ratio), Candidates(mass, reward, ratio)
        assert gsi_law(pair, Scheme(beta, 5, rule="max")).error < 1e-13
    assert form_weights(mass, np.array([0.1, 0.1, 0.2]), None, 7.0, "max").doubt is None
    assert form_weights(mass, np.array([0.1, 0.3, 0.2]), None, 0.0, "max").log_weight.tolist() == [0.0, 0.0, 0.0]
    # ranks, so that rewards beyond any log-weight are compared too
    huge = form_weights(mass, np.array([[1e16, -3e15, 1e16], [0.3, 0.1, 0.2]]), None, 1e-12, "max")
    assert huge.log_weight.tolist() == [[1.0, 0.0, 1.0], [2.0, 0.0, 1.0]]


def test_rounding_that_makes_two_weights_equal_is_in_doubt() -> None:
    """10⁴ + 10⁻¹³ and 10⁴ are one number in float64; a third, 10⁻³ below, is none of them."""
    made = form_weights(np.log([0.2, 0.3, 0.5]), np.array([1e-13, 0.0, -1e-3]), np.full(3, 1e4), 1.0, "max")
    assert made.log_weight[0] == made.log_weight[1] and made.doubt.tolist() == [True, True, False]
    # 0.55 · 1.9 and 0.55 times the next number are one product
    reward = np.array([1.9, np.nextafter(1.9, 2.0), 1.0])
    while 0.55 * reward[0] != 0.55 * reward[1]:
        reward = np.array([reward[1], np.nextafter(reward[1], 2.0), 1.0])
    product = form_weights(np.log([0.2, 0.3, 0.5]), reward, np.zeros(3), 0.55, "max")
    assert product.doubt.tolist() == [True, True, False]
    zero = form_weights(np.array([0.0, -np.inf]), np.array([0.0, 1e-17]), np.zeros(2), 1.0, "max")
    assert not zero.doubt.any()  # what has no mass ties with nothing


def test_levels_are_as_wide_as_the_rounding_of_both_weights() -> None:
    """0.3 against 10⁴ + 0.3 − 10⁴: the sizes differ by 10⁴, whichever of the two is heavier."""
    mass, ratio = np.log([0.2, 0.3, 0.5]), np.array([0.0, -1e4, -5.0])
    terms = [abs(x) + abs(q) + abs(m) + abs(m + q) for x, q, m in zip((0.3, 10000.3, 0.0), ratio, mass, strict=True)]
    both = float(np.finfo(float).eps) * (terms[0] + terms[1])
    for gap, one in ((0.6, True), (-0.6, True), (1.7, False), (-1.7, False)):
        made = form_weights(mass, np.array([0.3 + gap * both + (10000.3 - 1e4 - 0.3), 10000.3, 0.0]), ratio, 1.0, "max")
        assert (made.log_weight[0] == made.log_weight[1]) == one, gap
        assert made.doubt.tolist() == [one, one, False]
        np.testing.assert_allclose(made.size, terms, rtol=1e-11)


def test_levels_in_a_batch_are_those_of_each_row() -> None:
    rng = np.random.default_rng(3)
    mass, reward = np.log(np.full((40, 6), 1 / 6)), rng.integers(0, 4, (40, 6)) / 10.0
    ratio = rng.integers(-2, 3, (40, 6)) / 10.0
    every = form_weights(mass, reward, ratio, 1.0, "max")
    assert every.doubt.any() and not every.doubt.all()
    for row in range(40):
        one = form_weights(mass[row], reward[row], ratio[row], 1.0, "max")
        np.testing.assert_array_equal(one.log_weight, every.log_weight[row])
        np.testing.assert_array_equal(one.doubt, every.doubt[row])
        # tenths: equal sums differ by rounding at most, unequal ones by 1/10
        sums = np.round(10 * (reward[row] + ratio[row])).astype(int)
        assert (np.equal.outer(one.log_weight, one.log_weight) == np.equal.outer(sums, sums)).all()


@pytest.mark.parametrize("rule", ["softmax", "race"])
def test_weights_whose_terms_cancel(rule: str) -> None:
    """β r = 10⁴ against ℓ = −10⁴: the rounding is of their size, not of their sum's. Exact: rational sums."""
    draft, base, reward, beta = np.log([0.5, 0.5]), np.array([0.0, -1e4]), np.array([0.0, 0.0100003]), 1e6
    instance = Instance(draft, base, reward)
    weight = [Fraction(beta) * Fraction(r) + Fraction(b) - Fraction(d) for r, b, d in
              zip(reward.tolist(), base.tolist(), draft.tolist(), strict=True)]  # fmt: skip
    apart = float(weight[1] - weight[0])
    exact = gsi_law((Candidates(draft, [0.0, 0.0], [0.0, apart]),) * 2, Scheme(1.0, 4, rule=rule))
    found = gsi_law(instance, Scheme(beta, 4, rule=rule))
    off = 0.5 * np.abs(np.exp(found.log_prob) - np.exp(exact.log_prob[:2])).sum()
    assert 2e-14 < off <= found.error < 1e-10
