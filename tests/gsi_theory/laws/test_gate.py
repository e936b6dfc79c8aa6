"""The GSI law (M6, M9) against enumeration of both draws, by identities, and on bad input."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gsi_theory import Candidates, InputError, Instance, Scheme, gsi_law, selection_law, tilted_policy, tilted_reward
from gsi_theory.divergence import tv
from gsi_theory.testing import instances, schemes
from tests.oracles import enumeration


def rational_instance(rng: np.random.Generator, trial: int) -> tuple[list[Fraction], list[Fraction], list[Fraction]]:
    """(draft, base, e^r) as fractions, so that weights at β = 1 are rational; ties and zero masses included."""
    size = int(rng.integers(1, 5))

    def policy(zeros: bool) -> list[Fraction]:
        counts = rng.integers(0 if zeros else 1, 12, size)
        counts[rng.integers(size)] += 1
        return [Fraction(int(c), int(counts.sum())) for c in counts]

    draft, base = policy(trial % 4 == 0), policy(trial % 3 == 0)
    return draft, base, [Fraction(int(v), 4) for v in rng.integers(1, 12, size)]


def test_gated_law_equals_enumeration() -> None:
    """300 random instances: every rule, n_base ≠ n, zero masses, uncovered base mass; worst error ≤ 1e-12."""
    rng = np.random.default_rng(21)
    worst = 0.0
    for trial in range(300):
        draft, base, grown = rational_instance(rng, trial)
        n, n_base = int(rng.integers(1, 5)), int(rng.integers(1, 4))
        rule = ("softmax", "race", "max")[trial % 3]
        instance = Instance.from_probabilities(
            [float(p) for p in draft], [float(p) for p in base], np.log([float(g) for g in grown])
        )
        # Half-way between two attainable tilted rewards, so that no candidate sits on the threshold.
        values = np.unique(tilted_reward(instance, 1.0)[np.isfinite(tilted_reward(instance, 1.0))])
        cut = float(rng.choice(np.r_[values - 0.25, values + 0.25]))
        if np.min(np.abs(values - cut), initial=1.0) < 1e-9:
            cut += 1e-3
        weight = [b * g / d if d else Fraction(1) for d, b, g in zip(draft, base, grown, strict=True)]
        accept = [bool(t >= cut) for t in tilted_reward(instance, 1.0)]
        law, p_accept, accepted, fallback = enumeration.gsi_law(
            draft, base, weight, list(grown), accept, n, n_base, rule
        )
        found = gsi_law(instance, Scheme(1.0, n, cut, rule, n_base))
        for ours, truth in (
            (np.exp(found.log_prob), law),
            (np.exp(found.accepted_log_mass), accepted),
            (np.exp(found.fallback_log_prob), fallback),
            (np.array([found.p_accept]), [p_accept]),
        ):
            worst = max(worst, float(np.max(np.abs(ours - np.array([float(t) for t in truth])))))
        assert 0.5 * np.abs(np.exp(found.log_prob) - np.array([float(t) for t in law])).sum() <= found.error + 1e-15
    assert worst <= 1e-12


def test_score_gate_equals_enumeration() -> None:
    """(M9) with the gate on the winning score: 150 random instances against exact integration."""
    rng = np.random.default_rng(22)
    worst = 0.0
    for trial in range(150):
        draft, base, grown = rational_instance(rng, trial)
        n = int(rng.integers(1, 5))
        level = Fraction(int(rng.integers(1, 40)), 8)
        weight = [b * g / d if d else Fraction(0) for d, b, g in zip(draft, base, grown, strict=True)]
        accepted, p_accept = enumeration.score_gate_law(draft, weight, level, n)
        instance = Instance.from_probabilities(
            [float(p) for p in draft], [float(p) for p in base], np.log([float(g) for g in grown])
        )
        found = gsi_law(instance, Scheme(1.0, n, float(np.log(float(level))), "race", gate="score"))
        worst = max(worst, abs(found.p_accept - float(p_accept)))
        worst = max(worst, float(np.max(np.abs(np.exp(found.accepted_log_mass) - [float(a) for a in accepted]))))
    assert worst <= 1e-12


@given(instances(), schemes())
def test_law_is_a_law_and_acceptance_adds_up(instance, scheme) -> None:
    found = gsi_law(instance, scheme)
    assert not np.isnan(found.log_prob).any()
    assert abs(np.exp(found.log_prob).sum() - 1.0) <= 2 * found.error
    assert abs(np.exp(found.accepted_log_mass).sum() - found.p_accept) <= 2 * found.error
    assert abs(np.exp(found.log_p_reject) + found.p_accept - 1.0) <= 2 * found.error


@given(instances(), schemes(gated=False))
def test_without_a_gate_it_is_the_selection_law(instance, scheme) -> None:
    weight = scheme.beta * instance.reward + instance.log_ratio
    ungated = selection_law(instance.log_draft, weight, scheme.n, scheme.rule)
    found = gsi_law(instance, scheme)
    assert found.p_accept == 1.0
    assert tv(found.log_prob, ungated.log_prob) <= found.error


@given(instances(), schemes(rules=("race",), gated=True))
def test_score_gate_at_coverage_is_unbiased(instance, scheme) -> None:
    """(M9): a threshold at the log of the coverage constant makes the accepted part exactly the tilted policy."""
    beta = max(scheme.beta, 0.5)
    log_weight = beta * instance.reward + instance.log_ratio
    cut = float(np.max(log_weight)) / beta
    found = gsi_law(instance, Scheme(beta, scheme.n, cut, "race", gate="score"))
    accepted = found.accepted_log_mass - np.log(found.p_accept)
    assert tv(accepted, tilted_policy(instance, beta)) <= 4 * found.error / found.p_accept


def test_pair_of_candidate_sets_concatenates() -> None:
    """A pool's draft and base candidates are two sets: the law lives on their union, raw log-ratios decide."""
    draft = Candidates(np.log([0.5, 0.5]), [0.1, 0.9], [0.3, -0.2])
    base = Candidates(np.log([1 / 3] * 3), [0.2, 0.5, 0.8], [0.0, 0.1, 0.2])
    found = gsi_law((draft, base), Scheme(5.0, 3, 0.5))
    assert found.log_prob.shape == (5,)
    assert found.expectation([1.0, 1.0], [1.0, 1.0, 1.0]) == pytest.approx(1.0, abs=found.error)
    assert np.exp(found.accepted_log_mass[0]) == 0.0  # r̃ = 0.1 + 0.3/5 < 0.5
    shifted = Candidates(np.log([0.5, 0.5]), [0.1, 0.9], [2.3, 1.8])
    assert gsi_law((shifted, base), Scheme(5.0, 3, 0.5)).p_accept > found.p_accept


