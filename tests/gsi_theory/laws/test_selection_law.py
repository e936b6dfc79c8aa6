"""The laws of the winner (M1-M5) against enumeration, ball arithmetic, and the invariances of every rule."""

from __future__ import annotations

from fractions import Fraction

import flint
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gsi_theory import InputError, selection_law
from gsi_theory.arrays.logscale import normalize
from gsi_theory.divergence import kl, tv
from gsi_theory.laws.selection_law import BLOCK, RULES
from gsi_theory.rules import softmax
from gsi_theory.rules.table import rule_named
from gsi_theory.testing import candidates
from tests.oracles import balls, enumeration


def rational(rng: np.random.Generator, size: int, zeros: bool) -> list[Fraction]:
    counts = rng.integers(0 if zeros else 1, 30, size)
    counts[rng.integers(size)] += 1
    return [Fraction(int(c), int(counts.sum())) for c in counts]


def logs(values: list[Fraction]) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return np.log(np.array([float(v) for v in values]))


@pytest.mark.parametrize("rule", RULES)
def test_law_equals_enumeration(rule: str) -> None:
    """200 random instances a rule (zero masses, zero weights and ties among them), worst absolute error ≤ 1e-12."""
    rng = np.random.default_rng([11, RULES.index(rule)])
    worst = 0.0
    for trial in range(200):
        size, n = int(rng.integers(1, 5)), int(rng.integers(1, 6))
        mass = rational(rng, size, zeros=trial % 3 == 0)
        weight = [Fraction(int(v), 7) for v in rng.integers(0 if trial % 2 else 1, 9, size)]
        truth = enumeration.selection_law(mass, weight, n, rule)
        law = selection_law(logs(mass), logs(weight), n, rule)
        error = np.abs(np.exp(law.log_prob) - np.array([float(t) for t in truth]))
        worst = max(worst, float(error.max()))
        assert 0.5 * error.sum() <= law.error + 1e-16 * size
    assert worst <= 1e-12


@pytest.mark.parametrize("n", range(1, 31))
def test_race_two_point_case_is_exact(n: int) -> None:
    """(M17), exact case: μ = (½, ½), π = (¼, ¾) gives TV = ¾·3^{-n}."""
    log_pi = np.log([0.25, 0.75])
    law = selection_law(np.log([0.5, 0.5]), log_pi, n, "race")
    assert abs(tv(law.log_prob, log_pi) - 0.75 * 3.0**-n) <= 1e-15


def assert_same_logs(one: np.ndarray, other: np.ndarray, error: float) -> None:
    """Equal within `error` nats where a probability exceeds 1e-300, the range `Law.log_error` speaks of."""
    visible = np.maximum(one, other) > np.log(1e-300)
    assert np.all(np.abs(one[visible] - other[visible]) <= error)


