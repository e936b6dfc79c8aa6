"""Unbiased curves (M31): against all subsets in exact fractions, pass@k, large pools, the exact law, and bad input."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest

from gsi_theory import selection_law
from gsi_theory.errors import InputError
from gsi_theory.estimate import leave_one_out, subset_mean
from gsi_theory.rules import race_subsets, subset_kernels
from gsi_theory.rules import softmax_subsets as subset_softmax
from gsi_theory.rules.softmax_subsets import ERROR_STEP, VALUE_STEP, trapezoid
from gsi_theory.samples.gated_estimate import score_gated_mean
from tests.oracles.subsets import KERNELS, subset_average, subset_variance

RULES = ("softmax", "race", "max")
# Weights: distinct; ties; zeros; all zero; log-weights of ±1e3 nats (2^±1442); one candidate far above the rest.
POOLS = {
    "distinct": [Fraction(k * k + 1, 7) for k in range(8)],
    "ties": [Fraction(w) for w in (3, 3, 3, 1, 1, 5, 5)],
    "zeros": [Fraction(w) for w in (0, 2, 0, 5, 0, 1)],
    "all zero": [Fraction(0)] * 4,
    "light beside zero": [Fraction(w) for w in (0, 0, 1, 1000)],
    "wide": [Fraction(2) ** k for k in (-1442, 1442, 0, 1, 1440, -3, 1442, -1441)],
    "one far above": [Fraction(2) ** 60, *[Fraction(k) for k in range(1, 10)]],
    "pair": [Fraction(1), Fraction(3)],
}


def _log(weights: list[Fraction]) -> np.ndarray:
    return np.array(
        [math.log(w.numerator) - math.log(w.denominator) if w else -math.inf for w in weights], dtype=np.float64
    )


def _values(size: int) -> list[Fraction]:
    return [Fraction((7 * k * k + 3 * k) % 11 - 5, 4) for k in range(size)]


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
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", POOLS)
def test_average_over_all_subsets(name: str, rule: str) -> None:
    weights = POOLS[name]
    values, size = _values(len(weights)), len(weights)
    found = subset_mean([float(v) for v in values], _log(weights), range(1, size + 1), rule)
    expected = [float(subset_average(values, weights, n, KERNELS[rule])) for n in range(1, size + 1)]
    np.testing.assert_allclose(found.value, expected, rtol=0, atol=1e-12)


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", ["distinct", "ties", "zeros", "all zero", "wide", "pair"])
def test_standard_error_is_the_jackknife(name: str, rule: str) -> None:
    weights = POOLS[name][:7]
    values, size = _values(len(weights)), len(weights)
    found = subset_mean([float(v) for v in values], _log(weights), range(1, size + 1), rule)
    for n in range(1, size + 1):
        variance = subset_variance(values, weights, n, KERNELS[rule])
        assert found.stderr[n - 1] == pytest.approx(math.sqrt(variance), rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", ["distinct", "ties", "zeros", "wide"])
def test_deviations_are_those_of_leaving_one_out(name: str, rule: str) -> None:
    """(M31): √((N−1)/N) (U − U without j); at n = N, where no set of n is left without j, U(N) − U(N−1) without j."""
    weights = POOLS[name][:6]
    values, size = _values(len(weights)), len(weights)
    found = leave_one_out([float(v) for v in values], _log(weights), [3, size], rule).deviation[0]
    for j in range(size):
        rest = [*values[:j], *values[j + 1 :]], [*weights[:j], *weights[j + 1 :]]
        for row, n in zip(found, (3, size), strict=True):
            less = subset_average(*rest, min(n, size - 1), KERNELS[rule])
            difference = float(subset_average(values, weights, n, KERNELS[rule]) - less)
            factor = 1.0 if n == size else math.sqrt((size - 1) / size)
            assert row[j] == pytest.approx(factor * difference, rel=1e-5, abs=1e-6)  # ERROR_STEP: 4e-7


@pytest.mark.parametrize(("size", "rare"), [(2, 1e-4), (3, 1e-4), (4, 1e-4), (3, 0.05), (5, 0.3)])
def test_the_standard_error_is_never_too_small_on_average(size: int, rare: float) -> None:
    """Every pool of 0/1 rewards, best-of-n: E stderr² ≥ the variance, at n = N too."""
    ns = list(range(1, size + 1))
    first = second = squared = np.zeros(size)
    for bits in itertools.product((0.0, 1.0), repeat=size):
        chance = rare ** sum(bits) * (1.0 - rare) ** (size - sum(bits))
        found = subset_mean(bits, bits, ns, "max")
        first, second = first + chance * found.value, second + chance * found.value**2
        squared = squared + chance * found.stderr**2
    variance = second - first**2
    assert np.all(squared >= variance * (1.0 - 1e-9))


@pytest.mark.parametrize("rule", RULES)
def test_pass_at_k(rule: str) -> None:
    """β → ∞ with 0/1 rewards: 1 − C(N−c, k)/C(N, k), here at N = 200 and every k."""
    size, right = 200, 7
    reward = np.zeros(size)
    reward[np.random.default_rng(0).choice(size, right, replace=False)] = 1.0
    found = subset_mean(reward, 1e3 * reward, range(1, size + 1), rule)
    expected = [1.0 - float(Fraction(math.comb(size - right, k), math.comb(size, k))) for k in range(1, size + 1)]
    np.testing.assert_allclose(found.value, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize(("step", "bound"), [(VALUE_STEP, 2e-15), (ERROR_STEP, 4e-7)])
def test_quadrature_of_the_reciprocal(step: float, bound: float) -> None:
    """The error of the softmax curve is that of 1/W, whatever the pool: scanned over 25 nats below the anchor."""
    x = np.arange(np.ceil(subset_softmax.LEFT / step), np.ceil(33.0 / step)) * step
    log_t, factor = trapezoid(x, step, 0.0)
    weight = np.exp(-np.linspace(0.0, 25.0, 3001))
    t = np.exp(log_t)
    found = weight * (np.exp(-np.outer(weight, t)) @ (t * factor))
    assert np.max(np.abs(found - 1.0)) < bound


@pytest.mark.parametrize("rule", RULES)
def test_whole_pool_and_single_draws(rule: str) -> None:
    """n = 1 is the mean; n = N is the rule itself on the pool; equal weights give the mean at every n."""
    rng = np.random.default_rng(3)
    weight, values = 5.0 * rng.normal(size=700), rng.normal(size=700)
    found = subset_mean(values, weight, [1, 700], rule)
    assert found.value[0] == pytest.approx(values.mean(), abs=1e-13)
    if rule == "softmax":
        assert found.value[1] == pytest.approx(np.average(values, weights=np.exp(weight - weight.max())), abs=1e-12)
    if rule == "max":
        assert found.value[1] == pytest.approx(values[np.argmax(weight)], abs=1e-12)
    flat = subset_mean(values, np.full(700, -900.0), [1, 2, 50, 350, 699, 700], rule)
    np.testing.assert_allclose(flat.value, values.mean(), rtol=0, atol=1e-12)
    np.testing.assert_allclose(flat.stderr[:-1], values.std(ddof=1) / np.sqrt(700), rtol=1e-6)
    np.testing.assert_allclose(flat.stderr[-1], values.std(ddof=1) / np.sqrt(699), rtol=1e-6)


@pytest.mark.parametrize("spread", [0.1, 2.0, 20.0])
def test_race_curve_candidate_by_candidate(spread: float) -> None:
    """Every n of 150 candidates with ties, each rank's means grown from nothing by (M31)."""
    rng = np.random.default_rng(6)
    weight, values, size = spread * rng.normal(size=150), rng.random(150), 150
    weight[::5] = weight[0]
    order, n = np.argsort(weight), np.arange(1, size + 1)
    weight, f = weight[order], values[order]
    expected, chance = np.zeros(size), n / size
    for m in range(size, 0, -1):
        gap, (e, d) = weight[: m - 1] - weight[m - 1], np.zeros((2, size))
        a, q, e[0] = np.exp(gap), -np.expm1(gap), 1.0
        for j in range(m - 1):
            more = np.minimum(n[:-1] / (j + 1), 1.0)
            d[1:] += more * (q[j] * d[:-1] + f[j] * a[j] * e[:-1] - d[1:])
            e[1:] += more * (q[j] * e[:-1] - e[1:])
        mean = f[m - 1] * np.cumsum(e) / n
        mean += np.cumsum(d / np.maximum(n - 1, 1)) - np.cumsum(d) / n
        expected += chance * mean
        chance = chance * np.maximum(m - n, 0) / max(m - 1, 1)
    found = subset_mean(values, weight[np.argsort(order)], n, "race").value
    np.testing.assert_allclose(found, expected, rtol=2e-14)