def test_uncovered_base_mass_is_legal_and_told() -> None:
    instance = Instance.from_probabilities([1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.0, 1.0, 2.0])
    assert instance.uncovered == (1,)
    law = gsi_law(instance, Scheme(2.0, 5))
    assert np.exp(law.log_prob).tolist() == [1.0, 0.0, 0.0]


def test_beta_zero_limits() -> None:
    instance = Instance.from_probabilities([0.5, 0.25, 0.25], [0.5, 0.3, 0.2], [0.4, 0.4, 0.4])
    assert tilted_reward(instance, 0.0).tolist() == [0.4, np.inf, -np.inf]
    assert np.allclose(tilted_policy(instance, 0.0), instance.log_base, atol=1e-15)


HALF = [0.5, 0.5]


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: Instance.from_probabilities(HALF, [0.5, float("nan")], HALF), r"base\[1\] = nan"),
        (lambda: Instance.from_probabilities(HALF, [1.5, -0.5], HALF), r"base\[1\] = -0.5"),
        (lambda: Instance.from_probabilities(HALF, HALF, [0.1]), "lengths differ"),
        (lambda: Instance.from_probabilities([0.5, 0.4], HALF, HALF), "draft sums to 0.9"),
        (lambda: Instance.from_probabilities(HALF, HALF, [0.0, float("inf")]), r"reward\[1\] = inf"),
        (lambda: Instance.from_probabilities([], [], []), "K ≥ 1"),
        (lambda: Instance.from_probabilities("abc", HALF, HALF), "draft is not a list of numbers"),
        (lambda: Scheme(-1.0, 2), r"beta = -1.0"),
        (lambda: Scheme(float("nan"), 2), "beta = nan"),
        (lambda: Scheme(1.0, 0), "n = 0"),
        (lambda: Scheme(1.0, 2, n_base=0), "n_base = 0"),
        (lambda: Scheme(1.0, 2, threshold=float("nan")), "threshold nan"),
        (lambda: Scheme(1.0, 2, rule="argmax"), "rule 'argmax'"),
        (lambda: Scheme(1.0, 2, gate="none"), "gate 'none'"),
        (lambda: Scheme(1.0, 2, gate="score"), "rule 'race'"),
        (lambda: Candidates([0.0], [0.5], [float("nan")]), r"log_ratio\[0\] = nan"),
        (lambda: gsi_law((Candidates([0.0], [0.5], [np.inf]),) * 2, Scheme(1.0, 2)), r"log_ratio\[0\] = inf"),
    ],
)
def test_bad_input_names_value_and_cure(build, words) -> None:
    with pytest.raises(InputError, match=words):
        build()


@given(instances(), st.sampled_from(("softmax", "race")), st.integers(1, 10**6), st.integers(-1000, 1000))
def test_constant_shift_of_reward_and_threshold(instance, rule, n, shift) -> None:
    """r + c with threshold u + c is the same law: π does not change, and every tilted reward moves by c.

    Not for the max rule, where rounding β r + ℓ may make or break a tie.
    """
    beta = 2.0
    reward = np.round(instance.reward * 64) / 64
    plain = Instance(instance.log_draft, instance.log_base, reward)
    levels = np.unique(tilted_reward(plain, beta)[np.isfinite(tilted_reward(plain, beta))])
    # A threshold halfway between two levels, so that rounding decides nothing.
    gaps = np.diff(levels)
    cut = float(levels[np.argmax(gaps)] + gaps.max() / 2) if gaps.size and gaps.max() > 1e-6 else None
    moved = Instance(instance.log_draft, instance.log_base, reward + shift)
    one = gsi_law(plain, Scheme(beta, n, cut, rule))
    other = gsi_law(moved, Scheme(beta, n, None if cut is None else cut + shift, rule))
    assert tv(one.log_prob, other.log_prob) <= one.error + other.error
    assert abs(one.p_accept - other.p_accept) <= one.error + other.error


def test_equal_probabilities_keep_a_log_ratio_of_zero() -> None:
    """At β = 0 the gate compares r̃ = r where ℓ = 0 and ±∞ elsewhere: a rounded ℓ would reject an equal candidate."""
    instance = Instance.from_probabilities([0.5, 0.2, 0.3], [0.8, 0.2, 0.0], [0.5, 0.5, 0.2])
    assert instance.log_ratio[1] == 0.0
    assert gsi_law(instance, Scheme(0.0, 1000, 0.5)).p_accept == pytest.approx(1.0, abs=1e-12)
