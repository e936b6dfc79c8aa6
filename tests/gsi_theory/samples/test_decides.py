"""Who decides (M46): against every subset by hand, and on worlds whose law is known."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.special import log_softmax

from gsi_theory import Candidates, Scheme
from gsi_theory.errors import InputError
from gsi_theory.samples.decides import decides, winner_is_best
from gsi_theory.types import Floats


def _winner(weights: Floats) -> Floats:
    """Chances of the winner of one set under the softmax rule; of weights that are all zero each is as likely."""
    total = weights.sum()
    return weights / total if total > 0 else np.full(weights.size, 1.0 / weights.size)


def _pool(rng: np.random.Generator, size: int, base_size: int) -> tuple[Candidates, Candidates]:
    """Rewards with ties, one draft out of the base's reach."""
    ratio = rng.normal(size=size)
    ratio[2] = -np.inf
    return tuple(
        Candidates(np.full(m, -np.log(m)), rng.integers(0, 4, m) / 3.0, ell)
        for m, ell in ((size, ratio), (base_size, rng.normal(size=base_size)))
    )  # type: ignore[return-value]


@pytest.mark.parametrize("threshold", [None, 0.3])
def test_every_subset_by_hand(threshold: float | None) -> None:
    rng = np.random.default_rng(3)
    draft, base = _pool(rng, 7, 5)
    beta, n, n_base = 2.0, 3, 2
    r, ell = draft.reward, draft.log_ratio
    w = beta * r + ell
    found = np.zeros(6)  # V1, Vr, Vw, accepted, chance, ...
    best = np.zeros(2)
    sets = list(itertools.combinations(range(7), n))
    for chosen in map(list, sets):
        by_r, by_w = _winner(np.exp(beta * r[chosen])), _winner(np.exp(w[chosen]))
        kept = np.ones(n, bool) if threshold is None else r[chosen] + ell[chosen] / beta >= threshold
        found[:5] += r[chosen].mean(), by_r @ r[chosen], by_w @ r[chosen], by_w @ (r[chosen] * kept), by_w @ kept
        best += by_w @ (r[chosen] == r[chosen].max()), by_w @ (ell[chosen] == ell[chosen].max())
    found, best = found / len(sets), best / len(sets)
    pairs = list(itertools.combinations(range(5), n_base))
    fall = np.mean([_winner(np.exp(beta * base.reward[list(c)])) @ base.reward[list(c)] for c in pairs])
    gated = found[3] + (1.0 - found[4]) * fall
    at = decides([(draft, base)], Scheme(beta, n, threshold, n_base=n_base))
    assert at.values == pytest.approx((found[0], found[1], found[2], gated), abs=1e-12)
    assert (at.gain_reward.value, at.gain_ratio.value) == pytest.approx((found[1] - found[0], found[2] - found[1]))
    if threshold is None:
        assert at.gain_gate is None
    else:
        assert at.gain_gate is not None and at.gain_gate.value == pytest.approx(gated - found[2])
    assert (at.by_reward, at.by_ratio) == pytest.approx(tuple(best), abs=1e-12)
    alive = np.isfinite(ell)
    cov = np.cov(ell[alive], w[alive])
    assert at.ratio_share == pytest.approx(cov[0, 1] / cov[1, 1])
    assert at.gain_reward.over_prompts is None  # one prompt shows no spread between prompts


def test_the_errors_are_those_of_the_jackknife_of_each_difference() -> None:
    rng = np.random.default_rng(5)
    draft, base = _pool(rng, 8, 6)
    for scheme in (Scheme(2.0, 3, 0.3), Scheme(2.0, 3, 0.4, "race", gate="score")):
        at = decides([(draft, base)], scheme)

        parts = [
            [np.diff(decides([(_without(draft, j), base)], scheme).values) for j in range(8)],
            [np.diff(decides([(draft, _without(base, k))], scheme).values) for k in range(6)],
        ]
        square = sum((len(p) - 1) * np.var(p, axis=0) for p in parts)
        gains = (at.gain_reward, at.gain_ratio, at.gain_gate)
        assert [float(g.these_prompts.stderr) for g in gains if g] == pytest.approx(np.sqrt(square), rel=1e-5)


def _without(candidates: Candidates, j: int) -> Candidates:
    count = candidates.reward.size - 1
    rest = (np.delete(values, j) for values in (candidates.reward, candidates.log_ratio))
    return Candidates(np.full(count, -np.log(count)), *rest)


def test_the_best_of_its_set_by_chance_alone() -> None:
    order, n = np.arange(9.0), 4
    assert winner_is_best(order, np.zeros(9), n) == pytest.approx(1.0 / n)
    assert winner_is_best(order, 50.0 * order, n, "race") == pytest.approx(1.0)
    assert winner_is_best(np.zeros(9), order, n) == pytest.approx(1.0)
    assert winner_is_best(order, order, 9) == pytest.approx(_winner(np.exp(order))[-1])


