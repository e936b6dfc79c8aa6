"""The sampler against the exact law for every rule and gate; edge cases; the comparison itself can fail."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy import stats

from gsi_theory import InputError, Instance, Scheme, gsi_law
from sims.agreement import compare
from sims.instance_families import COMBINATIONS, FAMILIES, passing_threshold, random_case, signed, usual_scheme
from sims.sampling.sampler import sample_scheme

DRAWS = 20_000
# Each test below fails by chance with probability LEVEL at most (Bonferroni over its comparisons); seeds are fixed.
LEVEL = 1e-4
# Two outcomes of equal weight (ties), one that only the draft has, one that only the base has.
EDGES = Instance.from_probabilities([0.3, 0.2, 0.3, 0.2, 0.0], [0.3, 0.2, 0.1, 0.0, 0.4], [0.5, 0.5, 1.0, 0.9, 0.7])


def compared(instance: Instance, scheme: Scheme, seed: int, draws: int = DRAWS, exact: Scheme | None = None):
    """Comparison of `draws` rounds of `scheme` with the exact law (of another scheme, if `exact` is given)."""
    law = gsi_law(instance, exact or scheme)
    outcomes, accepted = sample_scheme(instance, scheme, draws, np.random.default_rng(seed))
    return compare(np.exp(law.log_prob), None if scheme.threshold is None else law.p_accept, outcomes, accepted)


def assert_agrees(instance: Instance, scheme: Scheme, seed: int) -> None:
    found = compared(instance, scheme, seed)
    assert found.worst <= stats.norm.isf(LEVEL / (2 * found.count)), (scheme, found)


@pytest.mark.parametrize(("rule", "gate"), COMBINATIONS)
@pytest.mark.parametrize("n", [1, 2, 7])
def test_frequencies_follow_the_exact_law(rule, gate, n) -> None:
    for cell, instance in enumerate((EDGES, signed(FAMILIES["dirichlet"].build(3)))):
        for beta in (0.7, 20.0):
            assert_agrees(instance, usual_scheme(instance, rule, gate, n, beta), 100 + cell)


@pytest.mark.parametrize(("rule", "gate"), [c for c in COMBINATIONS if c[1] != "none"])
def test_base_draws_may_differ_in_number(rule, gate) -> None:
    scheme = dataclasses.replace(usual_scheme(EDGES, rule, gate, 2, 2.0), n_base=9)
    assert_agrees(EDGES, scheme, 7)


@pytest.mark.parametrize("index", range(12))
def test_random_cases_follow_the_exact_law(index) -> None:
    """Includes beta = 0, where tilted rewards are infinite, and thresholds equal to a tilted reward."""
    instance, scheme = random_case(np.random.default_rng([5, index]))
    assert_agrees(instance, dataclasses.replace(scheme, n=min(scheme.n, 30), n_base=3), index)


def test_one_draw_ungated_is_the_draft() -> None:
    outcomes, accepted = sample_scheme(EDGES, Scheme(3.0, 1), DRAWS, np.random.default_rng(1))
    counts = np.bincount(outcomes, minlength=5)[:4]
    assert accepted.all() and counts.sum() == DRAWS
    assert stats.chisquare(counts, DRAWS * np.exp(EDGES.log_draft[:4])).pvalue > LEVEL


def test_uncovered_outcome_comes_only_from_the_fallback() -> None:
    outcomes, accepted = sample_scheme(EDGES, Scheme(5.0, 3, 1.0), DRAWS, np.random.default_rng(2))
    assert not np.any(outcomes[accepted] == 4)
    assert np.any(outcomes[~accepted] == 4)
    assert not np.any(outcomes[~accepted] == 3)


def test_weight_zero_everywhere_is_uniform_among_the_drawn() -> None:
    """Draft and base share no completion: all drawn weights are zero, the winner is one of the drawn."""
    disjoint = Instance.from_probabilities([0.2, 0.8, 0.0], [0.0, 0.0, 1.0], [0.1, 0.2, 0.3])
    for rule in ("softmax", "race", "max"):
        assert_agrees(disjoint, Scheme(2.0, 5, None, rule), 11)
    outcomes, accepted = sample_scheme(disjoint, Scheme(2.0, 5, 0.0), 100, np.random.default_rng(3))
    assert not accepted.any() and (outcomes == 2).all()


@pytest.mark.parametrize("threshold", [-np.inf, np.inf])
@pytest.mark.parametrize("gate", ["tilted_reward", "score"])
def test_infinite_thresholds_decide_alone(threshold, gate) -> None:
    scheme = Scheme(0.0, 4, threshold, "race", gate=gate)
    covered = FAMILIES["two_point"].build(0)
    _, accepted = sample_scheme(covered, scheme, 1000, np.random.default_rng(4))
    # At beta = 0 a tilted reward is itself infinite and may reach an infinite threshold.
    expected = gsi_law(covered, scheme).p_accept
    assert abs(accepted.mean() - expected) <= 5 * np.sqrt(expected * (1 - expected) / 1000)


@pytest.mark.parametrize("rule", ["softmax", "race", "max"])
def test_small_chunks_give_the_same_law(rule) -> None:
    """A chunk below n splits a round's candidates; the running winner must not favor a part."""
    scheme = Scheme(1.5, 40, passing_threshold(EDGES, 1.5), rule)
    law = gsi_law(EDGES, scheme)
    outcomes, accepted = sample_scheme(EDGES, scheme, 4000, np.random.default_rng(8), chunk=16)
    found = compare(np.exp(law.log_prob), law.p_accept, outcomes, accepted)
    assert found.worst <= stats.norm.isf(LEVEL / (2 * found.count))


