"""fixed + Poisson(mean) draws, given at least one, at every mean from 0 to 2^53 (M3, M9, M19, M24)."""

from __future__ import annotations

import math
from itertools import chain, combinations

import mpmath
import numpy as np
import pytest

from gsi_theory import InputError, Instance, Scheme, selection_law
from gsi_theory.laws.draws import ONE_DRAW, Counts, Draws
from gsi_theory.laws.selection_law import score_gated_race
from gsi_theory.limits import best_tv
from gsi_theory.methods import best_of_poisson, poisson_gsi
from gsi_theory.rules import softmax as softmax_rule
from tests.gsi_theory.random_rules import RANDOM_RULES
from tests.oracles import random_draws as oracle

torch = pytest.importorskip("torch")

MEANS = (0.0, 1e-18, 1e-12, 1e-9, 1e-7, 1e-6, 1e-3, 0.1, 0.5, 1.0, 10.0, 1e9, 5e15, 2.0**53)
NUMBERS = [(fixed, mean) for fixed in (0, 1) for mean in MEANS if fixed or mean]
INF = np.inf
# name -> masses, log-weights
CANDIDATES = {
    "plain": ([0.5, 0.3, 0.2], [0.0, math.log(2.0), math.log(4.0)]),
    "one": ([1.0], [3.0]),
    "weight zero": ([0.4, 0.3, 0.2, 0.1], [-INF, 0.0, 2.0, -1.0]),
    "all of weight zero": ([0.5, 0.5], [-INF, -INF]),
    "rare weight zero": ([1e-200, 0.5, 0.5], [-INF, 0.0, 1.0]),
    "ties": ([0.25] * 4, [1.0, 1.0, 0.0, 0.0]),
    "rare and heavy": ([1e-295, 1.0, 1e-12], [600.0, 0.0, 3.0]),
    "290 nats": ([0.1, 0.2, 0.3, 0.4], [0.0, 1e-9, -290.0, -140.0]),
    "10,000 nats": ([0.2, 0.3, 0.5], [-1e4, 0.0, 1e4]),
}


def deviations(law: list, log_prob: np.ndarray) -> tuple[float, float]:
    return oracle.tv_distance(law, log_prob), oracle.log_distance(law, log_prob)


@pytest.mark.parametrize("name", CANDIDATES)
@pytest.mark.parametrize("rule", RANDOM_RULES)
def test_law_against_many_digits(rule: str, name: str) -> None:
    """The true errors are at most those reported, at every mean; so in torch, to which NumPy is compared."""
    mass, weight = (np.array(v) for v in CANDIDATES[name])
    log_mass = np.log(mass / mass.sum())
    for fixed, mean in NUMBERS[:: 3 if (name, rule) == ("10,000 nats", "race") else 1]:  # there the oracle is slow
        law = selection_law(log_mass, weight, Draws(fixed, mean), rule)
        truth = oracle.selection_law(list(np.exp(log_mass)), list(weight), fixed, mean, rule)
        apart, log_apart = deviations(truth, law.log_prob)
        assert apart <= law.error and log_apart <= law.log_error, (fixed, mean)
        in_torch = selection_law(torch.tensor(log_mass), torch.tensor(weight), Draws(fixed, mean), rule)
        apart, log_apart = deviations(truth, in_torch.log_prob.numpy())
        assert apart <= in_torch.error and log_apart <= in_torch.log_error, (fixed, mean)


@pytest.mark.parametrize(("fixed", "mean"), [(0, 1e-12), (0, 1e-3), (1, 0.5), (0, 1e9), (1, 2.0**53)])
def test_three_softmax_methods(monkeypatch: pytest.MonkeyPatch, fixed: int, mean: float) -> None:
    """Cells, matrix and bands at K = 400, each against many digits."""
    rng = np.random.default_rng([7, fixed])
    mass, weight = rng.dirichlet(np.ones(400)), rng.uniform(-2.0, 2.0, 400)
    weight[0] = -INF
    laws = []
    for few, linear in ((1, 300.0), (10**9, 300.0), (10**9, -1.0)):
        monkeypatch.setattr(softmax_rule, "FEW", few)
        monkeypatch.setattr(softmax_rule, "LINEAR", linear)
        laws.append(selection_law(np.log(mass), weight, Draws(fixed, mean)))
    assert len({law.log_prob.tobytes() for law in laws}) == 3
    truth = oracle.selection_law(list(np.exp(np.log(mass))), list(weight), fixed, mean, "softmax")
    for law in laws:
        apart, log_apart = deviations(truth, law.log_prob)
        assert apart <= law.error and log_apart <= law.log_error


