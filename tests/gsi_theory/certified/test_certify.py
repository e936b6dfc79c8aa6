"""Certificates (M35) against the independent ball oracle, enumeration in Fractions and 60-digit sums; hostile input."""

from __future__ import annotations

import math
import time
from decimal import Decimal
from fractions import Fraction

import flint
import mpmath
import numpy as np
import pytest
from flint import arb, fmpq

from gsi_theory import InputError, Instance, Scheme
from gsi_theory.certified.ball_law import LogWeight, selection_balls
from gsi_theory.certified.certify import QUANTITIES, certify, certify_all, certify_claim
from gsi_theory.certified.rational import Enclosure, ExactInstance, ExactScheme, enclose
from gsi_theory.claims import CLAIMS, Outcome
from gsi_theory.rules.race_balls import race_excess
from tests.gsi_theory.test_hostile import hostile
from tests.oracles import enumeration, limit_lp

RULES = ("softmax", "race", "max")
ZERO = LogWeight(Fraction(0), Fraction(0))
SMALL = ExactInstance(["0.5", "0.3", "0.2"], ["0.2", "0.3", "0.5"], ["0.1", "0.6", "0.9"])


def rational_policy(rng: np.random.Generator, size: int, zeros: bool = False) -> list[Fraction]:
    counts = rng.integers(0 if zeros else 1, 30, size)
    counts[rng.integers(size)] += 1
    return [Fraction(int(c), int(counts.sum())) for c in counts]


def near(x: Enclosure, truth: object) -> bool:
    """The 60-digit number lies in the enclosure, up to its own last digits."""
    with mpmath.workdps(70):
        slack = mpmath.mpf(10) ** -50 * (1 + abs(truth))
        return bool(mpmath.mpf(str(x.lower)) - slack <= truth <= mpmath.mpf(str(x.upper)) + slack)


def test_gated_law_contains_enumeration_at_beta_zero() -> None:
    """(M6) at β = 0, where every weight is rational and r̃ is r or ±inf."""
    for trial in range(30):
        rng = np.random.default_rng([84, trial])
        size, n, n_base = int(rng.integers(2, 5)), int(rng.integers(1, 5)), int(rng.integers(1, 4))
        draft, base = rational_policy(rng, size), rational_policy(rng, size, zeros=True)
        base = draft if trial % 3 == 0 else base
        reward = [Fraction(int(v), 4) for v in rng.integers(-4, 5, size)]
        ratio = [b / s for s, b in zip(draft, base, strict=True)]
        accept = [q > 1 or (q == 1 and r >= Fraction(1, 4)) for q, r in zip(ratio, reward, strict=True)]
        rule = RULES[trial % 3]
        law, p_accept, _, _ = enumeration.gsi_law(draft, base, ratio, [Fraction(1)] * size, accept, n, n_base, rule)
        found = certify_all(
            ["law", "p_accept", "p_reject", "expected_reward"],
            ExactInstance(draft, base, reward),
            ExactScheme(0, n, "0.25", rule, n_base),
        )
        assert all(x.contains(t) for x, t in zip(found["law"], law, strict=True)), trial
        assert found["p_accept"].contains(p_accept)
        assert found["p_reject"].contains(1 - p_accept)
        assert found["expected_reward"].contains(sum(p * r for p, r in zip(law, reward, strict=True)))


