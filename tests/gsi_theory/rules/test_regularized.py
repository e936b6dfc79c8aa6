"""Regularized best-of-n (M40): against the oracle exactly, the sampler and the decoder by standard errors, balls, the
subsets in fractions, and every hard case; what it cannot do is refused."""

from __future__ import annotations

import math
from fractions import Fraction

import mpmath
import numpy as np
import pytest

from gsi_theory import (
    Candidates,
    InputError,
    Instance,
    Scheme,
    divergence,
    gsi_law,
    selection_law,
    tilted_policy,
)
from gsi_theory.certified.ball_law import LogWeight, selection_balls
from gsi_theory.claims import CLAIMS, Outcome
from gsi_theory.claims.facts import Facts
from gsi_theory.estimate import leave_one_out, subset_mean
from gsi_theory.laws.draws import Draws
from gsi_theory.laws.tv_curve import tv_curve
from gsi_theory.limits import best_tv
from gsi_theory.rules.table import rule_named
from llm_check.logs.mean_prediction import scheme_grid
from llm_check.logs.planner.distance import _bound
from llm_check.logs.prediction import predict_position
from llm_check.models.decoding.winners import select
from sims.sampling.sampler import sample_scheme
from tests.oracles import enumeration, subsets

INSTANCE = Instance.from_probabilities([0.3, 0.2, 0.3, 0.2, 0.0], [0.3, 0.2, 0.1, 0.0, 0.4], [0.5, 0.5, 1.0, 0.9, 0.7])
MASS = [Fraction(3, 10), Fraction(1, 5), Fraction(1, 20), Fraction(1, 4), Fraction(1, 5)]
WEIGHTS = [3, 3, 5, 1, 0]  # a tie, a rare heavy one, weight zero


def law_of(mass: list[Fraction], weight: list[int], n: int, rule: str):
    with np.errstate(divide="ignore"):
        return selection_law(np.log([float(m) for m in mass]), np.log(np.array(weight, dtype=np.float64)), n, rule)


@pytest.mark.parametrize("m", ["1", "1.5", "2", "4", "1000"])
@pytest.mark.parametrize("n", [1, 2, 5, 9])
def test_law_is_the_oracles(m: str, n: int) -> None:
    rule = f"regularized:{m}"
    law, truth = law_of(MASS, WEIGHTS, n, rule), enumeration.selection_law(MASS, WEIGHTS, n, rule)
    p = np.exp(law.log_prob)
    assert 0.5 * sum(abs(Fraction(float(x)) - t) for x, t in zip(p, truth, strict=True)) <= law.error < 1e-13
    for x, t in zip(law.log_prob, truth, strict=True):
        assert abs(float(x) - float(mpmath.log(mpmath.mpf(t.numerator) / t.denominator))) <= law.log_error


@pytest.mark.parametrize("n", [100, 10**4, 10**9])
@pytest.mark.parametrize("m", ["4", "2.5", "1000000000"])
def test_law_lies_in_its_balls(n: int, m: str) -> None:
    rule = f"regularized:{m}"
    weight = [LogWeight(Fraction(0), Fraction(w)) for w in WEIGHTS]
    balls, law = selection_balls(MASS, weight, n, rule), law_of(MASS, WEIGHTS, n, rule)
    for ball, x in zip(balls, law.log_prob, strict=True):
        deep = float(ball.log())
        if deep > math.log(1e-300):
            assert abs(deep - x) <= law.log_error
        else:  # no promise, but no -inf either: a divergence stays finite
            assert 1.1 * deep < x < math.log(1e-290)
    assert law.error < 1e-12
    assert law.log_error < 1e-7


def test_error_bound_is_not_idle() -> None:
    """Steep at the border: √n units, not n."""
    rounding = [law_of(MASS, WEIGHTS, n, "regularized:4").log_error for n in (10**2, 10**6)]
    assert 10 < rounding[1] / rounding[0] < 1000


@pytest.mark.parametrize("n", [1, 3, 1000, 10**9])
def test_ends_of_the_family(n: int) -> None:
    """M = 1 is the proposal, M ≥ n the rule max."""
    rng = np.random.default_rng(n)
    log_mass, weight = np.log(rng.dirichlet(np.ones(6))), np.round(2.0 * rng.normal(size=6))
    assert np.allclose(selection_law(log_mass, weight, n, "regularized:1").log_prob, log_mass, rtol=0, atol=1e-15)
    best, top = selection_law(log_mass, weight, n, "max"), selection_law(log_mass, weight, n, "regularized:1e10")
    seen = best.log_prob > math.log(1e-300)
    assert np.all(np.abs(best.log_prob - top.log_prob)[seen] <= best.log_error + top.log_error)


