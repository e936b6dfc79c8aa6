"""What the records and laws take: every kind of number and array, in any precision; all else is one clear error."""

from __future__ import annotations

import dataclasses
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
import torch

from gsi_theory import (
    Candidates,
    InputError,
    Instance,
    Scheme,
    divergence,
    gsi_law,
    selection_law,
    tilted_policy,
    tilted_reward,
)
from gsi_theory.arrays.namespace import sum_tolerance
from gsi_theory.claims import CLAIMS, Outcome
from gsi_theory.claims.facts import Facts
from gsi_theory.claims.sides import Sides
from gsi_theory.estimate import subset_mean
from gsi_theory.laws.draws import Draws
from gsi_theory.samples.weight_coverage import chi2_from_base, mean_low, weight_coverage

HALVES = np.log([0.5, 0.5])
POLICY, REWARD = [0.2, 0.3, 0.5], [0.0, 1.0, 0.5]

STRANGE = {
    "strings": ["0.5", "0.5"],
    "one string": [0.5, "0.5"],
    "booleans": [True, False],
    "one boolean": [0.5, True],
    "boolean array": np.array([True, False]),
    "boolean tensor": torch.tensor([True, False]),
    "null": [0.5, None],
    "dict": {"a": 0.5, "b": 0.5},
    "list of dicts": [{"p": 0.5}, {"p": 0.5}],
    "set": {0.5, 0.25},
    "text": "half",
    "complex": [0.5, 0.5j],
    "ragged": [[0.5], [0.5, 0.5]],
    "dates": np.array(["2020-01-01", "2020-01-02"], dtype="datetime64[D]"),
    "tensor with gradient": torch.tensor([0.5, 0.5], requires_grad=True),
}


@pytest.mark.parametrize("kind", STRANGE)
@pytest.mark.parametrize("field", [0, 1, 2])
def test_what_is_no_array_of_numbers_is_refused_by_name(kind: str, field: int) -> None:
    def given(*good: object) -> list:
        return [STRANGE[kind] if i == field else v for i, v in enumerate(good)]

    for make, names, good in (
        (Instance.from_probabilities, ("draft", "base", "reward"), ([0.5, 0.5],) * 2),
        (Instance, ("log_draft", "log_base", "reward"), (HALVES, HALVES)),
        (Candidates, ("log_mass", "reward", "log_ratio"), (HALVES, [0.0, 1.0])),
    ):
        with pytest.raises(InputError, match=names[field]) as caught:
            make(*given(*good, [0.0, 1.0]))
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 250


@pytest.mark.parametrize("kind", [k for k in STRANGE if k != "tensor with gradient"])
def test_selection_law_refuses_them_too(kind: str) -> None:
    for name, call in (
        ("log_mass", lambda v: selection_law(v, [0.0, 1.0], 2)),
        ("log_weight", lambda v: selection_law(HALVES, v, 2)),
        ("n", lambda v: selection_law(HALVES, [0.0, 1.0], v)),
    ):
        with pytest.raises(InputError, match=rf"^{name}\b"):
            call(STRANGE[kind])


@pytest.mark.parametrize("kind", [list, np.asarray])
def test_the_mean_of_an_indicator_is_a_probability(kind) -> None:
    law = gsi_law(Instance.from_probabilities(POLICY, POLICY, REWARD), Scheme(1.0, 2))
    assert law.expectation(kind([False, True, True])) == pytest.approx(float(np.exp(law.log_prob[1:]).sum()))


def test_selection_law_keeps_gradients() -> None:
    weight = torch.tensor([0.0, 1.0], dtype=torch.float64, requires_grad=True)
    selection_law(torch.tensor(HALVES), weight, 3).log_prob[0].backward()
    assert weight.grad is not None and weight.grad[0] > 0


@pytest.mark.parametrize("bad", [True, np.True_, "2", "two", None, [2, 3], {"n": 2}, 2.5, 0, float("nan"), 1j])
def test_scheme_and_draws_take_numbers_alone(bad: object) -> None:
    for field in ("beta", "n", "threshold", "n_base"):
        if (field in ("threshold", "n_base") and bad is None) or (field in ("beta", "threshold") and bad in (2.5, 0)):
            continue
        with pytest.raises(InputError, match=field):
            Scheme(**({"beta": 1.0, "n": 2} | {field: bad}))  # type: ignore[arg-type]
    if bad != 0:
        with pytest.raises(InputError, match="fixed"):
            Draws(bad, 1.0)  # type: ignore[arg-type]
    if bad not in (2.5, 0):
        with pytest.raises(InputError, match="poisson"):
            Draws(1, bad)  # type: ignore[arg-type]