def test_same_stream_same_rounds() -> None:
    scheme = Scheme(2.0, 4, 0.5)
    first, second = (sample_scheme(EDGES, scheme, 500, np.random.default_rng(9)) for _ in range(2))
    other = sample_scheme(EDGES, scheme, 500, np.random.default_rng(10))
    assert np.array_equal(first[0], second[0]) and np.array_equal(first[1], second[1])
    assert not np.array_equal(first[0], other[0])


@pytest.mark.parametrize("draws", [0, -3, 2.5, "many"])
def test_bad_number_of_draws(draws) -> None:
    with pytest.raises(InputError, match="draws = "):
        sample_scheme(EDGES, Scheme(1.0, 2), draws, np.random.default_rng(0))


@pytest.mark.parametrize(("rule", "gate"), COMBINATIONS)
def test_a_wrong_law_is_detected(rule, gate) -> None:
    """The law at n + 1 in place of n = 4, at 100 000 rounds, is far beyond the bound of the whole experiment (5.2)."""
    instance = FAMILIES["dirichlet"].build(0)
    scheme = usual_scheme(instance, rule, gate, 4, 1.0)
    wrong = dataclasses.replace(scheme, n=5, n_base=5)
    assert compared(instance, scheme, 12, 100_000, wrong).worst > 8.0


def test_the_comparison_is_calibrated() -> None:
    """Of 400 comparisons the share beyond the two-sided 5 % point is 5 %, or a little less as counts are discrete."""
    prob = np.array([0.5, 0.25, 0.15, 0.1])
    rng = np.random.default_rng(13)
    z = np.concatenate(
        [compare(prob, None, rng.choice(4, 2000, p=prob), np.ones(2000, bool)).z[:1] for _ in range(400)]
    )
    beyond = int(np.sum(np.abs(z) > stats.norm.isf(0.025)))
    assert stats.binom.sf(beyond - 1, 400, 0.05) > LEVEL
    assert stats.binom.cdf(beyond, 400, 0.035) > LEVEL


def test_an_impossible_outcome_is_infinitely_surprising() -> None:
    found = compare(np.array([1.0, 0.0]), 1.0, np.array([0, 0, 1]), np.array([True, True, False]))
    assert found.worst == np.inf and found.acceptance_z == -np.inf