@pytest.mark.parametrize("rule", RANDOM_RULES)
def test_small_mean_is_one_draw(rule: str) -> None:
    """As the mean goes to 0 the law goes to that of one draw, and the mean number to one; nothing at all is refused."""
    log_mass, weight = np.log([0.5, 0.3, 0.2]), np.array([0.0, 3.0, -INF])
    for mean in (5e-324, 1e-300, ONE_DRAW / 2):
        assert np.array_equal(selection_law(log_mass, weight, Draws(0, mean), rule).log_prob, log_mass)
        assert Draws(0, mean).mean == 1.0
    for mean in (ONE_DRAW, 1e-15, 1e-9):
        law = np.exp(selection_law(log_mass, weight, Draws(0, mean), rule).log_prob)
        assert np.abs(law - np.exp(log_mass)).sum() <= mean + 1e-14
    with pytest.raises(InputError, match="draw at least one"):
        Draws(0, 0.0)


def test_huge_means_round_to_no_negative_number() -> None:
    """1 - (1 - φ) rounds below zero where next to nothing is left: G' of 1 + Poisson(m) takes φ itself."""
    pinned = [0.6341679529671483, 0.35566294725420206, 0.0101690997786496]
    weights = [0.6663633694020002, -4.915127180411615, 6.200084597829169]
    rng = np.random.default_rng(1)
    rows = [(np.array(pinned), np.array(weights), 5e15)]
    for _ in range(300):
        size = int(rng.integers(1, 6))
        rows.append((rng.dirichlet(np.ones(size)), rng.normal(size=size) * 2, rng.choice([2.0**52, 5e15, 2.0**53])))
    for mass, weight, mean in rows:
        law = selection_law(np.log(mass), weight, Draws(1, float(mean)))
        assert np.isfinite(law.error) and not np.isnan(law.log_prob).any()
        tilt = mass * np.exp(weight)
        assert np.abs(np.exp(law.log_prob) - tilt / tilt.sum()).sum() <= 1e-12  # so many draws are the tilt


