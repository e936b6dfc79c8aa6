"""The refuter: false and planted wrong claims are refuted from scratch, true ones approached; same seed, same end."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
import pytest

from gsi_theory.claims import CLAIMS
from gsi_theory.claims.claim import Claim, Outcome
from gsi_theory.claims.facts import Facts
from gsi_theory.claims.sides import Sides
from gsi_theory.errors import InputError
from gsi_theory.instance import Instance, Scheme
from gsi_theory.refutation import climb
from gsi_theory.refutation.card import card_json, card_latex, card_text, relative_gap, shape_words
from gsi_theory.refutation.refute import QUICK, Round, refute, search
from gsi_theory.refutation.search_space import Space, excess, random_points, spaces_of
from tests.oracles import enumeration

FALSE_CLAIMS = [c for c in CLAIMS.values() if c.expected is Outcome.REFUTED]
BASE, SINH = CLAIMS["M11-chi2"], CLAIMS["M13-sinh"]


@pytest.mark.parametrize("claim", FALSE_CLAIMS, ids=lambda c: c.id)
def test_false_claims_are_refuted_from_scratch(claim: Claim) -> None:
    found = refute(claim, seed=7)
    assert found.outcome is Outcome.REFUTED and not found.surprise
    assert found.minimal is not None and found.minimal.instance.size <= 3
    if found.certificate is not None:
        assert found.certificate.outcome is Outcome.REFUTED
        gap, radius = relative_gap(found.certificate)
        assert gap >= 1e-6 and radius <= 1e-10


def test_counterexample_of_the_signed_reading_against_enumeration() -> None:
    """GSI Theorem 1 (c): KL and the n it asks for from the card's numbers alone, exact law by enumeration."""
    case = refute(CLAIMS["M12c"]).minimal
    assert case is not None and case.scheme.n <= 6
    inst, beta, n = case.instance, case.scheme.beta, case.scheme.n
    with mpmath.workdps(60):
        weight = [mpmath.exp(mpmath.mpf(beta.numerator) * r.numerator / beta.denominator / r.denominator)
                  for r in inst.reward]  # fmt: skip
        tilt = [mpmath.mpf(b.numerator) / b.denominator * e for b, e in zip(inst.base, weight, strict=True)]
        pi = [t / sum(tilt) for t in tilt]
        logs = [mpmath.log(mpmath.mpf(s.numerator) / s.denominator) for s in inst.draft]
        law = enumeration.selection_law_mp(
            logs, [mpmath.log(t) - s for t, s in zip(tilt, logs, strict=True)], n, "softmax"
        )
        kl = sum(p * mpmath.log(p / q) for p, q in zip(pi, law, strict=True))
        chi2 = sum(b * b / s for b, s in zip(inst.base, inst.draft, strict=True)) - 1
        size = float(beta * max(map(abs, inst.reward)))
        asked = (float(chi2) + 1.0) * math.exp(2.0 * size) - 1.0
    assert float(kl) > math.log1p(asked / n) * 1.005
    verdict = CLAIMS["M12c"].evaluate(*case.floats())
    assert verdict.lhs == pytest.approx(float(kl), rel=1e-11)
    assert verdict.rhs == pytest.approx(math.log1p(asked / n), rel=1e-11)


def _planted(rhs: Any, base: Claim = BASE) -> Claim:
    return replace(base, id="planted", balls=None, sides=lambda f: replace(base.sides(f), rhs=rhs(f)))


def _drift(f: Facts) -> Sides:
    """(M15) with n for n - 1: KL(P_n‖π_S) ≤ log(n/(1 + n w_min/w_max))."""
    xp, law = f.xp, f.draft_law("softmax")
    kl = xp.sum(xp.exp(law.log_prob) * (law.log_prob - f.log_draft), axis=-1)
    spread = xp.max(f.log_w, axis=-1) - xp.min(f.log_w, axis=-1)
    return Sides(kl, xp.log(f.n / (1.0 + f.n * xp.exp(-spread))), 1e-10)


def _drift_with_factor(f: Facts) -> Sides:
    own = _drift(f)
    return replace(own, rhs=0.5 * f.xp.log(f.n))


PLANTED = {
    "sign": _planted(lambda f: f.xp.log1p(-f.chi2 / (f.n + f.chi2 + 1.0))),
    "missing factor 2": replace(
        SINH,
        id="planted",
        balls=None,
        sides=lambda f: replace(SINH.sides(f), rhs=SINH.sides(replace(f, beta=f.beta / 2.0, _known={})).rhs),
    ),
    "half of the bound": _planted(lambda f: 0.5 * f.xp.log1p(f.chi2 / f.n)),
    "n + 1 for n": _planted(lambda f: f.xp.log1p(f.chi2 / (f.n + 1.0))),
    "n for n - 1": replace(BASE, id="planted", balls=None, sides=_drift),
    "half of log n": replace(BASE, id="planted", balls=None, sides=_drift_with_factor),
}


@pytest.mark.parametrize("name", PLANTED)
def test_planted_wrong_claims_are_refuted(name: str) -> None:
    for seed in (0, 1):
        found = refute(PLANTED[name], seed, rounds=QUICK)
        assert found.outcome is Outcome.REFUTED and found.surprise
        assert found.certificate is None  # changed sides have no twin
        assert found.verdict is not None and found.verdict.outcome is Outcome.REFUTED
        assert found.minimal is not None and found.minimal.instance.size <= 3