HOSTILE = (
    # (log-masses before normalization, log-weights, n)
    ([-1.0, -2.0, -0.5], [0.0, 1e6, -1e6], 10**9),
    ([-1.0, -2.0, -0.5], [1e4, -1e4, 0.0], 16),
    ([-690.0, 0.0, -300.0], [650.0, 0.0, 300.0], 10**9),
    ([-690.0, 0.0], [1e4, 0.0], 1000),
    ([0.0, -1.0, -2.0, -3.0], [5.0, 5.0, 5.0, 5.0], 10**9),
    ([0.0, -1.0, -2.0], [-np.inf, 0.0, 3.0], 7),
    ([0.0, -21.5], [-np.inf, 0.0], 10**9),
    ([0.0, -21.5, -25.0], [-np.inf, 0.0, 2.0], 186),
    ([-np.inf, -1.0, -2.0], [np.inf, 0.0, 3.0], 10**6),
    ([0.0], [123.0], 10**9),
    ([-1.0, -1.0], [0.0, 1e-12], 10**9),
    ([-0.1, -5.0, -9.0, -30.0], [0.0, 4.0, 9.0, 31.0], 2),
    ([0.0, -20.0, -40.0], [-30.0, 0.0, 30.0], 10**9),
    ([0.0, -112.0], [599.0, 0.0], 2),
    ([0.0, -112.0, -113.0], [299.0, 0.0, -0.5], 2),
)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("log_mass", "log_weight", "n"), HOSTILE)
def test_hostile_cases_against_ball_arithmetic(rule: str, log_mass: list, log_weight: list, n: int) -> None:
    """Every log-probability above 1e-300 is within `log_error` of its enclosure, and `error` covers the total."""
    mass = normalize(np.array(log_mass))
    law = selection_law(mass, np.array(log_weight), n, rule)
    solve = {"softmax": balls.softmax_law_balls, "race": balls.race_law_balls, "max": balls.max_law_balls}[rule]
    held = np.isfinite(mass)
    truth = solve([float(m) for m in np.exp(mass[held])], [float(w) for w in np.array(log_weight)[held]], n)
    with flint.ctx.workprec(400):
        exact = np.array([float(t.mid()) for t in truth])
        exact_log = np.array([float(t.log().mid()) if t > 0 else -np.inf for t in truth])
    assert not np.isnan(law.log_prob).any()
    # Masses enter the oracle as exp of our log-masses: one rounding of exp, relative to |log μ|.
    given_error = 4e-16 * (2.0 + np.abs(mass[held]))
    visible = exact > 1e-300
    assert np.all(np.abs(law.log_prob[held][visible] - exact_log[visible]) <= law.log_error + given_error[visible])
    assert 0.5 * np.abs(np.exp(law.log_prob[held]) - exact).sum() <= law.error + float(given_error @ exact)


@given(candidates(), st.sampled_from(RULES), st.integers(1, 10**9), st.randoms())
def test_permutation_of_candidates(pool, rule, n, random) -> None:
    order = np.array(random.sample(range(pool.reward.size), pool.reward.size))
    law = selection_law(pool.log_mass, pool.log_ratio, n, rule)
    moved = selection_law(pool.log_mass[order], pool.log_ratio[order], n, rule)
    assert_same_logs(moved.log_prob, law.log_prob[order], 2 * law.log_error)


@given(candidates(max_size=5), st.sampled_from(RULES), st.integers(1, 10**6))
def test_splitting_a_candidate_splits_its_probability(pool, rule, n) -> None:
    law = selection_law(pool.log_mass, pool.log_ratio, n, rule)
    halves = np.r_[pool.log_mass, pool.log_mass[0]] - np.log(2) * np.r_[1, np.zeros(pool.reward.size - 1), 1]
    split = selection_law(halves, np.r_[pool.log_ratio, pool.log_ratio[0]], n, rule)
    joined = np.r_[np.logaddexp(split.log_prob[0], split.log_prob[-1]), split.log_prob[1:-1]]
    assert_same_logs(joined, law.log_prob, law.log_error + split.log_error)


@given(candidates(), st.sampled_from(RULES), st.integers(1, 10**9), st.integers(-1000, 1000))
def test_scaling_of_weights_changes_nothing(pool, rule, n, shift) -> None:
    """Weights that are multiples of 1/64 shift without rounding, so ties stay ties."""
    weight = np.round(pool.log_ratio * 64) / 64
    law = selection_law(pool.log_mass, weight, n, rule)
    shifted = selection_law(pool.log_mass, weight + shift, n, rule)
    assert_same_logs(shifted.log_prob, law.log_prob, 2 * law.log_error)


@given(candidates(), st.sampled_from(RULES))
def test_one_draw_is_the_proposal(pool, rule) -> None:
    law = selection_law(pool.log_mass, pool.log_ratio, 1, rule)
    assert_same_logs(law.log_prob, normalize(pool.log_mass), law.log_error)


