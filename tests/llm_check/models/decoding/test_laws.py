"""Every method's step on real transformers against its exact law and expected cost from gsi_theory, by frequencies.

The next steps of one position of random models are enumerated, so the law is known to rounding; thousands of runs of
`run_step`, the very function that decodes, are held against it: χ² over the outcomes, z of acceptance, reward and of
every cost. Bounds are Bonferroni's over all comparisons of the file at a total level of 1 %.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from gsi_theory import Instance, Scheme, methods
from gsi_theory.errors import InputError
from gsi_theory.laws.clipping import clip_log_ratio, early_exit_calls
from gsi_theory.laws.drafters import log_mixture
from llm_check.models.decoding.fresh_runs_of_step import measure_method
from llm_check.models.decoding.method_step import StepOutcome
from llm_check.models.decoding.method_table import METHODS, REFUSED, named_method
from llm_check.models.decoding.step_candidates import Models
from llm_check.models.engines.transformers_engine import TransformersEngine
from llm_check.models.tiny.exact_steps import frequency_test
from tests.llm_check.models.engines.test_transformers_engine import build_tokenizer, random_engine, random_model
from tests.llm_check.models.toy import SHORT, Enumerated, ToyReward, enumerated

RUNS = 4000
BETA, N, N_BASE, COUNTS = 2.0, 4, 3, (4, 2)
# Each gate at a threshold that some pass and some fail.
THRESHOLDS = {"tilted_reward": -0.5, "score": 0.3, "reward": 0.5, "sigmoid": 0.5}
# Three tests of at most 13 numbers for each of 40 laws, one in a hundred for all of them.
LEVEL = 0.01 / (40 * 13)
COSTS = ("draft_samples", "base_samples", "base_scored", "draft_scored", "reward_calls")


@pytest.fixture(scope="module")
def models() -> Models:
    return Models(random_engine(6), random_engine(7), ToyReward(), (random_engine(8),), (COUNTS[1],))


@pytest.fixture(scope="module")
def known(models: Models) -> Enumerated:
    return enumerated(models.draft, models.base, models.drafters)


def scheme_of(method: methods.Method) -> Scheme:
    return method.scheme(BETA, N, THRESHOLDS.get(str(method.gate)), N_BASE)


def law_of(method: methods.Method, known: Enumerated, scheme: Scheme, passed: bool) -> methods.MethodLaw:
    """The exact law under the record itself."""
    further = (known.log_drafters[1:], COUNTS[1:]) if method.proposal.startswith("drafters") else None
    return method.law(known.instance, scheme, further, passed)


def expected_costs(
    method: methods.Method, law: methods.MethodLaw, instance: Instance, scheme: Scheme
) -> dict[str, float]:
    """Of MethodLaw, but for what this file knows better."""
    costs = {key: float(getattr(law, key)) for key in COSTS}
    if method.search == "early_exit":
        # The theory bounds log-weights by the largest reward of the instance, a decoder by that of the reward model.
        clip = methods.default_clip(scheme)
        weight = BETA * instance.reward + clip_log_ratio(instance.log_ratio, clip)
        cut = BETA * scheme.threshold if scheme.threshold is not None else -np.inf
        calls = early_exit_calls(instance.log_draft, weight, scheme.n, BETA * ToyReward.high + clip, cut)
        costs["reward_calls"] += calls - costs["base_scored"]
        costs["base_scored"] = calls
    if method.fallback == "residual":
        # The theory counts a draw from the residual, a decoder the base draws that one takes: 1/TV, TV of the rounds.
        costs |= {"base_samples": 1.0, "draft_scored": 1.0}
    return costs


def require_near(measured: np.ndarray, expected: float, what: str) -> None:
    """The mean of independent runs within the level's number of standard errors, one run's worth added."""
    spread = measured.std(ddof=1) / np.sqrt(len(measured)) + np.ptp(measured) / len(measured)
    gap = abs(float(measured.mean()) - expected)
    # The absolute term is the float32 noise of the log-ratios, which moves acceptance by less than 1e-5.
    assert gap <= stats.norm.isf(LEVEL / 2) * spread + 1e-5, (what, float(measured.mean()), expected, spread)


def require_law(known: Enumerated, outcome: StepOutcome, law: methods.MethodLaw, costs: dict[str, float]) -> None:
    leaves = known.trie.locate(outcome.tokens)
    assert (leaves >= 0).all()
    test = frequency_test(leaves, np.exp(law.log_prob))
    assert test.cells > 20
    assert test.p_value > LEVEL
    assert test.max_abs_z < stats.norm.isf(LEVEL / (2 * test.cells)) + 1.0  # cells of 5 are skewed: one deviation more
    np.testing.assert_allclose(outcome.reward, known.instance.reward[leaves], rtol=0, atol=1e-12)
    require_near(outcome.reward, float(np.exp(law.log_prob) @ known.instance.reward), "reward")
    if law.p_accept is not None:
        assert 0.03 < law.p_accept < 0.95
        require_near(outcome.accepted.astype(float), law.p_accept, "acceptance")
    else:
        assert outcome.accepted.all()
    for name, expected in costs.items():
        require_near(getattr(outcome, name).astype(float), expected, name)


# A record of one's own: random numbers of drafts, clipped ratios, GSI's gate and one base draw.
MINE = methods.Method("mine", "mine", "M24", "–", "draft", "clipped", numbers="poisson", gate="tilted_reward", n_base=1)
CASES = [(method, False) for method in (*METHODS.values(), MINE)]
CASES += [(method, True) for method in METHODS.values() if method.switch]


@pytest.mark.parametrize(("method", "passed"), CASES, ids=lambda value: getattr(value, "id", str(value)))
def test_a_step_follows_its_exact_law(method: methods.Method, passed: bool, models: Models, known: Enumerated) -> None:
    scheme = scheme_of(method)
    outcome = measure_method(method, scheme, models, known.place, RUNS, SHORT, 3, passed)
    law = law_of(method, known, scheme, passed)
    require_law(known, outcome, law, expected_costs(method, law, known.instance, scheme))


def test_the_residual_of_policies_that_are_near() -> None:
    """Few drafts are rejected, their replacements take many base draws: the law is the base's, one draw is expected."""
    near, far = random_model(7), random_model(6)
    with torch.no_grad():
        for own, other in zip(near.parameters(), far.parameters(), strict=True):
            own.mul_(0.93).add_(0.07 * other)
    draft, base = TransformersEngine.from_model(near, build_tokenizer(), "near"), random_engine(7)
    pair, method = enumerated(draft, base, ()), METHODS["speculative"]
    law = method.law(pair.instance, scheme_of(method))
    assert 0.5 < law.p_accept < 0.95
    outcome = measure_method(method, scheme_of(method), Models(draft, base, ToyReward()), pair.place, RUNS, SHORT, 3)
    require_law(pair, outcome, law, expected_costs(method, law, pair.instance, scheme_of(method)))
    assert outcome.base_samples.max() > 5