def sixty_digits(beta: Fraction, n: int) -> dict[str, tuple[object, object]]:
    """Both sides of each bound on SMALL by 60-digit enumeration; unsigned rewards, the draft covers the base."""
    draft, base = ([mpmath.mpf(x.numerator) / x.denominator for x in p] for p in (SMALL.draft, SMALL.base))
    reward = [mpmath.mpf(r.numerator) / r.denominator for r in SMALL.reward]
    b = mpmath.mpf(beta.numerator) / beta.denominator
    tilt = [q * mpmath.exp(b * r) for q, r in zip(base, reward, strict=True)]
    pi = [t / sum(tilt) for t in tilt]
    w = [p / s for p, s in zip(pi, draft, strict=True)]
    logs = [mpmath.log(v) for v in w]
    soft, race, top = (enumeration.selection_law_mp([mpmath.log(s) for s in draft], logs, n, rule) for rule in RULES)
    on_base = enumeration.selection_law_mp([mpmath.log(q) for q in base], [b * r for r in reward], n, "softmax")
    kl, chi2 = enumeration.kl, enumeration.chi2
    osc, largest = max(reward) - min(reward), max(reward)
    pair = 1 + chi2(base, draft)
    asked = {
        "M12a": pair * (mpmath.exp(2 * b * largest) - 1),
        "M12b": pair * mpmath.exp(2 * b * largest) - 1,
        "M12-osc": pair * mpmath.exp(2 * b * osc) - 1,
    }
    v = sum(p * r * x for p, r, x in zip(pi, reward, w, strict=True)) / sum(
        p * r for p, r in zip(pi, reward, strict=True)
    )
    mean = [sum(p * r for p, r in zip(law, reward, strict=True)) for law in (pi, soft)]
    order = sorted(range(3), key=lambda y: -w[y])
    sets = [order[:k] for k in range(4)]
    sides = {
        "M10": (
            max(mpmath.log(p / q) - mpmath.log(1 + (x - 1) / n) for p, q, x in zip(pi, soft, w, strict=True)),
            mpmath.mpf(0),
        ),
        "M11-mean": (kl(pi, soft), sum(p * mpmath.log(1 + (x - 1) / n) for p, x in zip(pi, w, strict=True))),
        "M11-chi2": (kl(pi, soft), mpmath.log(1 + chi2(pi, draft) / n)),
        "M13-cv": (kl(pi, on_base), mpmath.log(1 + chi2(pi, base) / n)),
        "M13-sinh": (kl(pi, on_base), mpmath.log(1 + mpmath.sinh(b * osc / 2) ** 2 / n)),
        "M14": ((mean[0] - mean[1]) / mean[0], (v - 1) / (n + v - 1)),
        "M15": (kl(soft, draft), mpmath.log(n / (1 + (n - 1) * min(w) / max(w)))),
        "M16": (kl(top, draft), mpmath.log(n) - mpmath.mpf(n - 1) / n),
        "M17-tv": (
            enumeration.tv(race, pi),
            min(1, 2 * (1 + chi2(pi, draft)) / (mpmath.e * n), (1 - 1 / max(w)) ** n),
        ),
        "M17-dominance-tv": (enumeration.tv(race, pi), enumeration.tv(soft, pi)),
        "M17-dominance-kl-forward": (kl(pi, race), kl(pi, soft)),
        "M17-dominance-kl-reverse": (kl(race, pi), kl(soft, pi)),
        "M19": (
            max(sum(pi[y] for y in a) - 1 + (1 - sum(draft[y] for y in a)) ** n for a in sets),
            enumeration.tv(soft, pi),
        ),
    }
    sides |= {name: (kl(pi, soft), mpmath.log(1 + value / n)) for name, value in asked.items()}
    return sides


@pytest.mark.parametrize(("beta", "n"), [(Fraction(3, 2), 1), (Fraction(3, 2), 4), (Fraction(0), 3), (Fraction(9), 5)])
def test_both_sides_of_the_bounds_contain_sixty_digit_sums(beta: Fraction, n: int) -> None:
    with mpmath.workdps(60):
        truth = sixty_digits(beta, n)
        for claim, (lhs, rhs) in truth.items():
            found = certify_claim(claim, SMALL, ExactScheme(beta, n))
            assert near(found.lhs, lhs) and near(found.rhs, rhs), (claim, found, lhs, rhs)
            assert found.outcome is not Outcome.REFUTED or claim == "M12a", (claim, found)
            if rhs - lhs > mpmath.mpf(10) ** -40:
                assert found.outcome is Outcome.HOLDS, (claim, found)