@given(candidates(), st.sampled_from(("softmax", "race")), st.integers(2, 50))
def test_large_weights_become_max(pool, rule, n) -> None:
    """Log-weights a multiple of 1,000 apart: the draw's best wins, whatever the noise."""
    weight = 1000.0 * np.round(pool.log_ratio)
    top = selection_law(pool.log_mass, weight, n, "max")
    law = selection_law(pool.log_mass, weight, n, rule)
    assert tv(law.log_prob, top.log_prob) <= 1e-12


@given(candidates(), st.integers(1, 300), st.integers(1, 300))
def test_race_divergences_fall_with_n_and_stay_below_softmax(pool, n, more) -> None:
    """(M17): dominance and monotonicity of the race rule, in TV and both KLs."""
    log_pi = normalize(pool.log_mass + pool.log_ratio)
    race, later = (selection_law(pool.log_mass, pool.log_ratio, k, "race") for k in (n, n + more))
    softmax = selection_law(pool.log_mass, pool.log_ratio, n)
    slack = 100 * (race.log_error + softmax.log_error + later.log_error)
    for one, other in ((later, race), (race, softmax)):
        assert tv(one.log_prob, log_pi) <= tv(other.log_prob, log_pi) + slack
        assert kl(log_pi, one.log_prob) <= kl(log_pi, other.log_prob) + slack
        assert kl(one.log_prob, log_pi) <= kl(other.log_prob, log_pi) + slack


@pytest.mark.parametrize(
    ("log_mass", "log_weight", "n", "rule", "words"),
    [
        ([0.0], [0.0], 0, "softmax", "n = 0"),
        ([0.0], [0.0], 2.5, "softmax", "n = 2.5"),
        ([0.0], [0.0], 1, "best", "rule 'best'"),
        ([0.0], [0.0, 1.0], 1, "max", "one length"),
        ([0.0], [float("nan")], 1, "max", r"log_weight\[0\] = nan"),
        ([0.0], [float("inf")], 2, "max", r"log_weight\[0\] = inf"),
        ([-1.0], [0.0], 1, "max", "sums to"),
        ([], [], 1, "max", "K ≥ 1"),
    ],
)
def test_bad_input_names_value_and_cure(log_mass, log_weight, n, rule, words) -> None:
    with pytest.raises(InputError, match=words):
        selection_law(log_mass, log_weight, n, rule)


@pytest.mark.parametrize("rule", ["softmax", "race", "max"])
def test_errors_of_a_long_law_are_those_of_the_whole(rule: str) -> None:
    """More candidates than a block holds, the least likely in the first of them: (units Σp + 2 ε H)/2, and 2 ε times
    the largest exponent for each."""
    rng = np.random.default_rng(3)
    log_mass, weight = normalize(rng.normal(size=3 * BLOCK + 5)), rng.normal(size=3 * BLOCK + 5)
    log_mass[7] = -600.0
    law = selection_law(normalize(log_mass), weight, 16, rule)
    p, units, eps = np.exp(law.log_prob), rule_named(rule).rounding(weight.size), np.finfo(np.float64).eps
    entropy = float(-(p * law.log_prob).sum())
    assert entropy > 9.0 and law.log_prob.argmin() == 7
    expected = 0.5 * (units * p.sum() + 2.0 * eps * entropy)
    assert law.error == pytest.approx(max(expected, 0.5 * abs(p.sum() - 1.0)), rel=1e-9, abs=0.0)
    if rule_named(rule).magnified is None:
        assert law.log_error == pytest.approx(units - 2.0 * eps * law.log_prob.min(), rel=1e-9, abs=0.0)


@pytest.mark.parametrize("budget", [1, 500, 4000])
def test_laws_in_parts_are_those_at_once(budget: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    log_mass, log_weight = np.log(rng.dirichlet(np.ones(5), size=7)), rng.normal(0.0, 2.0, (7, 5))
    whole = selection_law(log_mass, log_weight, 4, "softmax").log_prob
    monkeypatch.setattr(softmax, "BUDGET", budget)
    np.testing.assert_allclose(selection_law(log_mass, log_weight, 4, "softmax").log_prob, whole, atol=1e-13)