def test_equal_weights_have_no_share() -> None:
    flat = Candidates(np.full(4, -np.log(4)), np.ones(4), np.zeros(4))
    at = decides([(flat, flat)], Scheme(2.0, 2))
    assert at.ratio_share is None and at.ratio_share_se is None
    assert at.gain_ratio.value == 0.0 and at.by_reward == 1.0
    with pytest.raises(InputError, match="no positions"):
        decides([], Scheme(2.0, 2))


def _world(rng: np.random.Generator, prompts: int, outcomes: int = 12) -> tuple[Floats, Floats, Floats]:
    """log π_S, log π_B, rewards (M, K): ratios that follow the reward, rewards with atoms."""
    draft = rng.normal(size=(prompts, outcomes))
    reward = rng.integers(0, 5, (prompts, outcomes)) / 4.0
    base = draft + rng.normal(size=draft.shape) + 1.5 * (reward - 0.5)
    return log_softmax(draft, axis=1), log_softmax(base, axis=1), reward


def _softmax_law(mass: Floats, weight: Floats, n: int) -> Floats:
    """The winner's law over every sequence of n draws."""
    law = np.zeros(mass.size)
    for drawn in map(list, itertools.product(range(mass.size), repeat=n)):
        np.add.at(law, drawn, mass[drawn].prod() * _winner(weight[drawn]))
    return law


def _truth(world: tuple[Floats, Floats, Floats], scheme: Scheme) -> Floats:
    """The three gains of every prompt (M, 3), from laws by enumeration without project code."""
    gains = []
    beta, n = scheme.beta, scheme.n
    assert scheme.threshold is not None
    for draft, base, reward in zip(*world, strict=True):
        ratio = base - draft
        mass = np.exp(draft)
        by_reward = _softmax_law(mass, np.exp(beta * reward), n)
        by_weight = _softmax_law(mass, np.exp(beta * reward + ratio), n)
        kept = reward + ratio / beta >= scheme.threshold
        fall = _softmax_law(np.exp(base), np.exp(beta * reward), n) @ reward
        gated = by_weight @ (reward * kept) + (1.0 - by_weight @ kept) * fall
        gains.append(np.diff([mass @ reward, by_reward @ reward, by_weight @ reward, gated]))
    return np.array(gains)


def test_intervals_cover_gains_of_known_truth() -> None:
    """Both truths: of 70 pools, 95 % intervals over prompts and of these prompts; share of the ratio as well."""
    rng, scheme = np.random.default_rng(11), Scheme(3.0, 3, 0.4)
    world = _world(rng, 60, 6)
    gains = _truth(world, scheme)
    share = np.array([_share(*(part[m] for part in world), scheme.beta) for m in range(60)])
    true_share = share[:, 0].sum() / share[:, 1].sum()
    pools, inside, shares, z = 70, np.zeros((2, 3)), 0, []
    for _ in range(pools):
        chosen = rng.integers(60, size=25)
        pairs = [_drawn(rng, *(part[m] for part in world), 16) for m in chosen]
        at = decides(pairs, scheme)
        for k, gain in enumerate((at.gain_reward, at.gain_ratio, at.gain_gate)):
            assert gain is not None and gain.over_prompts is not None
            over, these = gain.over_prompts, gain.these_prompts
            inside[0, k] += over.low <= gains[:, k].mean() <= over.high
            inside[1, k] += these.low <= gains[chosen, k].mean() <= these.high
            z.append((gain.value - gains[chosen, k].mean()) / float(these.stderr))
        assert at.ratio_share is not None and at.ratio_share_se is not None
        shares += abs(at.ratio_share - true_share) <= 2.05 * at.ratio_share_se
    assert abs(np.mean(z)) < 4.0 / np.sqrt(pools)  # unbiased
    least = pools * 0.95 - 3.5 * np.sqrt(pools * 0.95 * 0.05)
    assert (inside >= least).all(), inside
    assert (inside[0] < pools).any()  # and no idle width
    assert shares >= least - 0.01 * pools, shares


def _drawn(
    rng: np.random.Generator, draft: Floats, base: Floats, reward: Floats, size: int
) -> tuple[Candidates, Candidates]:
    pair = []
    for law in (draft, base):
        drawn = rng.choice(law.size, size, p=np.exp(law))
        pair.append(Candidates(np.full(size, -np.log(size)), reward[drawn], (base - draft)[drawn]))
    return pair[0], pair[1]


def _share(draft: Floats, base: Floats, reward: Floats, beta: float) -> tuple[float, float]:
    """Cov(ℓ, βr + ℓ), Var(βr + ℓ) under the draft."""
    mass, ratio = np.exp(draft), base - draft
    weight = beta * reward + ratio
    apart, other = weight - mass @ weight, ratio - mass @ ratio
    return float(mass @ (apart * other)), float(mass @ apart**2)