def test_infimum_over_the_score_threshold() -> None:
    """(M17): the certified infimum lies at most at the least value of a fine grid, and within the grid's step of it."""
    for trial in range(20):
        rng = np.random.default_rng([85, trial])
        size, n = int(rng.integers(2, 6)), int(rng.choice([1, 3, 30]))
        exact = ExactInstance(
            rational_policy(rng, size),
            rational_policy(rng, size),
            [Fraction(int(v), 5) for v in rng.integers(0, 6, size)],
        )
        pi = np.array([x.mid for x in certify("tilted", exact, ExactScheme(2, n))])
        mu = np.array([float(s) for s in exact.draft])
        w = pi / mu
        grid = np.r_[w, np.linspace(w.min(), w.max(), 20_001)][:, None]
        values = np.maximum(w - grid, 0) @ mu + np.maximum(1 - np.minimum(w, grid) @ mu / grid[:, 0], 0) ** n
        rhs = certify_claim("M17-tail", exact, ExactScheme(2, n, rule="race")).rhs
        assert rhs.radius < 1e-9
        assert values.min() - 1e-6 <= rhs.mid <= values.min() + 1e-12, trial


def test_best_tv_equals_the_linear_program() -> None:
    for trial in range(6):
        rng = np.random.default_rng([86, trial])
        draft, base, n = rational_policy(rng, 3), rational_policy(rng, 3, zeros=True), 1 + trial % 3
        found = certify("best_tv", ExactInstance(draft, base, [0, 0, 0]), ExactScheme(0, n))
        assert found.mid == pytest.approx(limit_lp.best_tv_lp(base, draft, n), abs=1e-8)


@pytest.mark.parametrize("n", [1, 5, 1000, 20_000])
def test_race_total_variation_is_exact_however_small(n: int) -> None:
    """(M17), exact case ¾·3^{-n}: relative radius 1e-20 even at 1e-9543, where P_n and π agree to every usual digit."""
    exact = ExactInstance(["1/2", "1/2"], ["1/4", "3/4"], [0, 0])
    found = certify("tv", exact, ExactScheme(0, n, rule="race"))
    assert found.contains(Fraction(3, 4 * 3**n))
    assert found.relative_radius <= 1e-20
    excess = race_excess(
        exact.draft, [LogWeight(Fraction(0), Fraction(1, 2)), LogWeight(Fraction(0), Fraction(3, 2))], n
    )
    with flint.ctx.workprec(100):
        # TV = ½ Σ π|x| = ¼ |x₀|, because Σ π x = 0
        assert (excess[0] * arb(3) ** n / 3).contains(1)


def test_gate_is_decided_exactly() -> None:
    """r̃ = log 2 against 60 of its digits, rounded either way; r̃ = u exactly; β = 0."""
    exact = ExactInstance(["1/3", "2/3"], ["2/3", "1/3"], [0, 0])
    with mpmath.workdps(80):
        below = Fraction(int(mpmath.floor(mpmath.log(2) * mpmath.mpf(10) ** 60)), 10**60)
    for cut, accepted in ((below, True), (below + Fraction(1, 10**60), False)):
        assert (certify("p_accept", exact, ExactScheme(1, 1, cut)).upper > 0) is accepted
    even = ExactInstance(["0.3", "0.7"], ["0.3", "0.7"], ["0.6", "0.1"])
    for beta in (0, "0.7", 5):
        assert certify("p_accept", even, ExactScheme(beta, 1, "0.6")).contains(Fraction(3, 10))
        assert certify("p_accept", even, ExactScheme(beta, 1, Fraction(6, 10) + Fraction(1, 10**40))).upper == 0
    thirds = ExactInstance(["0.1", "0.3", "0.6"], ["0.2", "0.6", "0.2"], [0, 0, 0])
    assert certify("draft_law", thirds, ExactScheme(0, 2, rule="max"))[0].contains(
        Fraction(1, 4) * (1 - Fraction(36, 100))
    )