@pytest.mark.parametrize("key", ["M10", "M12b", "M13-cv", "M17-tail", "M19-race"])
def test_true_claims_survive_and_are_approached(key: str) -> None:
    found = refute(CLAIMS[key], rounds=QUICK)
    assert found.outcome is Outcome.HOLDS and not found.surprise
    assert found.search.complete
    assert found.search.worst is not None and found.search.worst.ratio == pytest.approx(1.0, abs=0.05)


def test_search_is_a_function_of_the_seed() -> None:
    one, same, other = (search(CLAIMS["M13-sinh"], seed, rounds=QUICK[:3]) for seed in (3, 3, 4))
    assert one.worst is not None and same.worst is not None and other.worst is not None
    assert one.worst.excess == same.worst.excess
    assert np.array_equal(one.worst.instance.log_draft, same.worst.instance.log_draft)
    assert one.worst.excess != other.worst.excess


def test_ascent_improves_on_its_starts() -> None:
    """M13-sinh is far from tight at random points: the ascent must find better, and its gradient must be the slope."""
    pytest.importorskip("torch")
    claim, space = CLAIMS["M13-sinh"], Space(2, least_n=2)
    start = random_points(space, 32, np.random.default_rng(0))
    before = excess(claim, space.facts(start, whole=False))
    points, top = climb.climb(claim, space, start, 60)
    assert np.all(top >= before - 1e-12)
    assert np.median(top) > np.median(before) + 0.05
    assert excess(claim, space.facts(points, whole=False)) == pytest.approx(top, abs=1e-9)
    low, high = space.bounds
    assert np.all(points >= low) and np.all(points <= high)


def test_without_torch_the_global_method_refutes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(climb, "available", lambda: False)
    with pytest.raises(InputError, match="torch"):
        climb.climb(CLAIMS["M12c"], Space(2), np.zeros((1, 9)), 1)
    found = refute(CLAIMS["M12c"])
    assert found.outcome is Outcome.REFUTED and not found.search.gradient
    assert found.certificate is not None and found.certificate.outcome is Outcome.REFUTED


def test_time_cuts_the_search_and_the_finding_says_so() -> None:
    found = search(CLAIMS["M13-sinh"], seconds=1.5, rounds=(Round("sample", 2, 64), Round("climb", 2, 96, 100_000)))
    assert not found.complete and found.worst is not None


def test_spaces_follow_the_assumptions() -> None:
    assert {s.lowest_reward for s in spaces_of(CLAIMS["M12b"])} == {0.0}
    assert {s.gate for s in spaces_of(CLAIMS["M7-vanishes"])} == {"tilted_reward"}
    assert {s.rule for s in spaces_of(CLAIMS["M19"])} == {"softmax", "race", "max"}
    assert {s.rule for s in spaces_of(CLAIMS["M13-cv"])} == {"softmax"}
    assert {s.rule for s in spaces_of(CLAIMS["M17-tv"])} == {"race"}  # it ignores the scheme's rule and names its own


def test_excess_is_the_ratio_below_one_and_zero_for_equal_sides() -> None:
    instance = Instance.from_probabilities([0.5, 0.5], [0.2, 0.8], [0.0, 1.0])
    facts = Facts.of(instance, Scheme(1.0, 4))
    claim = CLAIMS["M11-chi2"]
    verdict = claim.evaluate(instance, Scheme(1.0, 4))
    assert verdict.lhs is not None and verdict.rhs is not None
    assert float(excess(claim, facts)) == pytest.approx(verdict.lhs / verdict.rhs - 1.0, abs=1e-10)
    assert float(excess(CLAIMS["M7-tv"], facts)) < -3.0  # not applicable without a gate


def test_cards_hold_what_a_referee_needs() -> None:
    found = refute(CLAIMS["M12c"])
    text, tex, record = card_text(found), card_latex(found), card_json(found)
    assert found.minimal is not None
    for piece in ("M12c: REFUTED", "draft", "base", "reward", "lhs", "rhs", "gsi law instance.json", "certify_claim"):
        assert piece in text
    prose = text.split("recheck")[0].splitlines()
    assert max(map(len, prose)) <= 80
    for opened in ("array", "align*"):
        assert tex.count(f"\\begin{{{opened}}}") == tex.count(f"\\end{{{opened}}}") == 1
    assert tex.count("{") == tex.count("}") and tex.isascii()
    shown = record["counterexample"]
    assert [Fraction(v) for v in shown["draft"]] == list(found.minimal.instance.draft)
    assert sum(map(Fraction, shown["base"])) == 1
    ends = shown["certificate"]
    assert Fraction(ends["lhs"]["lower"]) > Fraction(ends["rhs"]["upper"])


def test_shape_in_words() -> None:
    rare = Instance.from_probabilities([0.99, 0.01], [0.98, 0.02], [0.0, 1.0])
    words = shape_words(rare, Scheme(2.0, 1))
    assert words.startswith("two outcomes, reward on one that is rare in draft and base") and words.endswith("n = 1")
    flat = Instance.from_probabilities([0.5, 0.5, 0.0], [0.5, 0.5, 0.0], [1.0, 1.0, 1.0])
    assert shape_words(flat, Scheme(1.0, 3)) == (
        "two outcomes, constant reward, draft = base, tilted policy = draft, n = 3"
    )
