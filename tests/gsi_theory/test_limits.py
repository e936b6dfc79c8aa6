"""Limits of total variation and reward against linear programs, all sets in 50 digits, and rules (M36, M37, M38)."""

from __future__ import annotations

import array_api_compat
import mpmath
import numpy as np
import pytest
from scipy.optimize import brentq

from gsi_theory import InputError, divergence, selection_law
from gsi_theory.arrays.logscale import normalize
from gsi_theory.laws.attaining_laws import adaptive_law, capped_law, reward_law
from gsi_theory.limits import best_of_n_reward, best_reward, best_tv, best_tv_adaptive, best_tv_two, fixed_n_loss
from gsi_theory.rules.table import RULES
from tests.oracles.limit_programs import best_fallback_lp, best_stopping_lp, nearest_lp
from tests.oracles.limit_sets import largest

REALS = (1.0, 1.3, 2.5, 7.0, 1e9)


def random_law(rng: np.random.Generator, size: int, missing: float = 0.4) -> np.ndarray:
    """Even or uneven masses (K,), with probability `missing` one of them zero."""
    masses = rng.dirichlet(np.full(size, rng.choice([0.3, 1.0, 3.0]))) + 1e-9
    if size > 1 and rng.random() < missing:
        masses[rng.integers(size)] = 0.0
    return masses / masses.sum()