def test_hostile_instances_agree_with_floats_and_refute_no_true_claim() -> None:
    """β to 1e6, masses to e^-690, zero masses, uncovered base mass, n to 1e9, every gate: the float law is within its
    own error of the certificate, and no true claim is refuted. Verdicts that both decide agree.
    """
    decided = 0
    for trial in range(10):
        float_instance, scheme = hostile(np.random.default_rng([87, trial]))
        exact = ExactInstance.near(float_instance)
        found = certify_all(list(QUANTITIES), exact, scheme)
        total = sum((Fraction(0), *(Fraction(x.upper) for x in found["law"] if x.upper > Decimal("1e-400"))))
        assert abs(float(total - 1)) < 1e-20
        for name, value in found.items():
            for x in value if isinstance(value, tuple) else (value,):
                assert x.relative_radius <= 1e-20 or x.radius <= 1e-50, (trial, name, x)
        for claim in (c for c in CLAIMS.values() if c.certifiable):
            verdict = certify_claim(claim, exact, scheme)
            told = (trial, claim.id, verdict)
            assert verdict.outcome is not Outcome.REFUTED or claim.expected is Outcome.REFUTED, told
            if claim.relation == "<=":
                outcomes = {verdict.outcome, claim.evaluate(exact.to_instance(), scheme).outcome}
                assert outcomes != {Outcome.HOLDS, Outcome.REFUTED}, told
                decided += verdict.outcome is Outcome.HOLDS
    assert decided > 25


def test_counterexamples_are_certified() -> None:
    """(M12 a) at r = 0 and (M12 c) with signed rewards are refuted; the gate's limit a(1 - a) is not zero."""
    even = ExactInstance(["0.5", "0.5"], ["0.9", "0.1"], [0, 0])
    printed = certify_claim("M12a", even, ExactScheme(1, 1))
    assert printed.outcome is Outcome.REFUTED and printed.rhs.upper == 0
    assert printed.lhs.mid == pytest.approx(0.9 * np.log(1.8) + 0.1 * np.log(0.2))
    rare = ExactInstance(["3e-7", "0.9999997"], ["5e-4", "0.9995"], [1, -1])
    assert certify_claim("M12c", rare, ExactScheme(5, 1)).outcome is Outcome.REFUTED
    assert certify_claim("M12-osc", rare, ExactScheme(5, 1)).outcome is Outcome.HOLDS
    assert certify_claim("M12b", rare, ExactScheme(5, 1)).outcome is Outcome.NOT_APPLICABLE
    gate = certify_claim("M7-vanishes", ExactInstance(["1/2", "1/2"], ["1/2", "1/2"], [0, 1]), ExactScheme(1, 4, "0.5"))
    assert gate.outcome is Outcome.REFUTED
    assert gate.lhs.mid == pytest.approx(math.e / (1 + math.e) ** 2)


def test_equal_sides_stay_undecided() -> None:
    found = certify_claim("M10", SMALL, ExactScheme(2, 1))
    assert found.outcome is Outcome.UNDECIDED
    assert found.lhs.radius < 1e-50


def test_extremes() -> None:
    """K = 1, masses of 1e-4000, β = 1e6 with log-ratios of ±1e4, infinite divergences, thresholds ±inf."""
    one = certify_all(list(QUANTITIES), ExactInstance([1], [1], [3]), ExactScheme(1, 10**9, 2))
    assert one["law"][0].contains(1) and one["kl"].upper < Decimal("1e-50") and one["expected_reward"].contains(3)
    tiny = Fraction(1, 10**4000)
    far = ExactInstance([tiny, 1 - tiny], [1 - tiny, tiny], ["0.5", "-0.5"])
    for rule in RULES:
        found = certify_all(["law", "kl", "chi2"], far, ExactScheme(10**6, 10**9, rule=rule))
        assert found["law"][0].relative_radius <= 1e-20
        assert Decimal("1e-3992") < found["law"][0].lower and found["law"][0].upper < Decimal("1e-3990")
        assert found["chi2"].lower > Decimal("1e3999")
    gap = ExactInstance([1, 0], ["1/2", "1/2"], [0, 1])
    assert certify("kl", gap, ExactScheme(1, 4)).lower == Decimal("Infinity")
    assert certify("chi2", gap, ExactScheme(1, 4)).lower == Decimal("Infinity")
    for cut, p_accept in ((math.inf, 0), (-math.inf, 1)):
        for rule, gate in (("softmax", "tilted_reward"), ("race", "score")):
            assert certify("p_accept", SMALL, ExactScheme(1, 4, cut, rule, gate=gate)).contains(p_accept)