@pytest.mark.parametrize("size", [4, 1 << 14])
def test_weights_far_below_the_largest(size: int) -> None:
    """Two light weights beside each other, 260 nats below a heavy one: their difference is not rounded at 260."""
    rng = np.random.default_rng(11)
    for fixed, mean in ((7, 2.906289202473113), (10, 0.0), (40, 0.0)):
        weight = np.array([-8.465755689697376, -3.659895808871858, 250.92966759421705, 58.27969022353759])
        share = np.array([0.25795, 0.5388, 0.19868, 0.00457])
        for _ in range(20):
            mass = np.repeat(share / share.sum(), size // 4) / (size // 4)
            law = selection_law(np.log(mass), np.repeat(weight, size // 4), Draws(fixed, mean), "race")
            truth = oracle.selection_law(list(share), list(weight), fixed, mean, "race")
            of_level = law.log_prob[:: size // 4] + math.log(size // 4)
            assert oracle.log_distance(truth, of_level) <= (law.log_error if size == 4 else 1e-14)
            if size > 4:
                break
            share, weight[:2] = rng.dirichlet(np.ones(4)), rng.normal(size=2) * 5.0


@pytest.mark.parametrize("cut", [-2000.0, -1.0, 0.3, 1.0, 5.0, 2000.0])
def test_score_gate_given_one_draw(cut: float) -> None:
    """Accepted part and rejection are both given N ≥ 1: against many digits, and together one."""
    for name in ("plain", "one", "weight zero", "all of weight zero", "rare weight zero", "ties"):
        mass, weight = (np.array(v) for v in CANDIDATES[name])
        log_mass = np.log(mass / mass.sum())
        for fixed, mean in NUMBERS:
            bound = selection_law(log_mass, weight, Draws(fixed, mean), "race").log_error + 8e-16 * abs(cut)
            truth, missed = oracle.score_gated_race(list(np.exp(log_mass)), list(weight), fixed, mean, cut)
            for shaped in (cut, np.array(cut), np.array([cut])):  # a number, and rows with a score each
                accepted, log_reject = score_gated_race(log_mass, weight, Draws(fixed, mean), shaped)
                at = (Ellipsis,) if np.ndim(shaped) == 0 else (0,)
                assert oracle.log_distance(truth, accepted[at]) <= bound, (name, fixed, mean)
                assert abs(math.exp(float(np.ravel(log_reject)[0])) - float(missed)) <= bound, (name, fixed, mean)
                total = np.exp(accepted).sum() + np.exp(float(np.ravel(log_reject)[0]))
                assert total == pytest.approx(1.0, abs=2.0 * bound)


def test_score_gate_by_simulation() -> None:
    """Poisson(½) numbers, those of none drawn again; scores w/U; the gate at M."""
    rng = np.random.default_rng(5)
    mass, weight, cut, rounds = np.array([0.5, 0.3, 0.2]), np.array([1.0, 2.0, 4.0]), math.exp(0.3), 200_000
    number = rng.poisson(0.5, 3 * rounds)
    number = number[number > 0][:rounds]
    most = int(number.max())
    drawn = rng.choice(3, (rounds, most), p=mass)
    score = np.where(np.arange(most) < number[:, None], weight[drawn] / rng.random((rounds, most)), 0.0)
    best = score.argmax(axis=1)
    passed = score[np.arange(rounds), best] >= cut
    winner = drawn[np.arange(rounds), best]
    counts = np.append(np.bincount(winner[passed], minlength=3), np.sum(~passed))
    accepted, log_reject = score_gated_race(np.log(mass), np.log(weight), Draws(0, 0.5), 0.3)
    expected = rounds * np.append(np.exp(accepted), np.exp(log_reject))
    assert np.sum((counts - expected) ** 2 / expected) <= 16.3  # 0.999 quantile of χ² with 3 degrees of freedom


def test_methods_with_tiny_means() -> None:
    """GSI with a Poisson number and best-of-Poisson at any mean are laws, go to one draw, and keep their errors."""
    instance = Instance.from_probabilities([0.5, 0.3, 0.2], [0.3, 0.3, 0.4], [0.2, 0.9, -0.4])
    weight = 2.0 * instance.reward + instance.log_ratio
    for mean in (1e-12, 1e-7, 1e-4, 0.3, 7.0):
        law = poisson_gsi(instance, Scheme(2.0, 1), mean)
        truth = oracle.selection_law(list(np.exp(instance.log_draft)), list(weight), 0, mean, "softmax")
        assert oracle.tv_distance(truth, law.log_prob) <= law.error <= 1e-13
        assert law.draft_samples == pytest.approx(mean / -math.expm1(-mean), rel=1e-15)
        law = best_of_poisson(instance, Scheme(2.0, 1), mean)
        truth = oracle.selection_law(list(np.exp(instance.log_base)), list(instance.reward), 1, mean, "max")
        assert oracle.tv_distance(truth, law.log_prob) <= law.error <= 1e-13


@pytest.mark.parametrize(("fixed", "mean"), [n for n in NUMBERS if n[1] not in (1e9, 5e15)])
def test_limit_of_all_rules_for_a_random_number(fixed: int, mean: float) -> None:
    """(M19): the largest π(A) - P(A is drawn | N ≥ 1) over all sets A, in 60 digits."""
    target, proposal = [0.1, 0.2, 0.3, 0.4], [0.4, 0.35, 0.25, 0.0]
    with mpmath.workdps(60):
        total_p, total_q = mpmath.fsum(target), mpmath.fsum(proposal)

        def missed(mass: mpmath.mpf) -> mpmath.mpf:
            """E (1 - mass)^N."""
            return (1 - mass) ** fixed * mpmath.exp(-mpmath.mpf(mean) * mass)

        best = mpmath.mpf(0)
        for chosen in chain.from_iterable(combinations(range(4), k) for k in range(1, 5)):
            held = mpmath.fsum(target[i] for i in chosen) / total_p
            seen = mpmath.fsum(proposal[i] for i in chosen) / total_q
            some = 1 if fixed else -mpmath.expm1(-mpmath.mpf(mean))
            best = max(best, held - (1 - missed(seen)) / some)
    with np.errstate(divide="ignore"):
        ours = best_tv(np.log(target), np.log(proposal), Draws(fixed, mean))
    assert ours == pytest.approx(float(best), abs=1e-14)


@pytest.mark.parametrize("rule", ["softmax", "race"])
@pytest.mark.parametrize(("fixed", "mean"), [(0, 1e-6), (0, 0.4), (1, 0.5), (1, 6.0)])
def test_gradients(rule: str, fixed: int, mean: float) -> None:
    """torch's gradient check in the masses and weights, one of weight zero; the mean is a real number too (M24)."""
    logits = torch.tensor([0.3, -0.2, 0.5, 0.1], dtype=torch.float64, requires_grad=True)
    weight = torch.tensor([0.0, -1.0, 2.0, -INF], dtype=torch.float64)
    live = torch.tensor([0.2, -1.0, 2.0], dtype=torch.float64, requires_grad=True)

    def law(logit: torch.Tensor, lw: torch.Tensor, m: torch.Tensor) -> torch.Tensor:
        counts = Counts(torch.full_like(m, float(fixed)), m)
        return selection_law(logit.log_softmax(-1), torch.cat([lw, weight[3:]]), counts, rule).log_prob.exp()

    step = torch.tensor(mean, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(law, (logits, live, step), eps=min(1e-6, mean / 4.0), atol=3e-6)
