"""Claims on the race rule (M17) and on what no rule can beat (M19). See claims.py."""

from __future__ import annotations

from gsi_theory.claims.assumptions import COVERED, HERE, POSITIVE, RACE
from gsi_theory.claims.claim import Claim, Outcome
from gsi_theory.claims.sides_race import (
    decreasing,
    dominance,
    hockey_limit,
    mixture,
    ordered,
    race_bound,
    race_tail,
    race_tv,
    rule_limit,
)

__all__ = ["TABLE"]

HOLDS, REFUTED = Outcome.HOLDS, Outcome.REFUTED


def _dominance(kind: str, name: str, ids: str | None = None) -> Claim:
    """The race is closer to π than softmax in one more divergence; weights of zero allowed."""
    statement = name.format("P_n^{race}") + r" \le " + name.format("P_n^{softmax}")
    return Claim(f"M17-dominance-{ids or kind.replace('_', '-')}", "M17", statement, RACE, (COVERED,), "<=", HOLDS,
                 lambda f: ordered(f, kind))  # fmt: skip


def _decreasing(kind: str, name: str) -> Claim:
    statement = name.format("P_{n+1}^{race}") + r" \le " + name.format("P_n^{race}")
    return Claim(f"M17-decreasing-{kind.replace('_', '-')}", "M17", statement, RACE, (COVERED,), "<=", HOLDS,
                 lambda f: decreasing(f, kind))  # fmt: skip


TABLE = (
    Claim("M17-tv", "M17", r"TV(P_n^{race},\pi) \le \min\{1, 2(1+\chi^2)/(en), (1-1/C)^n\}", RACE, (COVERED,), "<=",
          HOLDS, race_tv),
    Claim("M17-tv-chi2", "M17", r"TV(P_n^{race},\pi) \le 2(1+\chi^2)/(en)", RACE, (COVERED,), "<=", HOLDS,
          lambda f: race_bound(f, "chi2")),
    Claim("M17-tv-half", "M17", r"TV(P_n^{race},\pi) \le (1+\chi^2)/(en)", HERE, (COVERED,), "<=", HOLDS,
          lambda f: race_bound(f, "half"), first_hand=True),
    Claim("M17-tv-mean", "M17", r"TV(P_n^{race},\pi) \le E_\pi(1-1/w)_+^n", HERE, (COVERED,), "<=", HOLDS,
          lambda f: race_bound(f, "mean"), first_hand=True),
    Claim("M17-tv-minimax", "M17", r"TV(P_n^{race},\pi) \le (1-1/C)^n", RACE, (COVERED,), "<=", HOLDS,
          lambda f: race_bound(f, "minimax")),
    Claim("M17-tail", "M17", r"TV(P_n^{race},\pi) \le \inf_M E_M+(1-A_M/M)^n", RACE, (COVERED,), "<=", HOLDS,
          race_tail),
    Claim("M17-mixture", "M17", r"\min_y P_n^{race}(y)/\pi(y) = 1-(1-1/C)^n", RACE, (COVERED,), "=", HOLDS, mixture,
          logs=True),
    Claim("M17-dominance-tv", "M17", r"TV(P_n^{race},\pi) \le TV(P_n^{softmax},\pi)", RACE, (COVERED, POSITIVE), "<=",
          HOLDS, lambda f: dominance(f, "tv")),
    Claim("M17-dominance-kl-forward", "M17", r"KL(\pi\|P_n^{race}) \le KL(\pi\|P_n^{softmax})", RACE,
          (COVERED, POSITIVE), "<=", HOLDS, lambda f: dominance(f, "kl_forward")),
    Claim("M17-dominance-kl-reverse", "M17", r"KL(P_n^{race}\|\pi) \le KL(P_n^{softmax}\|\pi)", RACE,
          (COVERED, POSITIVE), "<=", HOLDS, lambda f: dominance(f, "kl_reverse")),
    _dominance("tv", r"TV({},\pi)", "zero-weights-tv"),
    _dominance("kl_forward", r"KL(\pi\|{})", "zero-weights-kl"),
    _dominance("chi2", r"\chi^2({}\|\pi)"),
    _dominance("chi2_reverse", r"\chi^2(\pi\|{})"),
    _dominance("hockey", r"E_2({}\|\pi)"),
    _dominance("renyi_half", r"D_{{1/2}}(\pi\|{})"),
    _dominance("renyi_max", r"D_\infty(\pi\|{})"),
    _decreasing("tv", r"TV({},\pi)"),
    _decreasing("kl_forward", r"KL(\pi\|{})"),
    _decreasing("chi2", r"\chi^2({}\|\pi)"),
    Claim("M19", "M19", r"\max_A\,\pi(A)-1+(1-\mu(A))^n \le TV(P_n,\pi)\ \text{for every rule}", HERE, (), "<=", HOLDS,
          rule_limit, first_hand=True),
    Claim("M19-softmax", "M19", r"\max_A\,\pi(A)-1+(1-\mu(A))^n \le TV(P_n^{softmax},\pi)", HERE, (), "<=", HOLDS,
          lambda f: rule_limit(f, "softmax"), first_hand=True),
    Claim("M19-race", "M19", r"\max_A\,\pi(A)-1+(1-\mu(A))^n \le TV(P_n^{race},\pi)", HERE, (), "<=", HOLDS,
          lambda f: rule_limit(f, "race"), first_hand=True),
    Claim("M19-max", "M19", r"\max_A\,\pi(A)-1+(1-\mu(A))^n \le TV(P_n^{max},\pi)", HERE, (), "<=", HOLDS,
          lambda f: rule_limit(f, "max"), first_hand=True, smooth=False),
    Claim("M19-hockey", "M19", r"\sum(\pi-n\mu)_+ \le TV(P_n,\pi)\ \text{for every rule}", HERE, (), "<=", HOLDS,
          lambda f: hockey_limit(f, "bound"), first_hand=True),
    Claim("M19-attained", "M19", r"\sum\min(\pi,n\mu) \le 1-\min_{rules}TV",
          "(M19)'s corollary read as the limit itself", (), "<=", REFUTED, lambda f: hockey_limit(f, "attained")),
)  # fmt: skip