def test_four_candidates_at_a_billion_draws_take_well_under_a_second() -> None:
    exact = ExactInstance(["0.4", "0.3", "0.2", "0.1"], ["0.1", "0.2", "0.3", "0.4"], [0, "0.3", "0.6", 1])
    began = time.perf_counter()
    certify_all(list(QUANTITIES), exact, ExactScheme(20, 10**9, "0.8"))
    assert time.perf_counter() - began < 0.5


def test_more_digits_nest() -> None:
    few, many = (certify("kl", SMALL, ExactScheme(2, 16, "0.5"), digits=d) for d in (20, 60))
    assert few.lower <= many.lower <= many.upper <= few.upper
    assert many.relative_radius <= 1e-60


def test_decimal_ends_are_outward() -> None:
    for trial in range(200):
        rng = np.random.default_rng([88, trial])
        truth = Fraction(int(rng.integers(-(10**9), 10**9)), int(rng.integers(1, 10**9))) * Fraction(10) ** int(
            rng.integers(-400, 400)
        )
        with flint.ctx.workprec(int(rng.integers(30, 200))):
            x = enclose(arb(fmpq(truth.numerator, truth.denominator)), digits=12)
        assert Fraction(x.lower) <= truth <= Fraction(x.upper)
        assert x.contains(truth)
        middle, _, radius = x.text(9).partition(" ± ")
        assert abs(Fraction(middle) - truth) <= Fraction(radius or 0)
    assert enclose(arb(3)).text() == "3"
    assert str(Enclosure(Decimal(1), Decimal(2))) == "[1, 2]"
    assert Enclosure(Decimal("0.1"), Decimal("0.3")).distance(0.5) == pytest.approx(0.2)
    with pytest.raises(ArithmeticError):
        enclose(arb.nan())


def test_exact_input() -> None:
    for tenth in ("0.1", Decimal("0.1"), Fraction(1, 10), "1/10"):
        assert ExactInstance([tenth, "0.9"], [tenth, "0.9"], [0, 1]).draft[0] == Fraction(1, 10)
    binary = ExactInstance([0.1, 0.9], [0.1, 0.9], np.array([0.1, 1.0]))
    assert binary.draft[0] == Fraction(0.1) / (Fraction(0.1) + Fraction(0.9))
    assert binary.reward[0] == Fraction(0.1)
    assert ExactScheme.of(Scheme(0.1, 3, 0.5)).beta == Fraction(0.1)
    assert ExactScheme("0.1", 3, "-0.5", n_base=7).to_scheme() == Scheme(0.1, 3, -0.5, n_base=7)
    given = Instance.from_probabilities([0.2, 0.8, 0.0], [0.5, 0.0, 0.5], [0, 1, 2])
    again = ExactInstance.near(given).to_instance()
    assert np.allclose(again.log_draft, given.log_draft, atol=1e-15) and again.uncovered == (2,)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: ExactInstance([0.5, 0.4], [0.5, 0.5], [0, 1]), "draft sums to 0.9"),
        (lambda: ExactInstance([1.5, -0.5], [0.5, 0.5], [0, 1]), r"draft\[1\] = -0.5"),
        (lambda: ExactInstance([1], [1], [float("nan")]), r"reward\[0\] = nan"),
        (lambda: ExactInstance([1], [1], ["x"]), r"reward\[0\] = 'x'"),
        (lambda: ExactInstance([1], [1], ["1e99999999"]), r"reward\[0\] = "),
        (lambda: ExactInstance([1], [1], [0, 1]), "lengths differ"),
        (lambda: ExactInstance([], [], []), "K ≥ 1"),
        (lambda: ExactInstance(1, [1], [0]), "draft = 1"),
        (lambda: ExactScheme(-1, 4), "beta = -1"),
        (lambda: ExactScheme(1, 0), "n = 0"),
        (lambda: ExactScheme(1, 4, "u"), "threshold = 'u'"),
        (lambda: ExactScheme(1, 4, 0, "max", gate="score"), "gate 'score'"),
        (lambda: certify("entropy", SMALL, ExactScheme(1, 4)), "quantity 'entropy'"),
        (lambda: certify("kl", SMALL, ExactScheme(1, 4), digits=0), "digits = 0"),
        (lambda: certify_claim("M18-kl", SMALL, ExactScheme(1, 4)), "claim 'M18-kl'"),
        (lambda: selection_balls([Fraction(1)], [ZERO], 2, "best"), "rule 'best'"),
    ],
)
def test_bad_input_names_value_and_cure(make, words: str) -> None:
    with pytest.raises(InputError, match=words):
        make()