def test_limits_of_m40() -> None:
    """P ≤ M μ; as n grows, M38's law: the heaviest mass 1/M, M-fold, a randomized tie at the border."""
    log_mass, weight = np.log([0.1, 0.15, 0.35, 0.4]), np.array([4.0, 3.0, 2.0, 1.0])
    for n in (3, 40, 10**9):
        law = selection_law(log_mass, weight, n, "regularized:2")
        assert np.all(law.log_prob <= log_mass + math.log(2.0) + law.log_error)
    assert np.allclose(np.exp(law.log_prob), [0.2, 0.3, 0.5, 0.0], atol=1e-4)


def test_one_candidate_padding_batches_and_many_n() -> None:
    assert selection_law(np.zeros(1), np.array([3.0]), 10**9, "regularized:4").log_prob[0] == pytest.approx(
        0.0, abs=1e-8
    )
    log_mass = np.array([[math.log(0.5), math.log(0.5), -np.inf], np.log([0.2, 0.3, 0.5])])
    weight = np.array([[0.0, 1.0, 9.0], [0.0, -np.inf, 2.0]])
    whole = selection_law(log_mass[:, None], weight[:, None], np.array([1, 2, 50]), "regularized:3")
    assert whole.log_prob.shape == (2, 3, 3)
    assert np.all(whole.log_prob[0, :, 2] == -np.inf)
    for row in range(2):
        for at, n in enumerate((1, 2, 50)):
            alone = selection_law(log_mass[row], weight[row], n, "regularized:3")
            assert np.allclose(whole.log_prob[row, at], alone.log_prob, rtol=0, atol=1e-14)


def test_torch_gives_the_same_numbers() -> None:
    torch = pytest.importorskip("torch")
    log_mass, weight = np.log([0.2, 0.3, 0.5]), np.array([0.0, 1.0, 1.0])
    law = selection_law(torch.tensor(log_mass), torch.tensor(weight), 9, "regularized:3")
    assert np.array_equal(law.log_prob.numpy(), selection_law(log_mass, weight, 9, "regularized:3").log_prob)


@pytest.mark.parametrize("m", [1, 2, 3, 50])
def test_averages_over_subsets(m: int) -> None:
    values, weights = [3, -1, 4, 1, -5, 9], [2, 0, 2, 7, 0, 1]
    rule, kernel = f"regularized:{m}", subsets.regularized(m)
    with np.errstate(divide="ignore"):
        found = subset_mean(values, np.log(np.array(weights, dtype=float)), [1, 2, 3, 5, 6], rule)
    for at, n in enumerate((1, 2, 3, 5, 6)):
        assert found.value[at] == pytest.approx(float(subsets.subset_average(values, weights, n, kernel)), abs=1e-12)
        variance = subsets.subset_variance(values, weights, n, kernel)
        assert found.stderr[at] == pytest.approx(math.sqrt(variance), abs=1e-12)


def test_large_pools_are_estimated_to_rounding() -> None:
    """The mean over subsets of one is one; over n of N it tends to the law's own mean."""
    rng = np.random.default_rng(3)
    weight, f = rng.normal(size=4000), rng.random(4000)
    ones = leave_one_out(np.ones(4000), weight, [1, 64, 3999], "regularized:4")
    assert np.allclose(ones.value, 1.0, atol=1e-11)
    law = np.exp(selection_law(np.full(4000, -math.log(4000)), weight, 64, "regularized:4").log_prob)
    estimate = subset_mean(f, weight, [64], "regularized:4")
    assert abs(estimate.value[0] - law @ f) <= 0.2 * estimate.stderr[0]


@pytest.mark.parametrize("m", ["1", "2.5", "4", "100"])
@pytest.mark.parametrize(("n", "threshold"), [(1, None), (7, None), (8, 0.6)])
def test_sampler_agrees(m: str, n: int, threshold: float | None) -> None:
    scheme, rounds = Scheme(2.0, n, threshold, f"regularized:{m}", n_base=3), 20_000
    law = gsi_law(INSTANCE, scheme)
    outcomes, accepted = sample_scheme(INSTANCE, scheme, rounds, np.random.default_rng([n, len(m)]))
    p = np.exp(law.log_prob)
    assert np.all(np.abs(np.bincount(outcomes, minlength=5) / rounds - p) <= 5 * np.sqrt(p * (1 - p) / rounds) + 1e-12)
    assert abs(accepted.mean() - law.p_accept) <= 5 * math.sqrt(law.p_accept * (1 - law.p_accept) / rounds) + 1e-12