def test_what_no_decoder_plays_is_refused_by_name() -> None:
    """Every method of the theory is played, or its gate says why it is not."""
    for name, method in methods.METHODS.items():
        if name in METHODS:
            assert named_method(name) is method
        else:
            with pytest.raises(InputError, match=rf"method '{name}' cannot be decoded: .*{REFUSED[str(method.gate)]}"):
                named_method(name)
    assert set(methods.METHODS) - set(METHODS) == {"rsd_budget"}


def test_winners_are_recorded_with_what_the_gate_compared(models: Models, known: Enumerated) -> None:
    scheme = scheme_of(METHODS["gsi"])
    outcome = measure_method(METHODS["gsi"], scheme, models, known.place, 300, SHORT, 5)
    tilted = outcome.winner_reward + outcome.winner_log_ratio / BETA
    np.testing.assert_allclose(outcome.winner_tilted_reward, tilted, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(outcome.gate_value, outcome.winner_tilted_reward)
    np.testing.assert_array_equal(outcome.accepted, outcome.gate_value >= scheme.threshold)
    np.testing.assert_array_equal(outcome.source == "base", ~outcome.accepted)
    kept = outcome.accepted
    leaves = known.trie.locate(outcome.tokens)
    np.testing.assert_allclose(outcome.winner_log_ratio[kept], known.instance.log_ratio[leaves[kept]], atol=1e-4)
    np.testing.assert_array_equal(outcome.winner_reward[kept], outcome.reward[kept])


@pytest.mark.parametrize("name", ["pooled", "pooled_random", "drafters", "drafters_random"])
def test_ratios_are_against_the_mixture_of_who_proposes(name: str, models: Models, known: Enumerated) -> None:
    """ℓ = log π_B - log Σ (n_j/n) p_j with the very shares (M20): frequencies alone have little power against them."""
    outcome = measure_method(METHODS[name], scheme_of(METHODS[name]), models, known.place, 200, SHORT, 4)
    pooled = np.stack([known.instance.log_draft, known.instance.log_base])
    own, counts = (pooled, (N, N_BASE)) if name.startswith("pooled") else (known.log_drafters, COUNTS)
    expected = known.instance.log_base - log_mixture(own, counts)
    leaves = known.trie.locate(outcome.tokens)
    np.testing.assert_allclose(outcome.winner_log_ratio, expected[leaves], rtol=0, atol=1e-4)
    assert len(set(outcome.source.tolist())) == 2


class Counting:
    """An engine that counts what it scores, otherwise the one inside."""

    def __init__(self, inside: TransformersEngine) -> None:
        self.inside, self.scored = inside, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inside, name)

    def score(self, prefixes: Any, steps: np.ndarray) -> np.ndarray:
        self.scored += steps.shape[0] * steps.shape[1]
        return self.inside.score(prefixes, steps)


@pytest.mark.parametrize("name", ["expgsi_early_exit", "expgsi_score_gate", "first_passage"])
def test_a_hit_stops_scoring(name: str, models: Models, known: Enumerated) -> None:
    """Neither the base nor the reward model is asked about a candidate that the search does not reach. The base is the
    draft itself, so that many searches end early."""
    base, reward = Counting(models.draft), ToyReward()
    counted = Models(models.draft, base, reward)  # type: ignore[arg-type]
    scheme = METHODS[name].scheme(BETA, N, 0.8 if METHODS[name].gate else None, N_BASE)
    outcome = measure_method(METHODS[name], scheme, counted, known.place, 200, SHORT, 3)
    assert base.scored == outcome.base_scored.sum() < 0.9 * 200 * N
    # Equal draws of a fallback are judged once.
    assert reward.judged <= outcome.reward_calls.sum()
    searched = outcome.reward_calls - np.where(outcome.accepted, 0, N_BASE)
    np.testing.assert_array_equal(searched, outcome.base_scored)
    if name == "expgsi_early_exit":
        everything = measure_method(METHODS["expgsi"], scheme, counted, known.place, 200, SHORT, 3)
        np.testing.assert_array_equal(outcome.tokens, everything.tokens)
        np.testing.assert_array_equal(outcome.winner_reward, everything.winner_reward)