def test_every_inequality_of_the_first_claims_has_sides() -> None:
    for claim in ("M10", "M11-mean", "M11-chi2", "M12a", "M12b", "M12c", "M12-osc", "M13-cv", "M13-sinh", "M17-tv"):
        assert CLAIMS[claim].certifiable
    for claim in ("M17-tail", "M17-dominance-tv", "M17-dominance-kl-forward", "M17-dominance-kl-reverse", "M19"):
        assert CLAIMS[claim].certifiable


@pytest.mark.parametrize("rewards", [["1", "1"], ["0", "1"]])
def test_a_step_below_all_rewards_is_below_their_mean(rewards: list[str]) -> None:
    """u = -∞ accepts everything; with constant rewards min r is E r, and the premise of M21-gain was called true."""
    exact = ExactInstance(["0.5", "0.5"], ["0.25", "0.75"], rewards)
    found = certify_claim("M21-gain", exact, ExactScheme("1", 2, float("-inf")))
    assert found.outcome is Outcome.NOT_APPLICABLE
    floats = Instance.from_probabilities([0.5, 0.5], [0.25, 0.75], [float(r) for r in rewards])
    assert CLAIMS["M21-gain"].evaluate(floats, Scheme(1.0, 2, -np.inf)).outcome is Outcome.NOT_APPLICABLE


def test_decreasing_race_by_hand() -> None:
    """(M17) μ = (½, ½), π = (¼, ¾): TV = ¾ 3^-n; all three divergences fall."""
    exact = ExactInstance(["0.5", "0.5"], ["0.25", "0.75"], ["0", "0"])
    for n in (1, 2, 7, 1000):
        found = {
            k: certify_claim(f"M17-decreasing-{k}", exact, ExactScheme("1", n)) for k in ("tv", "kl-forward", "chi2")
        }
        assert all(v.outcome is Outcome.HOLDS for v in found.values())
        with mpmath.workdps(60):
            for side, m in (("lhs", n + 1), ("rhs", n)):
                gap = mpmath.mpf(3) ** -m
                light = mpmath.mpf("0.25") + mpmath.mpf("0.75") * gap
                truth = {
                    "tv": mpmath.mpf("0.75") * gap,
                    "kl-forward": -(
                        mpmath.mpf("0.25") * mpmath.log(4 * light) + mpmath.mpf("0.75") * mpmath.log1p(-gap)
                    ),
                    "chi2": (mpmath.mpf("0.75") * gap) ** 2 * (4 + mpmath.mpf(4) / 3),
                }
                if n < 100:
                    for key, value in truth.items():
                        enclosure = getattr(found[key], side)
                        assert float(enclosure.mid) == pytest.approx(float(value), rel=1e-14)