@pytest.mark.parametrize("rule", RULES)
def test_large_wide_pool_is_finite_and_in_range(rule: str) -> None:
    """N = 4,096 with log-weights of ±1e3 nats and n to N; numpy's floating-point errors would raise."""
    rng = np.random.default_rng(0)
    weight, values = rng.uniform(-1e3, 1e3, 4096), rng.normal(size=(2, 4096))
    with np.errstate(divide="raise", over="raise", invalid="raise"):
        found = subset_mean(values, weight, [1, 2, 64, 1024, 4096], rule)
    assert np.isfinite(found.value).all() and np.isfinite(found.stderr).all()
    low, high = values.min(axis=1, keepdims=True), values.max(axis=1, keepdims=True)
    assert (low <= found.value).all() and (found.value <= high).all()


@pytest.mark.parametrize("rule", RULES)
def test_unbiased_for_the_exact_law(rule: str) -> None:
    """The mean over many small pools of a discrete policy is the exact law's expectation, a heavy weight included."""
    rng = np.random.default_rng(11)
    mass, weight = np.array([0.5, 0.3, 0.19, 0.01]), np.array([0.0, 1.0, -np.inf, 6.0])
    values, ns = np.array([0.2, -1.0, 0.5, 3.0]), [1, 2, 4, 6]
    drawn = rng.choice(4, size=(600, 6), p=mass)
    found = np.array([subset_mean(values[d], weight[d], ns, rule).value for d in drawn])
    exact = [np.exp(selection_law(np.log(mass), weight, n, rule).log_prob) @ values for n in ns]
    stderr = found.std(axis=0, ddof=1) / np.sqrt(len(found))
    assert (np.abs(found.mean(axis=0) - exact) < 4.0 * stderr).all()


