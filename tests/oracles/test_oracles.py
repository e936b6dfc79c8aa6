"""The oracles against each other, against cases worked by hand, and against the sampling done literally.

Imports no project code.  Simulations fix their seed and may miss by 5 standard errors, a chance of 6e-7 each.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Sequence
from fractions import Fraction as F
from typing import Any

import mpmath  # type: ignore[import-untyped, unused-ignore]
import pytest
from flint import arb, ctx, fmpq

from .balls import max_law_balls, race_law_balls, softmax_law_balls
from .enumeration import (
    RULES,
    chi2,
    gsi_law,
    kl,
    score_gate_law,
    selection_law,
    selection_law_mp,
    tv,
    winner_given_draw,
)
from .limit_lp import best_tv_lp

BALLS = {"softmax": softmax_law_balls, "race": race_law_balls, "max": max_law_balls}
HALF, QUARTER = F(1, 2), F(1, 4)
MASS, WEIGHT = [F(1, 5), F(1, 2), F(3, 10)], [F(3), F(1, 2), F(7, 4)]
CASES = [  # (mass, weight): generic, a tie, a weight of zero, a mass of zero, everything zero
    (MASS, WEIGHT),
    ([F(1, 10), F(2, 10), F(3, 10), F(4, 10)], [F(2), F(1), F(2), F(1, 9)]),
    ([F(1, 3), F(1, 3), F(1, 3)], [F(0), F(5), F(2)]),
    ([F(1, 3), F(0), F(2, 3)], [F(1), F(9), F(2)]),
    ([F(1, 4), F(3, 4)], [F(0), F(0)]),
]


def _simulate(mass: Sequence[F], weight: Sequence[F], n: int, rule: str, rng: random.Random) -> tuple[int, float]:
    """One draw of the sampling definition: the winning outcome and, for the race, its score."""
    drawn = rng.choices(range(len(mass)), [float(m) for m in mass], k=n)
    weights = [float(weight[y]) for y in drawn]
    if max(weights) == 0:
        return rng.choice(drawn), 0.0
    if rule == "softmax":
        return rng.choices(drawn, weights)[0], math.nan
    if rule == "max":
        return rng.choice([y for y, w in zip(drawn, weights, strict=True) if w == max(weights)]), math.nan
    scores = [w / (1.0 - rng.random()) for w in weights]
    winner = max(range(n), key=scores.__getitem__)
    return drawn[winner], scores[winner]


def _assert_frequencies(counts: Sequence[int], law: Sequence[F], repeats: int) -> None:
    for count, p in zip(counts, law, strict=True):
        assert abs(count / repeats - p) <= 5 * math.sqrt(p * (1 - p) / repeats)


def _contains(ball: arb, value: F) -> bool:
    return ball.contains(fmpq(value.numerator, value.denominator))


def _mp_log(x: F) -> Any:
    return mpmath.log(mpmath.mpf(x.numerator) / x.denominator) if x else -mpmath.inf


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("mass, weight", CASES)
def test_laws_sum_to_one_and_one_draw_gives_the_mass(mass: list[F], weight: list[F], rule: str) -> None:
    assert selection_law(mass, weight, 1, rule) == mass
    for n in range(1, 6):
        law = selection_law(mass, weight, n, rule)
        assert sum(law) == 1 and min(law) >= 0
        assert law == selection_law(mass, [7 * w for w in weight], n, rule)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("mass, weight", CASES)
def test_simulated_selection(mass: list[F], weight: list[F], rule: str) -> None:
    rng, repeats, counts = random.Random(f"{rule}{weight}"), 20_000, [0] * len(mass)
    for _ in range(repeats):
        counts[_simulate(mass, weight, 3, rule, rng)[0]] += 1
    _assert_frequencies(counts, selection_law(mass, weight, 3, rule), repeats)


@pytest.mark.parametrize("rule", RULES)
def test_multisets_agree_with_ordered_tuples(rule: str) -> None:
    n, law = 3, [F(0)] * 3
    for drawn in itertools.product(range(3), repeat=n):
        probability = math.prod((MASS[y] for y in drawn), start=F(1))
        wins = winner_given_draw([drawn.count(y) for y in range(3)], WEIGHT, rule)
        assert sum(wins) == 1
        for y in range(3):
            law[y] += probability * wins[y]
    assert law == selection_law(MASS, WEIGHT, n, rule)


def test_hand_computed_winners() -> None:
    # U_2 > 2 U_1 has probability 1/4; three equal positions; a zero weight never beats a positive one
    assert winner_given_draw([1, 1], [F(1), F(2)], "race") == [QUARTER, 3 * QUARTER]
    assert winner_given_draw([1, 1], [F(1), F(2)], "softmax") == [F(1, 3), F(2, 3)]
    assert winner_given_draw([2, 1], [F(1), F(1)], "max") == [F(2, 3), F(1, 3)]
    for rule in RULES:
        assert winner_given_draw([2, 1], [F(1), F(1)], rule) == [F(2, 3), F(1, 3)]
        assert winner_given_draw([5, 1], [F(0), F(1)], rule) == [0, 1]
        assert winner_given_draw([2, 2], [F(0), F(0)], rule) == [HALF, HALF]


@pytest.mark.parametrize("n", range(1, 7))
def test_race_distance_of_the_two_point_case(n: int) -> None:
    target = [QUARTER, 3 * QUARTER]
    law = selection_law([HALF, HALF], [HALF, 3 * HALF], n, "race")
    assert tv(law, target) == F(3, 4) / 3**n


@pytest.mark.parametrize("rule", RULES)
def test_equal_weights_return_the_mass_and_labels_do_not_matter(rule: str) -> None:
    assert selection_law(MASS, [F(4)] * 3, 4, rule) == MASS
    law = selection_law(MASS, WEIGHT, 4, rule)
    for order in itertools.permutations(range(3)):
        shuffled = selection_law([MASS[i] for i in order], [WEIGHT[i] for i in order], 4, rule)
        assert shuffled == [law[i] for i in order]


def test_max_of_right_and_wrong_is_pass_at_n() -> None:
    for n in range(1, 7):
        law = selection_law([F(1, 10), F(3, 10), F(6, 10)], [F(1), F(1), F(0)], n, "max")
        miss = F(6, 10) ** n
        assert law == [QUARTER * (1 - miss), 3 * QUARTER * (1 - miss), miss]


def test_gate_extremes_and_one_draw_by_hand() -> None:
    base, base_weight = [F(1, 6), F(2, 6), F(3, 6)], [F(1), F(2), F(3)]
    for rule in RULES:
        drafts, bases = selection_law(MASS, WEIGHT, 3, rule), selection_law(base, base_weight, 2, rule)
        law, p_accept, accepted, fallback = gsi_law(MASS, base, WEIGHT, base_weight, [True] * 3, 3, 2, rule)
        assert law == accepted == drafts and p_accept == 1 and fallback == bases
        law, p_accept, accepted, _ = gsi_law(MASS, base, WEIGHT, base_weight, [False] * 3, 3, 2, rule)
        assert law == bases and p_accept == 0 and accepted == [0, 0, 0]
        law, p_accept, accepted, _ = gsi_law(MASS, base, WEIGHT, base_weight, [True, False, True], 1, 1, rule)
        # draft 0 or 2 kept, otherwise one base draw
        assert law == [F(1, 5) + HALF / 6, HALF * F(2, 6), F(3, 10) + HALF / 2] and p_accept == HALF
        assert accepted == [F(1, 5), 0, F(3, 10)]


@pytest.mark.parametrize("rule", RULES)
def test_simulated_gate(rule: str) -> None:
    base, base_weight = [F(1, 6), F(2, 6), F(3, 6)], [F(1), F(2), F(3)]
    accept, rng, repeats = [True, False, True], random.Random(f"gate {rule}"), 20_000
    counts, kept = [0, 0, 0], 0
    for _ in range(repeats):
        winner, _ = _simulate(MASS, WEIGHT, 3, rule, rng)
        kept += accept[winner]
        if not accept[winner]:
            winner, _ = _simulate(base, base_weight, 2, rule, rng)
        counts[winner] += 1
    law, p_accept, *_ = gsi_law(MASS, base, WEIGHT, base_weight, accept, 3, 2, rule)
    _assert_frequencies([*counts, kept], [*law, p_accept], repeats)


def test_simulated_score_gate() -> None:
    rng, repeats, counts = random.Random("score gate"), 20_000, [0, 0, 0]
    for _ in range(repeats):
        winner, score = _simulate(MASS, WEIGHT, 3, "race", rng)
        counts[winner] += score >= 2
    accepted, p_accept = score_gate_law(MASS, WEIGHT, 2, 3)
    _assert_frequencies([*counts, sum(counts)], [*accepted, p_accept], repeats)


@pytest.mark.parametrize("mass, weight", CASES[:4])
def test_score_gate_has_no_bias_above_the_largest_weight(mass: list[F], weight: list[F]) -> None:
    mean = sum(m * w for m, w in zip(mass, weight, strict=True))
    tilted = [m * w / mean for m, w in zip(mass, weight, strict=True)]
    for n in (1, 2, 4):
        assert score_gate_law(mass, weight, 0, n)[0] == selection_law(mass, weight, n, "race")
        for M in (F(1, 3), F(1), F(3, 2), F(9), F(20)):
            accepted, p_accept = score_gate_law(mass, weight, M, n)
            # one candidate passes with probability E min(1, w/M), and the winner passes when any does
            passes = sum(m * min(F(1), w / M) for m, w in zip(mass, weight, strict=True))
            assert p_accept == 1 - (1 - passes) ** n
            excess = sum(m * max(w - M, F(0)) for m, w in zip(mass, weight, strict=True)) / mean
            assert tv([a / p_accept for a in accepted], tilted) <= excess


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("n", [1, 3, 6])
def test_mp_agrees_with_fractions(rule: str, n: int) -> None:
    with mpmath.workdps(80):
        for mass, weight in CASES:
            exact = selection_law(mass, weight, n, rule)
            law = selection_law_mp([_mp_log(m) for m in mass], [_mp_log(w) for w in weight], n, rule)
            for got, want in zip(law, exact, strict=True):
                assert abs(got * want.denominator - want.numerator) <= mpmath.mpf(10) ** -40 * want.numerator


@pytest.mark.parametrize("gap", [1.0, 1e4, 1e6])
def test_mp_two_points_far_apart(gap: float) -> None:
    with mpmath.workdps(60):
        small = mpmath.exp(-mpmath.mpf(gap))
        for rule, mixed in (("softmax", small / (1 + small)), ("race", small / 2), ("max", 0)):
            law = selection_law_mp([math.log(2), math.log(2)], [-gap, 0.0], 2, rule)
            want = mpmath.mpf(1) / 4 + mixed / 2
            assert abs(law[0] - want) <= mpmath.mpf(10) ** -45
            # at mass 1/2 the common draw hides the mixed term, so look at the win itself too
            win = winner_given_draw([1, 1], [small, mpmath.mpf(1)], rule)[0]
            assert abs(win - mixed) <= mpmath.mpf(10) ** -45 * mixed


def test_best_tv_is_the_largest_unreachable_excess() -> None:
    rng = random.Random(5)
    for size, n in itertools.product((2, 3, 4), (1, 2, 3, 5)):
        raw = [[rng.randint(1, 9) ** 2 for _ in range(size)] for _ in range(2)]
        target, proposal = ([F(x, sum(xs)) for x in xs] for xs in raw)
        # a set cannot be returned more often than it is drawn
        excess = max(
            sum((target[y] for y in subset), F(0)) - 1 + (1 - sum((proposal[y] for y in subset), F(0))) ** n
            for k in range(size + 1)
            for subset in itertools.combinations(range(size), k)
        )
        best = best_tv_lp(target, proposal, n)
        assert best == pytest.approx(float(excess), abs=1e-8)
        if n == 1:
            assert best == pytest.approx(float(tv(target, proposal)), abs=1e-8)
        weight = [t / p for t, p in zip(target, proposal, strict=True)]
        for rule in RULES:
            assert tv(selection_law(proposal, weight, n, rule), target) >= best - 1e-8


@pytest.mark.parametrize("rule", RULES)
def test_balls_contain_the_enumerated_law(rule: str) -> None:
    rng = random.Random(11)
    patterns = [  # a tie, a weight of zero, weights far apart, weights a rounding apart
        [0.0, 1.5, 1.5, -2.0],
        [-math.inf, 3.0, 0.25, 9.0],
        [0.0, 1e6, -1e4, 5.0],
        [1.0, math.nextafter(1.0, 2.0), 0.0, -3.0],
    ]
    for n, logs in itertools.product((1, 2, 4, 6), patterns):
        mass = [rng.random() for _ in range(4)]
        with mpmath.workdps(60):
            want = selection_law_mp([mpmath.log(mpmath.mpf(m)) for m in mass], logs, n, rule)
        with ctx.workprec(256):
            got = BALLS[rule](mass, logs, n)
            for ball, value in zip(got, want, strict=True):
                assert ball.rad() <= 1e-25 * ball.mid()
                # the mpf carries its own relative error of 1e-40
                assert ball.overlaps(arb(mpmath.nstr(value, 58)) * (1 + arb(0, 1e-40)))


@pytest.mark.parametrize("rule, n", [("softmax", 60), ("softmax", 1000), ("race", 60), ("max", 1000)])
def test_balls_contain_the_exact_law_of_many_candidates(rule: str, n: int) -> None:
    """Two outcomes need only n + 1 multisets; the irrational log 3 lies between two neighboring floats."""
    mass, near = [F(1, 3), F(2, 3)], math.log(3)
    exact = selection_law(mass, [F(1), F(3)], n, rule)[0]
    with ctx.workprec(256):
        low, high = (BALLS[rule](mass, [0.0, math.nextafter(near, side)], n)[0] for side in (0, 9))
        assert _contains(low.union(high), exact)  # the law is monotone in the weight
        assert low.union(high).rad() <= 1e-12 * low.mid()


def test_balls_at_a_billion_candidates() -> None:
    n, mass, logs = 10**9, [0.125, 0.25, 0.5, 0.125], [3.0, 1.0, 0.0, -40.0]
    with ctx.workprec(256):
        weight = [arb(ell).exp() for ell in logs]
        mean = sum((m * w for m, w in zip(mass, weight, strict=True)), arb(0))
        second = sum((m * (w / mean) ** 2 for m, w in zip(mass, weight, strict=True)), arb(0))
        for balls in BALLS.values():
            law = balls(mass, logs, n)
            assert sum(law, arb(0)).contains(1) and all(p.rad() <= 1e-25 * p.mid() for p in law)
            assert all(p.contains(m) for p, m in zip(balls(mass, [2.0] * 4, n), mass, strict=True))
        for p, m, w in zip(softmax_law_balls(mass, logs, n), mass, weight, strict=True):
            # P/pi = 1 + (1 + chi2 - w)/n + O(1/n^2) weights below 7: the remainder is far below 1000/n^2
            assert abs(n * (p * mean / (m * w) - 1) - (second - w / mean)) < 1e-6
        for p, m, w in zip(race_law_balls(mass, logs, n), mass, weight, strict=True):
            assert abs(p * mean / (m * w) - 1) < 1e-25  # race: exponentially close to the tilted law
        assert max_law_balls(mass, logs, n)[0].overlaps(1 - arb(fmpq(7, 8)) ** n)


@pytest.mark.parametrize("n", [1, 10, 200])
def test_balls_resolve_the_tiny_excess_of_the_race(n: int) -> None:
    """Masses 1/2, weights 1 < r: by hand P(lighter) = pi + a^n (1 - pi), a = (1 - 1/r)/2, pi = 1/(1 + r)."""
    with ctx.workprec(2048):
        r = arb(math.log(3)).exp()
        pi, a = 1 / (1 + r), (1 - 1 / r) / 2
        excess = race_law_balls([1, 1], [0.0, math.log(3)], n, precision_bits=2048)[0] - pi
        assert excess.overlaps(a**n * (1 - pi)) and excess.rad() <= 1e-25 * excess.mid()
        assert abs(excess * 3**n - 0.75) < 1e-12  # the rounding of log 3 moves a^n by less than n 1e-15


@pytest.mark.parametrize("rule", RULES)
def test_divergences(rule: str) -> None:
    p, q = [QUARTER, 3 * QUARTER], [HALF, HALF]
    assert tv(p, q) == QUARTER and chi2(p, q) == QUARTER and tv(p, p) == 0 and chi2(p, p) == 0
    with mpmath.workdps(60):
        want = mpmath.log(2) * -1 + mpmath.mpf(3) / 4 * mpmath.log(3)
        assert abs(kl(p, q) - want) < mpmath.mpf(10) ** -55
    assert kl(q, [F(1), F(0)]) == mpmath.inf == chi2(q, [F(1), F(0)])
    assert kl([F(1), F(0)], q) == pytest.approx(math.log(2), abs=1e-15)
    first, third = (selection_law(MASS, WEIGHT, n, rule) for n in (1, 3))
    assert 2 * float(tv(first, third)) ** 2 <= kl(first, third) <= math.log1p(chi2(first, third))


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match="sum to 3/4"):
        selection_law([HALF, QUARTER], [1, 1], 2, "race")
    with pytest.raises(ValueError, match="n=0"):
        selection_law([HALF, HALF], [1, 1], 0, "race")
    with pytest.raises(ValueError, match="unknown"):
        selection_law([HALF, HALF], [1, 2], 2, "median")
    with pytest.raises(ValueError, match="nonnegative"):
        softmax_law_balls([-1.0, 2.0], [0.0, 0.0], 2)