def test_scheme_takes_every_kind_of_number() -> None:
    for number in (2, 2.0, np.int64(2), np.float32(2), np.asarray(2), torch.tensor(2), Fraction(2), Decimal(2)):
        assert Scheme(number, 2, number).beta == Scheme(2.0, 2, 2.0).threshold == 2.0  # type: ignore[arg-type]


def test_gsi_law_names_what_is_no_source_or_scheme() -> None:
    instance = Instance.from_probabilities(POLICY, POLICY, REWARD)
    for source in ({"draft": POLICY}, (instance.draft_candidates(),), "instance", None, (POLICY, POLICY)):
        with pytest.raises(InputError, match="give an Instance, or"):
            gsi_law(source, Scheme(1.0, 2))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="dict as scheme"):
        gsi_law(instance, {"beta": 1.0, "n": 2})  # type: ignore[arg-type]


LOW = {
    "numpy float32": lambda p: np.asarray(p, dtype=np.float32),
    "numpy float16": lambda p: np.asarray(p, dtype=np.float16),
    "torch float32": lambda p: torch.tensor(p, dtype=torch.float32),
    "torch float16": lambda p: torch.tensor(p, dtype=torch.float16),
    "torch bfloat16": lambda p: torch.tensor(p, dtype=torch.bfloat16),
}


def rounded_policies(make, size: int, seed: int):
    """(probabilities, logs) of one policy, each rounded to the precision of `make`, with the policy itself."""
    rng = np.random.default_rng([81, size, seed])
    policy = rng.dirichlet(np.full(size, 0.3)) + 1e-30
    policy /= policy.sum()
    return make(policy.tolist()), make(np.log(policy).tolist()), policy


@pytest.mark.parametrize("dtype", LOW)
@pytest.mark.parametrize("size", [2, 40, 1000])
def test_policies_of_low_precision_are_normalized_in_float64(dtype: str, size: int) -> None:
    for seed in range(3):
        low, logs, policy = rounded_policies(LOW[dtype], size, seed)
        tolerance = sum_tolerance(low)
        assert 1e-9 < tolerance < 0.4
        reward = np.linspace(0.0, 1.0, size)
        for instance in (
            Instance.from_probabilities(low, low, reward),
            Instance(logs, logs, reward),
            Instance(Candidates(logs, reward, np.zeros(size)).log_mass, np.log(policy), reward),
        ):
            draft = np.exp(instance.log_draft)
            assert draft.sum() == pytest.approx(1.0, abs=1e-14) and 0.5 * np.abs(draft - policy).sum() < tolerance
        law = selection_law(logs, np.zeros(size), 3)
        prob = np.asarray(law.log_prob, dtype=np.float64)
        assert np.exp(prob).sum() == pytest.approx(1.0, abs=1e-12)
        facts = Facts.batch(logs, logs, torch.tensor(reward) if "torch" in dtype else reward, 1.0, 2)
        assert float(facts.pi.sum()) == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("dtype", LOW)
def test_low_precision_excuses_no_wrong_sum(dtype: str) -> None:
    for wrong in ([0.3, 0.3], [0.7, 0.7]):
        with pytest.raises(InputError, match="sums to"):
            Instance.from_probabilities(LOW[dtype](wrong), POLICY[:2], [0.0, 1.0])
        with pytest.raises(InputError, match="sums to"):
            selection_law(LOW[dtype](np.log(wrong).tolist()), [0.0, 1.0], 2)
    with pytest.raises(InputError, match="sums to"):
        Instance.from_probabilities([0.3, 0.3], [0.5, 0.5], [0.0, 1.0])
    with pytest.raises(InputError, match="1e-09"):
        Instance.from_probabilities([0.5, 0.5 + 1e-8], [0.5, 0.5], [0.0, 1.0])


@pytest.mark.parametrize("rule", ["softmax", "race", "max"])
def test_a_claim_of_ones_own_calls_selection_law_with_the_count_it_is_handed(rule: str) -> None:
    def sides(f: Facts) -> Sides:
        law = selection_law(f.log_draft, f.beta[..., None] * f.reward + f.log_ratio, f.n, rule)
        return Sides(f.xp.exp(law.log_prob[..., 0]), 1.0, law.error)

    claim = dataclasses.replace(CLAIMS["M11-chi2"], id="own", assumptions=(), sides=sides)
    instance = Instance.from_probabilities(POLICY, [0.5, 0.3, 0.2], REWARD)
    for n in (1, 4):
        verdict = claim.evaluate(instance, Scheme(2.0, n, rule=rule))
        weight = 2.0 * instance.reward + instance.log_ratio
        assert verdict.outcome is Outcome.HOLDS
        assert verdict.lhs == float(np.exp(selection_law(instance.log_draft, weight, n, rule).log_prob[0]))