@pytest.mark.parametrize("rule", RULES)
def test_order_scale_and_shape(rule: str) -> None:
    rng = np.random.default_rng(5)
    weight, values = rng.normal(size=30), rng.normal(size=(2, 30))
    ns = [7, 1, 30, 7]
    found = subset_mean(values, weight, ns, rule)
    assert found.value.shape == found.stderr.shape == (2, 4)
    turned = rng.permutation(30)
    moved = subset_mean(3.0 - 2.0 * values[0, turned], weight[turned] + 400.0, ns, rule)
    np.testing.assert_allclose(moved.value, 3.0 - 2.0 * found.value[0], rtol=0, atol=1e-12)
    np.testing.assert_allclose(moved.stderr, 2.0 * found.stderr[0], rtol=1e-6)
    parts = leave_one_out(values, weight, ns, rule)
    np.testing.assert_allclose(np.sqrt(np.sum(parts.deviation**2, axis=-1)), found.stderr, rtol=1e-9)
    both = subset_mean(values.sum(axis=0), weight, ns, rule)
    np.testing.assert_allclose(np.sqrt(np.sum(parts.deviation.sum(axis=0) ** 2, axis=-1)), both.stderr, rtol=1e-6)


@pytest.mark.parametrize("rule", ["softmax", "race"])
def test_errors_beyond_half_the_pool(rule: str) -> None:
    """Where division from below would lose all digits: against the averages over the pool without each candidate, which
    divide nothing, and a flat pool's known error."""
    rng = np.random.default_rng(8)
    weight, values, ns = rng.normal(size=150), rng.normal(size=150), [2, 40, 75, 110, 140, 149]
    whole, without = subset_mean(values, weight, ns, rule), np.arange(150)
    left = [subset_mean(values[without != j], weight[without != j], ns, rule).value for j in range(150)]
    expected = np.sqrt(149 / 150 * np.sum((np.array(left) - whole.value) ** 2, axis=0))
    np.testing.assert_allclose(whole.stderr, expected, rtol=1e-6)
    flat = subset_mean(values, np.zeros(150), ns, rule)
    np.testing.assert_allclose(flat.stderr, values.std(ddof=1) / np.sqrt(150), rtol=1e-6)


