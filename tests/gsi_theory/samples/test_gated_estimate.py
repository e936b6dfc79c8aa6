"""Gated curves: the accepted part against all subsets, the gated mean against the exact law, and its error."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from gsi_theory import Instance, Scheme, gsi_law, tilted_reward
from gsi_theory.errors import InputError
from gsi_theory.instance import log_weight
from gsi_theory.rules import subset_kernels
from gsi_theory.samples.gated_estimate import GatedEstimate, gated_mean, score_gated_mean
from tests.oracles.subsets import KERNELS, gated_race, subset_average, subset_variance

WEIGHTS = [Fraction(w, 3) for w in (1, 1, 4, 9, 0, 2, 30)]
VALUES = [Fraction(v, 2) for v in (3, -1, 4, -5, 2, 6, -3)]
LOG = np.array([math.log(w) if w else -math.inf for w in WEIGHTS])
FLOAT = np.array([float(v) for v in VALUES])
NS = range(1, 8)
INF = math.inf


@pytest.fixture(params=["compiled", "python", "carried on"])
def kernels(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every loop compiled, as it is written, and with the race's means carried on from rank to rank, as in larger
    pools."""
    for name, loop in vars(subset_kernels).items():
        if hasattr(loop, "py_func") and request.param != "compiled":
            monkeypatch.setattr(subset_kernels, name, loop.py_func)
    if request.param == "carried on":
        monkeypatch.setattr(
            subset_kernels, "_thins", lambda log_weight, m, *_: log_weight[m - 1] < log_weight[m - 2] + 60
        )


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("cut", [Fraction(1, 100), Fraction(1, 2), Fraction(4, 3), Fraction(7), Fraction(80)])
def test_score_gate_against_all_subsets(cut: Fraction) -> None:
    found = score_gated_mean(FLOAT, LOG, math.log(cut), [1.0, 3.0, 1.5], [0.0, 0.0, 1.0], NS, n_base=2)
    kernel, ones = gated_race(cut), [Fraction(1)] * 7
    for n in NS:
        at = n - 1
        assert found.accepted.value[at] == pytest.approx(float(subset_average(VALUES, WEIGHTS, n, kernel)), abs=1e-12)
        assert found.p_accept.value[at] == pytest.approx(float(subset_average(ones, WEIGHTS, n, kernel)), abs=1e-12)
        for part, values in ((found.accepted, VALUES), (found.p_accept, ones)):
            expected = math.sqrt(subset_variance(values, WEIGHTS, n, kernel))
            assert part.stderr[at] == pytest.approx(expected, rel=1e-6, abs=1e-9)
    rest = 1.0 - found.p_accept.value
    np.testing.assert_allclose(found.value.value, found.accepted.value + rest * found.fallback.value, atol=1e-13)


def test_gate_on_the_tilted_reward_is_a_value() -> None:
    kept = np.array([[True, False, True, True, False, False, True], [True] * 7, [False] * 7])
    found = gated_mean(FLOAT, LOG, kept, [1.0, 3.0, 1.5], [0.0, 0.0, 1.0], NS, n_base=3)
    for row, mask in enumerate(kept):
        inside = [v * int(m) for v, m in zip(VALUES, mask, strict=True)]
        for n in NS:
            accepted = float(subset_average(inside, WEIGHTS, n, KERNELS["softmax"]))
            assert found.accepted.value[row, n - 1] == pytest.approx(accepted, abs=1e-12)
    np.testing.assert_allclose(found.p_accept.value[1:], [[1.0] * 7, [0.0] * 7], atol=1e-13)
    np.testing.assert_allclose(found.value.value[2], found.fallback.value)
    np.testing.assert_allclose(found.value.stderr[2], found.fallback.stderr)


@pytest.mark.parametrize("gate", ["tilted_reward", "score"])
def test_unbiased_and_calibrated(gate: str) -> None:
    """Over many pairs of pools the mean is the exact gated law's, and the mean square error is the jackknife's."""
    rng = np.random.default_rng(2)
    instance = Instance.from_probabilities([0.4, 0.3, 0.2, 0.1], [0.1, 0.2, 0.3, 0.4], [0.1, 0.9, 0.4, 0.6])
    beta, u, ns, size = 2.0, 0.75, [1, 2, 4], 12
    draft, base = instance.draft_candidates(), instance.base_candidates()
    weight, kept = log_weight(draft, beta), tilted_reward(instance, beta) >= u
    values, errors = [], []
    for _ in range(500):
        d, b = rng.choice(4, size, p=np.exp(draft.log_mass)), rng.choice(4, size, p=np.exp(base.log_mass))
        own, other = (instance.reward[d], weight[d]), (instance.reward[b], beta * instance.reward[b], ns)
        found = score_gated_mean(*own, beta * u, *other) if gate == "score" else gated_mean(*own, kept[d], *other)
        values.append(found.value.value)
        errors.append(found.value.stderr)
    rule = "race" if gate == "score" else "softmax"
    exact = [gsi_law(instance, Scheme(beta, n, u, rule, gate=gate)).expectation(instance.reward) for n in ns]
    spread = np.std(values, axis=0, ddof=1)
    assert (np.abs(np.mean(values, axis=0) - exact) < 4.0 * spread / math.sqrt(len(values))).all()
    # The jackknife is right to first order and too large by the higher ones: at n = N/3 by some per cent here.
    ratio = np.mean(np.square(errors), axis=0) / spread**2
    assert (ratio > 1.0 - 4.0 * math.sqrt(2.0 / len(values))).all() and (ratio < 1.35).all()