def logs(masses: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return np.log(masses)


def gain(reward: np.ndarray, log_prob: np.ndarray) -> float:
    return float(np.exp(log_prob) @ reward)


def test_stopping_limits_equal_the_programs_and_are_attained() -> None:
    """250 instances: TV against the program over P ≤ nμ; both laws are laws, within nμ, and attain what is claimed."""
    rng = np.random.default_rng(3601)
    for trial in range(250):
        size, n = int(rng.integers(1, 7)), REALS[trial % 5]
        target, proposal = random_law(rng, size), random_law(rng, size)
        reward = np.round(rng.normal(size=size), 1)
        least = best_tv_adaptive(logs(target), logs(proposal), n)
        assert least == pytest.approx(nearest_lp(target, n * proposal), abs=1e-9)
        for log_prob in (
            adaptive_law(logs(target), logs(proposal), n),
            reward_law(reward, logs(proposal), n),
        ):
            assert np.exp(log_prob).sum() == pytest.approx(1.0, abs=1e-14)
            assert (np.exp(log_prob) <= n * proposal + 1e-15).all()
        nearest = adaptive_law(logs(target), logs(proposal), n)
        assert np.clip(target - np.exp(nearest), 0.0, None).sum() == pytest.approx(least, abs=1e-14)
        attained = gain(reward, reward_law(reward, logs(proposal), n))
        assert best_reward(reward, logs(proposal), n) == pytest.approx(attained, abs=1e-13)
        fixed = best_of_n_reward(reward, logs(proposal), n)
        assert fixed_n_loss(reward, logs(proposal), n) == pytest.approx(attained - fixed, abs=1e-13)


def test_no_stopping_rule_with_a_horizon_beats_the_limits_and_long_ones_reach_them() -> None:
    """Programs over all rules with recall, by histories: below the limit for no horizon, near it for nine draws."""
    rng = np.random.default_rng(3602)
    furthest = 0.0
    for trial in range(60):
        size, horizon = 2 + trial % 2, 3 + 2 * (trial % 4)
        target, proposal, n = random_law(rng, size), random_law(rng, size), float(rng.uniform(1.0, 1.5))
        reward = rng.normal(size=size)
        tv = best_stopping_lp(("tv", target), proposal, n, horizon) - best_tv_adaptive(logs(target), logs(proposal), n)
        earned = best_reward(reward, logs(proposal), n) - best_stopping_lp(("reward", reward), proposal, n, horizon)
        assert min(tv, earned) >= -1e-9
        furthest = max(furthest, tv, earned) if horizon == 9 else furthest
    assert furthest <= 1e-3


def test_the_nearest_law_is_nearest_in_every_divergence() -> None:
    """P = min(cπ, nμ) against 4,000 random laws P ≤ nμ each: KL both ways, χ² and a hockey stick (M36)."""
    rng = np.random.default_rng(3603)
    for _ in range(20):
        target, proposal = (0.99 * random_law(rng, 5, 0.0) + 0.002 for _ in range(2))
        n = float(rng.uniform(1.2, 4.0))
        best = adaptive_law(logs(target), logs(proposal), n)
        others = [adaptive_law(logs(rng.dirichlet(np.ones(5), 2000)), logs(proposal), n)]
        noise = normalize(best + rng.normal(size=(2000, 5)) * 0.1)
        others.append(adaptive_law(noise, logs(proposal), n))
        for log_prob in others:
            for measure in (
                divergence.kl,
                lambda p, q: divergence.kl(q, p),
                divergence.chi2,
                lambda p, q: divergence.hockey_stick(p, q, 1.7),
            ):
                assert measure(best, logs(target)) <= measure(log_prob, logs(target)).min() + 1e-13


def test_where_the_draft_hardly_meets_the_target_no_multiple_of_it_will_do() -> None:
    """nμ(π > 0) < 1: nμ where π has mass, the rest elsewhere; disjoint supports, K = 1, π = μ, n = 1 and 10⁹."""
    target, proposal = np.array([0.5, 0.5, 0.0, 0.0]), np.array([0.1, 0.2, 0.4, 0.3])
    law = np.exp(adaptive_law(logs(target), logs(proposal), 2.0))
    np.testing.assert_allclose(law, [0.2, 0.4, 0.4 * 4 / 7, 0.4 * 3 / 7], rtol=1e-14)
    assert best_tv_adaptive(logs(target), logs(proposal), 2.0) == pytest.approx(0.4, abs=1e-15)
    apart = logs(np.array([0.0, 1.0])), logs(np.array([1.0, 0.0]))
    np.testing.assert_allclose(np.exp(adaptive_law(*apart, 1e9)), [1.0, 0.0], rtol=1e-14)
    assert best_tv_adaptive(*apart, 1e9) == best_tv_two(*apart, apart[1], 10**9, 10**9) == 1.0
    one = np.zeros(1)
    for n in REALS:
        assert best_tv_adaptive(one, one, n) == 0.0
        assert adaptive_law(one, one, n) == pytest.approx(0.0, abs=1e-15)
        np.testing.assert_allclose(adaptive_law(logs(proposal), logs(proposal), n), logs(proposal), rtol=1e-13)
        assert best_reward([3.0], one, n) == best_of_n_reward([3.0], one, n) == 3.0
        np.testing.assert_allclose(
            np.exp(adaptive_law(logs(target), logs(proposal), 1.0)), proposal, rtol=0.0, atol=1e-15
        )
    assert best_tv_two(one, one, one, 1, 0) == 0.0


def test_weights_need_no_norm_and_no_room_is_no_share() -> None:
    """min(c·weight, room) for weights that sum to anything, one of them where there is no room."""
    xp = array_api_compat.array_namespace(np.empty(0))
    for scale in (1e-3, 1.0, 1e3):
        weight, room = scale * np.array([1.0, 0.5, 0.3, 0.2]), np.array([0.0, 0.1, 0.9, 0.9])
        law = np.exp(capped_law(xp, logs(weight), logs(room)))
        np.testing.assert_allclose(law, [0.0, 0.1, 0.54, 0.36], rtol=1e-14)


def test_the_nearest_law_is_a_law_on_hostile_instances() -> None:
    """Heavy-tailed logs, and n at which the first k outcomes fill the law but for rounding: it sums to 1, keeps its
    room, and attains the least TV."""
    rng = np.random.default_rng(858)
    for trial in range(3_000):
        proposal, target = (normalize(s * rng.standard_t(1.5, 6)) for s in rng.uniform(0.5, 40.0, 2))
        n = float(np.exp(rng.uniform(0.0, 24.0)))
        if trial % 2:
            first = np.argsort(proposal - target)[: rng.integers(1, 4)]
            n = float(np.exp(np.clip(-np.logaddexp.reduce(proposal[first]), 0.0, 36.0)))
        law = adaptive_law(target, proposal, n)
        assert np.exp(law).sum() == pytest.approx(1.0, abs=1e-13)
        assert (law <= np.log(n) + proposal + 1e-13).all()
        assert divergence.tv(law, target) == pytest.approx(best_tv_adaptive(target, proposal, n), abs=1e-13)


def test_nearly_all_rejected_keeps_its_digits() -> None:
    """10⁹ expected draws of an outcome of mass 10⁻⁹: what is lost, one part in 10⁶, to a relative 1e-9."""
    log_proposal = np.array([np.log(1e-9), np.log1p(-1e-9)])
    log_target = np.array([np.log1p(-1e-6), np.log(1e-6)])
    for n, exact in ((1e9 * (1 - 2e-6), 1e-6), (5e8, 0.499999)):
        assert best_tv_adaptive(log_target, log_proposal, n) == pytest.approx(exact, rel=1e-9)


def test_two_sources_equal_the_linear_program() -> None:
    """220 instances, K ≤ 3, n and m ≤ 3, over all rules on the joint draw, to 1e-9 (M37)."""
    rng = np.random.default_rng(3701)
    for _ in range(220):
        size, n, m = (int(rng.integers(1, 4)) for _ in range(3))
        target, draft, base = (random_law(rng, size) for _ in range(3))
        linear = best_fallback_lp(("tv", target), draft, base, n, m, 1.0, recall=True)
        assert best_tv_two(logs(target), logs(draft), logs(base), n, m) == pytest.approx(linear, abs=1e-9)


@pytest.mark.parametrize("scale", [0.0, 4.0, 25.0])
def test_two_sources_equal_all_sets_in_fifty_digits(scale: float) -> None:
    """K ≤ 7 with masses down to e^-25 and counts up to 10⁹: every set tried, to 1e-12; m = 0 and n = 0 are M19."""
    rng = np.random.default_rng([3702, int(scale)])
    for _ in range(40):
        size = int(rng.integers(2, 8))
        n, m = (int(rng.choice([1, 2, 30, 10**4, 10**9])) for _ in range(2))
        laws = [normalize(scale * rng.random(size) * -1.0) for _ in range(3)]
        laws[0] = normalize(laws[2] + rng.integers(0, 3, size))  # ties of π/π_B
        masses = [np.exp(x) for x in laws]

        def missed(draft: mpmath.mpf, base: mpmath.mpf, n: int = n, m: int = m) -> mpmath.mpf:
            return (1 - draft) ** n * (1 - base) ** m - 1

        assert best_tv_two(*laws, n, m) == pytest.approx(largest(*masses, missed), abs=1e-12)
        assert best_tv_two(*laws, n, 0) == pytest.approx(best_tv(laws[0], laws[1], n), abs=1e-14)
        assert best_tv_two(*laws, 0, m) == pytest.approx(best_tv(laws[0], laws[2], m), abs=1e-14)


def test_duplicates_and_three_lines_in_a_point() -> None:
    """Equal outcomes, collinear quotients, and equal sources: two sources of one law are n + m draws from it."""
    rng = np.random.default_rng(3703)
    for _ in range(30):
        target, draft, base = (random_law(rng, 4) for _ in range(3))
        whole = best_tv_two(logs(target), logs(draft), logs(base), 3, 2)
        for shares in ([1 / 3, 1 / 3, 1 / 3], [0.1, 0.2, 0.7]):  # the latter equal quotients but for rounding
            parts = [logs(np.outer(x, shares).ravel()) for x in (target, draft, base)]
            assert best_tv_two(*parts, 3, 2) == pytest.approx(whole, abs=1e-13)
        same = best_tv_two(logs(target), logs(draft), logs(draft), 3, 2)
        assert same == pytest.approx(best_tv(logs(target), logs(draft), 5), abs=1e-13)


def test_the_order_of_the_limits_and_no_rule_of_the_table_beats_them() -> None:
    """Every rule's TV ≥ M19 ≥ M36, M19 ≥ M37 ≥ M36 of the mixture; reward ≤ best-of-n ≤ CVaR; loss ≤ (1 - 1/n)^n."""
    rng = np.random.default_rng(3801)
    rules = (*RULES, "regularized:2")
    for _ in range(60):
        size, n, m = int(rng.integers(2, 9)), int(rng.integers(1, 20)), int(rng.integers(1, 20))
        proposal, base = random_law(rng, size), random_law(rng, size)
        reward = np.round(rng.normal(size=size), int(rng.integers(0, 3)))
        weight = rng.uniform(0.0, 6.0) * reward
        log_proposal, log_target = logs(proposal), normalize(logs(proposal) + weight)
        fixed, adaptive = best_tv(log_target, log_proposal, n), best_tv_adaptive(log_target, log_proposal, n)
        assert adaptive <= fixed + 1e-15
        mixed = logs((n * proposal + m * base) / (n + m))
        both = best_tv_two(log_target, log_proposal, logs(base), n, m)
        assert best_tv_adaptive(log_target, mixed, n + m) - 1e-15 <= both <= fixed + 1e-15
        top, of_n = best_reward(reward, log_proposal, n), best_of_n_reward(reward, log_proposal, n)
        span = np.ptp(reward[proposal > 0])
        assert -1e-15 <= top - of_n <= (1.0 - 1.0 / n) ** n * span + 1e-14
        law = selection_law(log_proposal, reward, n, "max").log_prob
        assert of_n == pytest.approx(gain(reward, law), abs=1e-13)
        for rule in rules:
            law = selection_law(log_proposal, weight, n, rule)
            assert divergence.tv(law.log_prob, log_target) >= fixed - law.error - 1e-14
            assert gain(reward, law.log_prob) <= of_n + 2 * law.error * span + 1e-13


def test_the_loss_of_a_fixed_number_is_sharp_and_best_of_n_can_win_at_equal_kl() -> None:
    """0/1 rewards with P(1) = 1/n lose (1 - 1/n)^n; the KL by its formula; best-of-2 above the CVaR of its KL."""
    for n in (2, 3, 10, 10**6):
        law = logs(np.array([1.0 / n, 1.0 - 1.0 / n]))
        assert fixed_n_loss([1.0, 0.0], law, n) == pytest.approx((1.0 - 1.0 / n) ** n, rel=1e-9)
    mass, reward = np.array([0.3, 0.4, 0.3]), np.array([2.0, 1.0, 0.0])
    for n, at_tie in ((2.0, 0.5), (3.0, 1.0 / 12.0)):
        law = reward_law(reward, logs(mass), n)
        exact = np.log(n) - n * at_tie * 0.4 * np.log(1.0 / at_tie)
        assert divergence.kl(law, logs(mass)) == pytest.approx(exact, abs=1e-14)
    even = normalize(np.zeros(1000))
    grid = np.arange(1000.0) / 1000.0
    of_two = selection_law(even, grid, 2, "max").log_prob
    same_kl = np.exp(divergence.kl(of_two, even))  # the CVaR law of n draws has KL log n where no level is cut
    assert gain(grid, of_two) > best_reward(grid, even, same_kl) + 0.07


def test_at_a_price_a_draw_no_rule_earns_more_than_the_threshold() -> None:
    """E(r - τ)_+ = c: the threshold rule earns τ, others lose their integral, and backward induction stays below."""
    rng = np.random.default_rng(3802)
    for _ in range(40):
        reward, mass = np.sort(rng.normal(size=6)), random_law(rng, 6, 0.0)
        cost = float(rng.uniform(0.05, 0.9) * (reward - reward[0]) @ mass)

        def over(t: float, reward: np.ndarray = reward, mass: np.ndarray = mass) -> float:
            return float(np.clip(reward - t, 0.0, None) @ mass)

        best = brentq(lambda t, cost=cost, over=over: over(t) - cost, reward[0] - 1.0, reward[-1], xtol=1e-14)
        for t in (best, *(reward[:-1] + 1e-9)):
            kept = reward > t
            chance = float(mass[kept].sum())
            earned = float(reward[kept] @ mass[kept] - cost) / chance
            above = (over(min(t, best)) - over(max(t, best))) * np.sign(t - best)
            assert earned == pytest.approx(best - abs(above / chance - (t - best)), abs=1e-9)
        ahead = reward  # the value of having best so far reward[i], with no draws left
        for _ in range(200):
            drawn = np.maximum.outer(np.arange(6), np.arange(6))
            ahead = np.maximum(reward, ahead[drawn] @ mass - cost)
            assert mass @ ahead - cost <= best + 1e-12
        assert mass @ ahead - cost == pytest.approx(best, abs=1e-3)


def test_stopping_rules_played_have_the_laws_and_draws_claimed() -> None:
    """Keep y with chance P(y)/(nμ(y)): 200,000 rounds of either law within 5 standard errors."""
    rng = np.random.default_rng(3604)
    target, proposal = np.array([0.5, 0.3, 0.15, 0.05]), np.array([0.05, 0.15, 0.3, 0.5])
    reward, n, rounds = np.array([0.0, 2.0, 1.0, 1.0]), 2.5, 200_000
    for law in (adaptive_law(logs(target), logs(proposal), n), reward_law(reward, logs(proposal), n)):
        keep, draws, outcome = np.exp(law) / (n * proposal), np.zeros(rounds), np.full(rounds, -1)
        while (waiting := np.flatnonzero(outcome < 0)).size:
            item = rng.choice(4, waiting.size, p=proposal)
            draws[waiting] += 1
            outcome[waiting] = np.where(rng.random(waiting.size) < keep[item], item, -1)
        share = np.bincount(outcome, minlength=4) / rounds
        assert (np.abs(share - np.exp(law)) <= 5 * np.sqrt(np.exp(law) / rounds) + 1e-12).all()
        assert abs(draws.mean() - n) <= 5 * draws.std() / np.sqrt(rounds)


def test_batches_torch_and_numbers_of_draws_broadcast() -> None:
    """Leading axes and n are a batch; torch answers in kind, to 1e-13."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(3605)
    p, q, b = (normalize(rng.normal(size=(3, 1, 6)) * 2) for _ in range(3))
    p[0, 0, 2], q[1, 0, 3] = -np.inf, -np.inf
    p, q = normalize(p), normalize(q)
    reward, counts = rng.normal(size=6), np.array([1.0, 2.5])
    for call in (
        lambda p, q, n: best_tv_adaptive(p, q, n),
        lambda p, q, n: best_reward(reward, q, n),
        lambda p, q, n: best_of_n_reward(reward, q, n),
        lambda p, q, n: fixed_n_loss(reward, q, n),
        lambda p, q, n: adaptive_law(p, q, n),
    ):
        batch = call(p, q, counts)
        single = np.array([[call(p[i, 0], q[i, 0], n) for n in counts] for i in range(3)])
        np.testing.assert_allclose(batch, single, rtol=1e-13, atol=1e-15)
        np.testing.assert_allclose(call(torch.tensor(p), torch.tensor(q), counts).numpy(), single, rtol=1e-12)
    batch = best_tv_two(p, q, b, 3, 2)
    assert batch.shape == (3, 1)
    assert batch[2, 0] == best_tv_two(p[2, 0], q[2, 0], b[2, 0], 3, 2)
    assert isinstance(best_tv_two(*map(torch.tensor, (p, q, b)), 3, 2), torch.Tensor)


@pytest.mark.parametrize(
    ("call", "cure"),
    [
        (lambda: best_tv_adaptive([0.0], [0.0], 0.5), "from 1 to 2\\^53"),
        (lambda: best_tv_adaptive([0.0], [0.0], [2.0, np.nan]), "n\\[1\\] = nan"),
        (lambda: best_tv_adaptive([0.0], [0.0, 0.0], 2), "two laws of one length"),
        (lambda: best_tv_two([0.0], [0.0], [0.0], 0, 0), "at least one candidate"),
        (lambda: best_tv_two([0.0], [0.0], [0.0], 1.5, 1), "whole number"),
        (lambda: best_tv_two([0.0], [0.0], [0.0], -1, 1), "whole number"),
        (lambda: best_tv_two([0.0], [0.0], [0.0, 0.0], 1, 1), "two laws of one length"),
        (lambda: best_reward([np.nan], [0.0], 1), "finite number"),
        (lambda: best_reward([0.0, 1.0], [0.0], 1), "K outcomes"),
        (lambda: reward_law([0.0, 1.0], [0.0], 1), "K finite rewards"),
    ],
)
def test_bad_input_is_refused(call, cure: str) -> None:
    with pytest.raises(InputError, match=cure):
        call()