def test_pool_of_one() -> None:
    found = subset_mean([2.0], [-5.0], [1])
    assert found.value.tolist() == [2.0] and found.stderr.tolist() == [math.inf]


@pytest.mark.parametrize(
    ("values", "weight", "ns", "rule", "named"),
    [
        ([1.0, np.nan], [0.0, 0.0], [1], "softmax", r"values\[0, 1\] = nan"),
        ([1.0, 2.0], [0.0, np.inf], [1], "softmax", r"log_weight\[1\] = inf"),
        ([1.0, 2.0], [0.0, 0.0], [1, 3], "race", r"ns\[1\] = 3\.0: no unbiased estimate exists beyond the pool"),
        ([1.0, 2.0], [0.0, 0.0], [0], "race", r"ns\[0\] = 0"),
        ([1.0, 2.0], [0.0, 0.0], [1.5], "max", r"ns\[0\] = 1\.5"),
        ([1.0, 2.0, 3.0], [0.0, 0.0], [1], "max", r"shape \(3,\)"),
        ([1.0, 2.0], [0.0, 0.0], [1], "top", "rule 'top'"),
        (["a", "b"], [0.0, 0.0], [1], "max", r"values is not a list of numbers \(values\[0\] = 'a'"),
        (["1", "2"], [0.0, 0.0], [1], "max", r"values is not a list of numbers \(values\[0\] = '1'"),
        ([1.0, 2.0], [0.0, None], [1], "max", r"log_weight is not a list of numbers \(log_weight\[1\] = None"),
        ([1.0, 2.0], [0.0, 0.0], [[1], True], "max", "ns is not a list of numbers"),
    ],
)
def test_bad_input(values: object, weight: object, ns: object, rule: str, named: str) -> None:
    with pytest.raises(InputError, match=named):
        subset_mean(values, weight, ns, rule)  # type: ignore[arg-type]


def test_tensors_are_numbers_unless_a_gradient_would_be_lost() -> None:
    torch = pytest.importorskip("torch")
    weight = torch.tensor([0.0, 1.0], dtype=torch.bfloat16)
    assert subset_mean([True, False], weight, [1]).value.tolist() == [0.5]
    with pytest.raises(InputError, match=r"log_weight is a tensor that needs gradients"):
        subset_mean([1.0, 2.0], weight.requires_grad_(), [1])


@pytest.mark.parametrize("rule", ["softmax", "race"])
def test_scale_of_the_weights_costs_no_digits(rule: str) -> None:
    near = subset_mean([0.0, 1.0, 0.0], [0.0, -1.0, -2.0], [1, 2, 3], rule)
    for shift in (1e4, 1e6, 1e8):
        far = subset_mean([0.0, 1.0, 0.0], [shift, shift - 1.0, shift - 2.0], [1, 2, 3], rule)
        np.testing.assert_array_equal(far.value, near.value)
    # far below another, and nearly equal
    pairs = subset_mean([0.25, 1.0, 0.0], [0.0, -1e30, -1e30 * (1.0 + 1e-7)], [2], rule)
    assert pairs.value == pytest.approx((0.25 + 0.25 + 1.0) / 3)
    weight = np.array([0.3, -0.2, 0.1, 0.0])
    gated = [
        score_gated_mean([1.0, 0.0, 1.0, 0.5], weight + s, 1.0 + s, [0.2, 0.9], weight[:2], [2]).value.value
        for s in (0.0, 2.0**20)
    ]
    np.testing.assert_allclose(*gated, atol=1e-9)  # the given weights are rounded at 2^20


def test_the_lightest_that_can_be_accepted_count_in_the_race(monkeypatch: pytest.MonkeyPatch) -> None:
    """800 candidates of e^-36.7 beside 200 of weight 1, of which 256 leave 56 out or more: against no cut at all."""
    weight = np.r_[np.zeros(200), np.full(800, -36.7)]
    cut = subset_mean((weight < 0).astype(float), weight, [256], "race").value
    monkeypatch.setattr(race_subsets, "IDLE", 200.0)
    assert cut == pytest.approx(subset_mean((weight < 0).astype(float), weight, [256], "race").value, rel=1e-9)
    assert cut > 1e-17