def test_bad_masks_and_cuts() -> None:
    with pytest.raises(InputError, match="kept of shape"):
        gated_mean([1.0, 2.0], [0.0, 0.0], [1, 0], [1.0], [0.0], [1])
    with pytest.raises(InputError, match="kept of shape"):
        gated_mean([1.0, 2.0], [0.0, 0.0], [True], [1.0], [0.0], [1])
    with pytest.raises(InputError, match="log_cut"):
        score_gated_mean([1.0, 2.0], [0.0, 0.0], math.nan, [1.0], [0.0], [1])
    with pytest.raises(InputError, match="beyond the pool"):
        gated_mean([1.0, 2.0], [0.0, 0.0], [True, True], [1.0], [0.0], [2])


@pytest.mark.parametrize("drafts", [1, 2])
@pytest.mark.parametrize("base", [1, 2])
@pytest.mark.parametrize("gate", ["kept", "some kept", "none kept", "score", "low score", "high score"])
def test_pool_of_one_has_no_error(drafts: int, base: int, gate: str) -> None:
    """One candidate shows no spread: errors are +inf, never NaN, whatever passes; with two of each they are numbers."""
    values, weight = np.array([0.5, 0.0])[:drafts], np.array([0.0, 1.0])[:drafts]
    other = np.array([0.2, 0.3])[:base]
    ns = list(range(1, min(drafts, base) + 1))
    cut = {"kept": 0.0, "some kept": 0.25, "none kept": 9.0, "score": 0.5, "low score": -INF, "high score": INF}[gate]
    if "score" in gate:
        found = score_gated_mean(values, weight, cut, other, other, ns)
    else:
        found = gated_mean(values, weight, values >= cut, other, other, ns, rule="race")
    for part, alone in (
        (found.value, drafts == 1 or base == 1), (found.accepted, drafts == 1), (found.p_accept, drafts == 1),
        (found.fallback, base == 1),
    ):  # fmt: skip
        assert np.isfinite(part.value).all()
        assert (part.stderr == INF).all() if alone else np.isfinite(part.stderr).all()


@pytest.mark.parametrize("gate", ["tilted_reward", "score"])
def test_several_values_and_thresholds_in_one_pass_are_those_of_each_alone(gate: str) -> None:
    rng = np.random.default_rng(5)
    values, base_values = rng.normal(size=(3, 7)), rng.normal(size=(3, 5))
    weight, base_weight, cuts = rng.normal(size=7), rng.normal(size=5), np.array([-0.5, 0.4])

    def estimate(f: np.ndarray, cut: np.ndarray, g: np.ndarray) -> GatedEstimate:
        if gate == "score":
            return score_gated_mean(f, weight, cut, g, base_weight, [1, 4], 2)
        kept = weight >= cut[..., None] if cut.ndim else weight >= cut
        return gated_mean(f, weight, kept, g, base_weight, [1, 4], 2, "race")

    whole = estimate(values, cuts, base_values)
    assert whole.value.value.shape == whole.accepted.stderr.shape == (2, 3, 2)
    assert whole.p_accept.value.shape == (2, 2) and whole.fallback.value.shape == (3, 2)
    for u, cut in enumerate(cuts):
        for v in range(3):
            alone = estimate(values[v], cut, base_values[v])
            for part in ("value", "accepted", "p_accept", "fallback"):
                one, all_of_them = getattr(alone, part), getattr(whole, part)
                at = {"p_accept": (u,), "fallback": (v,)}.get(part, (u, v))
                np.testing.assert_allclose(all_of_them.value[at], one.value, rtol=1e-13)
                np.testing.assert_allclose(all_of_them.stderr[at], one.stderr, rtol=1e-12)
    with pytest.raises(InputError, match="base_values of 2 values, values of 3"):
        estimate(values, cuts, base_values[:2])
