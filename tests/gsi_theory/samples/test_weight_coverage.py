"""Coverage of weights and how far a pool speaks: hand values, the exact χ², and the guarantees by simulation."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats

from gsi_theory.errors import InputError
from gsi_theory.samples.pool_limits import (
    Reason,
    drafts_for_base,
    furthest_n,
    khat_limit,
    speaks,
    tail_seen,
    unseen_shift,
)
from gsi_theory.samples.weight_coverage import chi2_from_base, mean_low, weight_coverage

BETS = np.linspace(0.02, 0.98, 25)  # the shares staked
DRAFT, BASE = np.array([0.5, 0.3, 0.15, 0.05]), np.array([0.2, 0.2, 0.2, 0.4])
RATIO = np.log(BASE / DRAFT)
CHI2 = float(np.sum(BASE**2 / DRAFT) - 1.0)


def test_hand_values() -> None:
    found = weight_coverage(np.log([1.0, 1.0, 2.0]))
    assert found.ess == pytest.approx(16.0 / 6.0)
    assert found.chi2 == pytest.approx(3.0 * 6.0 / 16.0 - 1.0)
    assert found.renyi2 == pytest.approx(math.log(1.0 + found.chi2))
    assert found.largest_share == pytest.approx(0.5)
    assert found.log_largest == pytest.approx(math.log(2.0))
    assert found.unseen == pytest.approx(1.0 - 0.05 ** (1 / 3))
    known = weight_coverage(np.log([0.5, 1.5]), known_mean=True)
    assert known.chi2 == pytest.approx(0.25) and known.guaranteed and not found.guaranteed
    for alone in (weight_coverage([0.3]), weight_coverage([0.3], known_mean=True)):
        assert alone.chi2_stderr == math.inf and alone.chi2_low == 0.0  # one draw shows no spread
    equal = weight_coverage(np.full(50, -800.0))
    assert equal.ess == 50.0 and equal.chi2 == pytest.approx(0.0, abs=1e-12)


def test_shift_of_the_tilt_changes_nothing() -> None:
    weight = np.random.default_rng(0).normal(size=40)
    one, other = weight_coverage(weight), weight_coverage(weight + 900.0)
    assert (one.ess, one.chi2, one.chi2_low) == pytest.approx((other.ess, other.chi2, other.chi2_low))


def test_chi2_is_unbiased_and_its_bound_holds() -> None:
    """Both estimators of χ²(π_B‖π_S) average to the exact value; the lower bounds exceed it in at most 5 % of pools."""
    rng = np.random.default_rng(3)
    from_draft, from_base = [], []
    for _ in range(200):
        drafts = weight_coverage(RATIO[rng.choice(4, 60, p=DRAFT)], known_mean=True)
        from_draft.append((drafts.chi2, drafts.chi2_low))
        from_base.append(chi2_from_base(RATIO[rng.choice(4, 60, p=BASE)]))
    for found in (np.array(from_draft), np.array(from_base)):
        assert abs(found[:, 0].mean() - CHI2) < 4 * found[:, 0].std() / math.sqrt(200)
        assert np.sum(found[:, 1] > CHI2) <= 10 + 4 * math.sqrt(200 * 0.05 * 0.95)
        assert (found[:, 1] <= np.maximum(found[:, 0], 0.0) + 1e-9).all()
    assert np.median(np.array(from_base)[:, 1]) > 0.3 * CHI2  # the bound says something


@pytest.mark.parametrize("bold", [0.0, 0.5])
def test_mean_low_solves_its_definition(bold: float) -> None:
    """The average of the products over λ, its weights summing to one, is 1/(1 − level) at the bound."""
    values = [0.9, 1.0, 0.4, 0.95, 1.0]
    bound = math.exp(mean_low(np.log(values), 0.8, bold))
    products = [(math.prod(1 + x * (v / bound - 1) for v in values), (1 - bold) / 25) for x in BETS]
    products.append((math.prod(1 + 0.995 * (v / bound - 1) for v in values), bold))
    assert sum(weight for _, weight in products) == pytest.approx(1.0)
    assert sum(product * weight for product, weight in products) == pytest.approx(5.0, rel=1e-6)


def test_mean_low_holds_for_a_heavy_tail() -> None:
    """X = 1/u^0.9 has mean 10 and infinite variance: the bound still exceeds it in at most 5 % of samples."""
    rng = np.random.default_rng(4)
    exceeded = sum(mean_low(-0.9 * np.log(rng.random(100))) > math.log(10.0) for _ in range(200))
    assert exceeded <= 10 + 4 * math.sqrt(200 * 0.05 * 0.95)
    assert mean_low([-np.inf, -np.inf]) == -np.inf


@pytest.mark.parametrize("size", [1, 2, 5])
def test_the_mass_beyond_the_pool_is_unbiased_with_atoms_too(size: int) -> None:
    """Every pool of `size` draws from four atoms, two of one weight: E[beyond] is the weighted law's mass on weights
    above the largest of size − 1 draws, exactly; w_max/N is larger in the mean."""
    mass, weight = np.array([0.5, 0.2, 0.2, 0.1]), np.array([0.2, 1.5, 1.5, 3.0])
    weight = weight / (mass @ weight)
    found = largest = truth = 0.0
    for pool in itertools.product(range(4), repeat=size):
        chance = float(np.prod(mass[list(pool)]))
        seen = weight_coverage(np.log(weight[list(pool)]), known_mean=True)
        found += chance * seen.beyond
        largest += chance * float(np.max(weight[list(pool)])) / size
    for pool in itertools.product(range(4), repeat=size - 1):
        top = max((weight[y] for y in pool), default=0.0)
        truth += float(np.prod(mass[list(pool)])) * float((mass * weight)[weight > top].sum())
    assert found == pytest.approx(truth, rel=1e-12)
    assert largest > truth * 1.05 if size > 1 else largest == pytest.approx(truth)


def test_the_mass_beyond_the_pool_without_a_known_mean_is_a_share() -> None:
    assert weight_coverage([0.0, 1.0, 2.0]).beyond == weight_coverage([0.0, 1.0, 2.0]).largest_share
    assert weight_coverage([0.0, 2.0, 2.0]).beyond == 0.0
    far = weight_coverage([800.0, -np.inf], known_mean=True)
    assert far.beyond == far.chi2 == far.chi2_stderr == np.finfo(np.float64).max
    assert weight_coverage([1.0, 1.0], known_mean=True).chi2_stderr == 0.0


def _spread_of(functional: Callable[[np.ndarray], float], size: int) -> float:
    """Standard error of a functional of the masses of N equal draws: sample variance of its influences, over N.

    Influences by central differences: mass is moved from all draws to one.
    """
    masses, step, found = np.full(size, 1.0 / size), 1e-5, []
    for j in range(size):
        moved = np.where(np.arange(size) == j, 1.0, 0.0) - masses
        found.append((functional(masses + step * moved) - functional(masses - step * moved)) / (2.0 * step))
    return math.sqrt(statistics.variance(found) / size)


@pytest.mark.parametrize("level", [0.8, 0.95])
def test_error_of_chi2_is_the_delta_method_and_its_bound_is_one_sided(level: float) -> None:
    weight = np.array([0.3, 1.0, 2.5, 0.7, 4.0])
    found = weight_coverage(np.log(weight) + 3.0, level=level)
    log_error = _spread_of(lambda m: math.log(m @ weight**2) - 2.0 * math.log(m @ weight), 5)
    assert found.chi2_stderr == pytest.approx((1.0 + found.chi2) * log_error, rel=1e-6)
    low = (1.0 + found.chi2) * math.exp(-stats.norm.ppf(level) * log_error) - 1.0
    assert found.chi2_low == pytest.approx(max(low, 0.0), rel=1e-6)
    assert found.unseen == pytest.approx(1.0 - (1.0 - level) ** (1.0 / 5.0))
    known = weight_coverage(np.log(weight / weight.mean()), known_mean=True, level=level)
    squares = (weight / weight.mean()) ** 2
    assert known.chi2_stderr == pytest.approx(statistics.stdev(squares) / math.sqrt(5.0))
    assert known.renyi2 == pytest.approx(math.log(np.mean(squares))) == pytest.approx(math.log(1.0 + known.chi2))
    one = weight_coverage([0.3], known_mean=True)
    assert one.chi2_stderr == np.inf


def test_lower_bound_of_chi2_is_exceeded_by_five_percent() -> None:
    """Weights uniform on (1/2, 3/2), 1 + χ² = 13/12: of pools of 300, one in twenty says more."""
    rng, pools = np.random.default_rng(9), 3000
    weights = np.log(rng.uniform(0.5, 1.5, (pools, 300)))
    exceeded = np.mean([weight_coverage(w).chi2_low > 1.0 / 12.0 for w in weights])
    assert abs(exceeded - 0.05) < 5.0 * math.sqrt(0.05 * 0.95 / pools)


def test_levels_are_passed_on() -> None:
    ratio = RATIO[np.random.default_rng(10).choice(4, 60, p=BASE)]
    bounds = [chi2_from_base(ratio, level)[1] for level in (0.5, 0.8, 0.95, 0.99)]
    assert bounds == sorted(bounds, reverse=True) and bounds[0] > bounds[1] > bounds[3]
    drafts = [weight_coverage(ratio, known_mean=True, level=level).chi2_low for level in (0.5, 0.8, 0.95)]
    assert drafts[0] > drafts[1] > drafts[2] > 0.0
    # the mean that is bounded is that of squares: there the products over λ, averaged, reach 1/(1 − level)
    for low, level in zip(drafts, (0.5, 0.8, 0.95), strict=True):
        products = [math.prod(1 + x * (v / (1.0 + low) - 1) for v in np.exp(2 * ratio)) for x in BETS]
        assert np.mean(products) == pytest.approx(1.0 / (1.0 - level), rel=1e-5)


def test_unseen_shift_is_a_bound() -> None:
    """An outcome of probability a is unseen in P·N draws with probability (1−a)^{PN}; whenever that is 5 % or more, its
    share among n draws is within the bound."""
    for size, prompts, n in ((32, 1, 4), (64, 10, 32), (16, 3, 16)):
        largest = 1.0 - 0.05 ** (1.0 / (prompts * size))
        assert 1.0 - (1.0 - largest) ** n <= unseen_shift(n, size, prompts) + 1e-12
        # One prompt alone may hide more, and then moves the mean by its share of the prompts.
        alone = 1.0 - 0.05 ** (1.0 / size)
        assert (1.0 - (1.0 - alone) ** n) / prompts <= unseen_shift(n, size, prompts) + 1e-12


def test_speaks() -> None:
    assert speaks(8, 64, 100).reason is Reason.SPEAKS
    wide = speaks(40, 64, 100)
    assert wide.speaks and wide.reason is Reason.WIDE_ERROR
    assert speaks(40, int(wide.advice.split()[-1]), 100).reason is Reason.SPEAKS
    beyond = speaks(65, 64, 100)
    assert not beyond.speaks and beyond.reason is Reason.BEYOND_POOL and beyond.drafts_needed == 65
    alone = speaks(32, 64, 1)
    assert not alone.speaks and alone.reason is Reason.UNSEEN
    assert alone.drafts_needed is not None and speaks(32, alone.drafts_needed, 1).speaks
    n = furthest_n(64, 5)
    assert speaks(n, 64, 5).speaks and not speaks(n + 1, 64, 5).speaks
    assert furthest_n(64, 1000) == 64


def test_advice_is_for_the_tolerance_and_confidence_asked_for() -> None:
    """The drafts needed are the least that speak, the n named the largest, at every tolerance and confidence."""
    for tolerance, confidence in ((0.1, 0.95), (0.1, 0.5), (0.02, 0.95), (0.3, 0.999)):
        given: dict[str, Any] = {"prompts": 2, "tolerance": tolerance, "confidence": confidence}
        n = next(n for n in range(1, 401) if not speaks(n, 400, **given).speaks)
        refused = speaks(n, 400, **given)
        needed = refused.drafts_needed
        assert needed is not None and refused.reason is Reason.UNSEEN
        assert speaks(n, needed, **given).speaks and not speaks(n, needed - 1, **given).speaks
        assert furthest_n(400, **given) == n - 1 and refused.advice.endswith(f"ask for n ≤ {n - 1}")
        shift = -math.log(1.0 - confidence) * n / (2 * 400)
        assert f"by {shift:.2g} of its range" in refused.evidence


def _drafts_by_sorting(ratio: list[float], raised: list[float], tolerance: float) -> int:
    """3/π_S(w ≥ w_q), w_q where the tilted mass of larger weights reaches the tolerance, from sorted lists."""
    total, mass, level = sum(math.exp(x) for x in raised), 0.0, 0.0
    for weight, tilt in sorted(
        ((r + x, math.exp(x) / total) for r, x in zip(ratio, raised, strict=True)), reverse=True
    ):
        mass, level = mass + tilt, weight
        if mass >= tolerance:
            break
    beyond = sum(math.exp(-r) for r, x in zip(ratio, raised, strict=True) if r + x >= level) / len(ratio)
    return math.ceil(3.0 / beyond)


def test_drafts_needed_are_for_the_tolerance_asked_for() -> None:
    rng = np.random.default_rng(8)
    ratio, raised = rng.normal(size=200) * 1.5, rng.random(200) * 3.0
    weight, found = rng.normal(size=500), []
    for tolerance in (0.4, 0.1, 0.05, 0.02):
        needed = tail_seen(weight, 1.1, tolerance, ratio, raised).drafts_needed
        assert needed == _drafts_by_sorting(ratio.tolist(), raised.tolist(), tolerance)
        found.append(needed)
    assert found == sorted(set(found))
    # without base draws: N (share/tolerance)^{1/(1−k̂)}, and at least 10^{1/(1−k̂)}; beyond k̂ = 1 N · share/tolerance
    heavy = np.r_[np.zeros(99), math.log(11.0)]  # a tenth of all
    assert tail_seen(heavy, 0.5, 0.02).drafts_needed == pytest.approx(100 * 5**2, abs=1)
    assert tail_seen(heavy, 0.8, 0.09).drafts_needed == pytest.approx(10**5, abs=1)
    assert tail_seen(heavy, 1.2, 0.02).drafts_needed == pytest.approx(100 * 5, abs=1)
    # the largest weight alone may stand in the way
    assert tail_seen(heavy, 0.2, 0.11).speaks and not tail_seen(heavy, 0.2, 0.09).speaks


def test_tail_seen_and_drafts_needed() -> None:
    """The example of the plan: k̂ = 1.1, the base draws say how many drafts reach the tail."""
    weight = np.random.default_rng(6).normal(size=1000)
    assert khat_limit(1000) == pytest.approx(1.0 - 1.0 / 3.0) and khat_limit(10**6) == 0.7 and khat_limit(8) == 0.0
    assert tail_seen(weight, 0.3).speaks
    refused = tail_seen(weight, 1.1)
    assert not refused.speaks and refused.reason is Reason.HEAVY_TAIL and refused.at_least
    assert "k̂ = 1.1" in refused.evidence and "at least" in refused.advice
    # One base draw in ten lies where the draft is e^4 times rarer: π_S of the tail is 0.1 e^{-4}.
    ratio, flat = np.r_[np.full(90, 0.0), np.full(10, 4.0)], np.zeros(100)
    needed = drafts_for_base(ratio, flat, tolerance=0.1)
    assert needed == math.ceil(3.0 / (0.1 * math.exp(-4.0)))
    read_off = tail_seen(weight, 1.1, 0.1, ratio, flat)
    assert read_off.drafts_needed == needed and not read_off.at_least and f"about {needed:,}" in read_off.advice
    shaped = tail_seen(weight, 0.69)
    assert shaped.drafts_needed == math.ceil(10 ** (1 / 0.31)) and not shaped.at_least
    one = tail_seen([0.0, 0.0, 50.0], 0.1)
    assert one.reason is Reason.ONE_CANDIDATE and not one.speaks


def test_drafts_needed_count_ties() -> None:
    """Right half of the time, equal policies: the last 5 % of the tilt are right answers, and so is every second draft;
    the level holds all of them, not the 5 % of the base draws that come first in a sorted list."""
    for size in (32, 1000):
        right = (np.arange(size) % 2).astype(float)
        assert drafts_for_base(np.zeros(size), 5.0 * right) == 6
    assert drafts_for_base(np.zeros(50), np.full(50, 0.3)) == 3
    assert drafts_for_base(np.r_[np.zeros(9), np.inf], np.zeros(10)) == 10**15


def test_bad_input() -> None:
    with pytest.raises(InputError, match="every weight is zero"):
        weight_coverage([-np.inf])
    with pytest.raises(InputError, match=r"log_weight\[1\] = nan"):
        weight_coverage([0.0, np.nan])
    with pytest.raises(InputError, match="size = 0"):
        unseen_shift(3, 0)
    with pytest.raises(InputError, match="N_B numbers"):
        drafts_for_base([0.0, 1.0], [0.0])
    assert chi2_from_base([0.0, np.inf]) == (np.inf, np.inf)


@pytest.mark.parametrize("level", [-0.1, 0.0, 1.0, 1.5, np.nan])
def test_a_level_is_a_confidence(level: float) -> None:
    with pytest.raises(InputError, match=r"level = .*(between 0 and 1|not a number|nan)"):
        mean_low([0.0, 1.0], level)
    for inside in (np.nextafter(0.0, 1.0), np.nextafter(1.0, 0.0)):
        assert mean_low([0.0, 1.0], inside) <= 1.0


def test_weights_that_rounding_parts_near_zero_reach_the_level_together() -> None:
    """log w = 0 twice, once by 0.3 - (0.1 + 0.2), beside one below."""
    ratio, off = np.array([0.0, 0.1 + 0.2, -3.0]), np.array([0.0, -0.3, 0.0])
    assert (ratio + off)[1] > 0.0
    assert drafts_for_base(ratio, off, 0.2) == drafts_for_base(ratio, -np.array([0.0, ratio[1], 0.0]), 0.2)