@pytest.mark.parametrize("count", [np.asarray(3), np.asarray(3.0), np.int64(3), np.float64(3.0), torch.tensor(3)])
def test_counts_without_axes(count: object) -> None:
    law = selection_law(HALVES, [0.0, 1.0], count)
    assert law.log_prob.shape == (2,) and isinstance(law.error, float)
    assert np.array_equal(law.log_prob, selection_law(HALVES, [0.0, 1.0], 3).log_prob)
    for bad in (np.asarray(2.5), np.asarray(0), np.asarray(np.nan)):
        with pytest.raises(InputError, match=r"^n = .*: give whole numbers"):
            selection_law(HALVES, [0.0, 1.0], bad)


PAIR = np.log(POLICY), np.log([0.5, 0.3, 0.2])
INSTANCE = Instance.from_probabilities(POLICY, [0.5, 0.3, 0.2], REWARD)
# what is none of these: a whole number, a name, a share below 1, an instance
NO_NUMBER = [None, "x", [], {}, [1, 2], np.zeros((2, 2)), np.ones(3), object(), np.nan, -np.inf, 10**400, 1j]
CALLS = {
    "order": lambda bad: divergence.renyi(*PAIR, bad),
    "gamma": lambda bad: divergence.hockey_stick(*PAIR, bad),
    "level": lambda bad: weight_coverage(PAIR[0], level=bad),
    "level of a ratio": lambda bad: chi2_from_base(PAIR[0], bad),
    "bold": lambda bad: mean_low(PAIR[0], 0.95, bad),
    "known_mean": lambda bad: weight_coverage(PAIR[0], known_mean=bad),
    "rule of a law": lambda bad: selection_law(*PAIR, 4, rule=bad),
    "rule of a scheme": lambda bad: Scheme(1.0, 4, rule=bad),
    "gate of a scheme": lambda bad: Scheme(1.0, 4, gate=bad),
    "rule of a mean": lambda bad: subset_mean(REWARD, PAIR[0], [1], rule=bad),
    "instance": lambda bad: tilted_policy(bad, 1.0),
    "instance of a reward": lambda bad: tilted_reward(bad, 1.0),
    "beta": lambda bad: tilted_policy(INSTANCE, bad),
    "n": lambda bad: Scheme(1.0, bad),
    "log_weight": lambda bad: weight_coverage(bad),
}


@pytest.mark.parametrize("name", CALLS)
def test_bad_arguments_are_one_short_line(name: str) -> None:
    for bad in NO_NUMBER:
        if name == "log_weight" and np.ndim(bad) == 1 and len(bad):
            continue
        with pytest.raises(InputError) as caught:
            CALLS[name](bad)
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


def test_arrays_without_an_entry_or_beyond_floats_are_refused() -> None:
    for empty in ([], np.zeros(0), np.zeros((2, 0))):
        with pytest.raises(InputError):
            selection_law(*PAIR, empty)
        with pytest.raises(InputError):
            subset_mean(REWARD, PAIR[0], empty)
    with pytest.raises(InputError, match=r"values\[0, 0\] = 1e\+308"):
        subset_mean([1e308, -1e308, 0.0], PAIR[0], [1, 2])
    with pytest.raises(InputError, match=r"log_weight\[0\] = 1e\+308"):
        weight_coverage([1e308, -1e308, 0.0])
    with pytest.raises(InputError, match=r"order .* of a Rényi divergence"):
        divergence.renyi(*PAIR, 1e308)


def test_entries_under_a_mask_do_not_count_in_silence() -> None:
    masked = np.ma.array(REWARD, mask=[1, 0, 0])
    for call in (
        lambda: Instance.from_probabilities(POLICY, POLICY, masked),
        lambda: subset_mean(masked, PAIR[0], [1]),
        lambda: selection_law(PAIR[0], masked, 2),
    ):
        with pytest.raises(InputError, match="masked entries"):
            call()
    assert subset_mean(np.ma.array(REWARD), PAIR[0], [1]).value == pytest.approx(0.5)
