"""Every method and every claim over legal extreme schemes: a law or verdict, or a documented InputError; no NaN, no
warning (pytest turns them into errors), no -0.0."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest

from gsi_theory import Candidates, InputError, Instance, Scheme, gsi_law, selection_law
from gsi_theory.claims import CLAIMS, Outcome
from gsi_theory.methods import METHODS

INSTANCES = {
    "one outcome": ([1.0], [1.0], [0.3]),
    "two outcomes": ([0.5, 0.5], [0.4, 0.6], [0.0, 1.0]),
    "constant rewards": ([0.2, 0.8], [0.7, 0.3], [0.1, 0.1]),
    "uncovered base mass": ([1.0, 0.0, 0.0], [0.2, 0.3, 0.5], [0.0, 1.0, 0.5]),
    "disjoint": ([1.0, 0.0], [0.0, 1.0], [0.0, 1.0]),
    "draft outside the base": ([0.5, 0.5, 0.0], [0.5, 0.0, 0.5], [1.0, -1.0, 0.0]),
    "an outcome that neither has": ([0.5, 0.5, 0.0], [0.3, 0.7, 0.0], [1.0, -1.0, 5.0]),
    "tiny masses": ([1.0 - 1e-15, 1e-300], [1e-12, 1.0 - 1e-12], [0.0, 1.0]),
    "equal policies": ([0.3, 0.7], [0.3, 0.7], [-0.0, 0.0]),
    "large rewards": ([0.3, 0.7], [0.6, 0.4], [1e6, -1e6]),
    "negative rewards": ([0.1, 0.2, 0.7], [0.5, 0.25, 0.25], [-3.0, -2.0, -1.0]),
}
BETAS = (0.0, -0.0, 1e-300, 1e-9, 1.0, 30.0, 1e3, 1e6)
NS = (1, 2, 3, 7, 1000, 10**9, 2**52, 2**53 - 1, 2**53)
THRESHOLDS = (None, -np.inf, np.inf, 0.0, -0.0, 0.1, 0.5, 1e308, -1e308, -1e-300)
GATES = [("tilted_reward", rule) for rule in ("softmax", "race", "max")] + [("score", "race")]
DOCUMENTED = re.compile(r"within ±1e\+12 nats|a pool holds at most 2\^53 draws; give fewer")
CASES = 30


def extreme(seed: tuple[int, ...]) -> tuple[Instance, Scheme]:
    rng = np.random.default_rng(seed)

    def one(choices):
        return choices[int(rng.integers(len(choices)))]

    gate, rule = one(GATES)
    scheme = Scheme(one(BETAS), one(NS), one(THRESHOLDS), rule, one((None, *NS)), gate)
    return Instance.from_probabilities(*INSTANCES[one(list(INSTANCES))]), scheme


def clean(*values: object) -> bool:
    """Neither NaN nor -0.0."""
    numbers = np.array([v for v in values if v is not None], dtype=np.float64)
    return not (np.isnan(numbers) | ((numbers == 0.0) & np.signbit(numbers))).any()


@pytest.mark.parametrize("key", [key for key in METHODS if METHODS[key].pair_alone])
def test_methods(key: str) -> None:
    number, answered = list(METHODS).index(key), 0
    for trial in range(3 * CASES):
        instance, scheme = extreme((71, number, trial))
        try:
            law = METHODS[key].law(instance, scheme)
        except InputError as error:
            assert DOCUMENTED.search(str(error)), (scheme, str(error))
            continue
        answered += 1
        costs = law.draft_samples, law.base_samples, law.base_scored, law.draft_scored, law.reward_calls
        assert clean(law.error, law.p_accept, *costs), (scheme, law)
        assert not np.isnan(law.log_prob).any() and law.error >= 0.0, (scheme, law)
        assert abs(float(np.exp(law.log_prob).sum()) - 1.0) <= 2.0 * law.error + 1e-15, (scheme, law)
    assert answered > CASES


@pytest.mark.parametrize("key", CLAIMS)
def test_claims(key: str) -> None:
    number = list(CLAIMS).index(key)
    for trial in range(CASES):
        instance, scheme = extreme((72, number, trial))
        try:
            verdict = CLAIMS[key].evaluate(instance, scheme)
        except InputError as error:
            assert "within ±1e+12 nats" in str(error), (scheme, str(error))
            continue
        assert clean(verdict.lhs, verdict.rhs, verdict.slack, verdict.error), (instance, scheme, verdict)
        assert verdict.outcome in (CLAIMS[key].expected, *(o for o in Outcome if o is not Outcome.REFUTED)), (
            instance, scheme, verdict,
        )  # fmt: skip


@pytest.mark.parametrize("n_base", [1, 2**52, 2**53])
def test_a_pool_beyond_float64_is_not_applicable_or_refused(n_base: int) -> None:
    instance = Instance.from_probabilities([0.5, 0.5], [0.4, 0.6], [0.0, 1.0])
    scheme = Scheme(1.0, 2**53, n_base=n_base)  # with n_base = 1 the sum rounds to 2^53
    for key in ("M20-fixed", "M20-fixed-chi2", "M20-fixed-squares"):
        verdict = CLAIMS[key].evaluate(instance, scheme)
        assert verdict.outcome is Outcome.NOT_APPLICABLE and "2^53" in verdict.reason
        assert CLAIMS[key].evaluate(instance, Scheme(1.0, 2**53 - 1, n_base=1)).outcome is not Outcome.NOT_APPLICABLE
    for key in ("pooled", "pooled_race", "pooled_random"):
        with pytest.raises(InputError, match=rf"n \+ n_base = {2**53} \+ {n_base}: .* 2\^53"):
            METHODS[key].law(instance, scheme)


@pytest.mark.parametrize("beta", BETAS)
def test_an_infinite_threshold_takes_all_or_none_at_every_slope(beta: float) -> None:
    instance = Instance.from_probabilities([0.5, 0.5], [0.4, 0.6], [0.0, 1.0])
    for key, threshold in itertools.product(("rsd", "rsd_sigmoid"), (np.inf, -np.inf)):
        law = METHODS[key].law(instance, Scheme(beta, 1, threshold))
        assert law.p_accept == (threshold < 0), key
        assert np.exp(law.log_prob) == pytest.approx([0.5, 0.5] if threshold < 0 else [0.4, 0.6])


def test_minus_zero_is_zero_wherever_it_comes_from() -> None:
    instance = Instance.from_probabilities([0.5, 0.5], [0.5, 0.5], [-0.0, 0.0])
    assert not np.signbit(instance.reward).any()
    drafts = Candidates(np.log([0.5, 0.5]), [-0.0, 0.0], [-0.0, 0.0])
    assert not np.signbit(drafts.reward).any() and not np.signbit(drafts.log_ratio).any()
    scheme = Scheme(-0.0, 2, -0.0)
    assert "-0.0" not in repr(scheme)
    for gate in ({"threshold": np.inf}, {"threshold": -np.inf}, {}):
        law = gsi_law(instance, Scheme(1.0, 2, **gate))
        assert clean(law.p_accept, law.error, law.expectation(instance.reward)), law
    assert clean(selection_law([0.0], [-0.0], 3).error)