def test_sampler_looks_at_all_draws_however_few_it_may_hold() -> None:
    scheme = Scheme(2.0, 40, None, "regularized:4")
    one = sample_scheme(INSTANCE, scheme, 500, np.random.default_rng(0), chunk=16)[0]
    p = np.exp(gsi_law(INSTANCE, scheme).log_prob)
    assert np.all(np.abs(np.bincount(one, minlength=5) / 500 - p) <= 5 * np.sqrt(p * (1 - p) / 500) + 1e-12)


def test_decoder_agrees() -> None:
    """Runs of 6 places, of which some are not drawn (k follows those that are), against the oracle's law."""
    runs, rng = 40_000, np.random.default_rng(5)
    log_p = np.log([0.5, 0.3, 0.2])
    outcome = rng.choice(3, size=(runs, 6), p=np.exp(log_p))
    weight, uniforms = np.array([0.0, 1.0, -np.inf])[outcome], rng.random((runs, 6))
    for drawn in (6, 4):
        winner, _ = select(weight, uniforms, "regularized:2", np.tile(np.arange(6) < drawn, (runs, 1)))
        assert winner.max() < drawn
        p = np.exp(selection_law(log_p, np.array([0.0, 1.0, -np.inf]), drawn, "regularized:2").log_prob)
        chosen = np.bincount(outcome[np.arange(runs), winner], minlength=3) / runs
        assert np.all(np.abs(chosen - p) <= 5 * np.sqrt(p * (1 - p) / runs))


def test_claims_leave_it_out_where_they_do_not_hold_for_it() -> None:
    scheme = Scheme(1.0, 4, 0.5, "regularized:2")
    verdicts = {
        name: claim.evaluate(INSTANCE, scheme) for name, claim in CLAIMS.items() if name.startswith(("M10", "M6"))
    }
    assert verdicts
    facts = Facts.of(INSTANCE, scheme)
    assert np.allclose(np.exp(facts.gated().log_prob).sum(), 1.0)
    for name, claim in CLAIMS.items():
        assumed = [assumption.name for assumption in claim.assumptions]
        if any(name.startswith("rule softmax") for name in assumed):
            assert claim.evaluate(INSTANCE, scheme).outcome is Outcome.NOT_APPLICABLE, name


def test_no_rule_beats_the_limit() -> None:
    law = selection_law(INSTANCE.log_draft, INSTANCE.reward, 6, "regularized:3")
    target = tilted_policy(INSTANCE, 1.0)
    assert divergence.tv(target, law.log_prob) >= best_tv(target, INSTANCE.log_draft, 6)


def test_prediction_takes_it() -> None:
    rng = np.random.default_rng(2)
    draft = Candidates(np.full(40, -math.log(40)), rng.random(40), rng.normal(size=40))
    grid = scheme_grid([2.0], [1, 8], ["regularized:4"], 0.4)
    assert {s.gate for s in grid} == {"tilted_reward"}
    found = predict_position(draft, draft, grid)
    assert np.all(np.isfinite(found.value))
    assert np.all((found.p_accept >= 0.0) & (found.p_accept <= 1.0))


def test_what_it_cannot_do_is_refused_with_the_reason() -> None:
    log_mass, weight = np.log([0.5, 0.5]), np.array([0.0, 1.0])
    for text in (
        "regularized",
        "regularized:",
        "regularized:x",
        "regularized:0.5",
        "regularized:-1",
        "regularized:1/0",
    ):
        with pytest.raises(InputError, match="regularized"):
            rule_named(text)
    with pytest.raises(InputError, match="fixed n"):
        selection_law(log_mass, weight, Draws(0, 3.0), "regularized:2")
    with pytest.raises(InputError, match="score gate"):
        Scheme(1.0, 2, 0.5, "regularized:2", gate="score")
    with pytest.raises(InputError, match="tend to the tilt"):
        tv_curve(log_mass, weight, [2], "regularized:2")
    with pytest.raises(InputError, match="no bound"):
        _bound(weight, 2, "regularized:2")
