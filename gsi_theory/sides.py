"""The two sides of each claim, with a bound on their numerical error; called by the table in claims.py.

Each function takes `Facts` and returns `Sides`. A limit is taken by Richardson extrapolation of the exact law over
three values of n; its error is ten times the last correction plus the numerical error of the terms.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gsi_theory import divergence
from gsi_theory.facts import Facts
from gsi_theory.law import EPS, Law
from gsi_theory.limits import best_tv
from gsi_theory.logscale import Array, log1mexp

__all__ = [
    "Sides",
    "asked_drafts",
    "dominance",
    "gate_limit",
    "gate_vanishes",
    "kl_chi2",
    "kl_mean",
    "pointwise",
    "race_tail",
    "race_tv",
    "rate",
    "rule_limit",
    "soft_bon",
    "theorem_one",
]


# 10⁴ e^20 drafts are 5e12; beyond, the next terms no longer fit the exact range of n.
LARGEST_LOG_SCALE = 20.0


@dataclass(frozen=True)
class Sides:
    """lhs, rhs, error bound of their difference, trivial bound on lhs, scale of which a limit must resolve 1 %."""

    lhs: float
    rhs: float
    error: float
    trivial: float = float("inf")
    scale: float = 1e-3


def _log1p_ratio(chi2: float, n: int) -> float:
    return float(np.log1p(chi2 / n))


def _kl(facts: Facts, law: Law) -> tuple[float, float]:
    value = divergence.kl(facts.log_pi, law.log_prob)
    return value, facts.kl_error(law, value)


def _chi2_error(facts: Facts, log_q: np.ndarray) -> float:
    """Error of χ²(π‖q): every log-quotient is off by ≤ 2 weight errors, which enters as 2 (w - 1) w q."""
    inside = np.isfinite(log_q) & facts.held
    with np.errstate(over="ignore"):
        w = np.exp(facts.log_pi[inside] - log_q[inside])
        return 4.0 * facts.weight_error * float(np.sum(np.abs(w - 1.0) * facts.pi[inside])) + 16.0 * EPS


def _log_growth(f: Facts) -> Array:
    """log(1 + (w - 1)/n) where π > 0; at n = 1 it is log w itself, which the sum would cancel."""
    lw, n = f.log_w[f.held], f.scheme.n
    if n == 1:
        return lw
    return np.where(lw < 700.0, np.log1p(np.expm1(np.minimum(lw, 700.0)) / n), lw - np.log(n))


def pointwise(f: Facts) -> Sides:
    """(M10) as max over y of log(π/P_n) - log(1 + (w - 1)/n) ≤ 0."""
    law = f.draft_law("softmax")
    lw, y, bound = f.log_w[f.held], f.held, _log_growth(f)
    gap = float(np.max(f.log_pi[y] - law.log_prob[y] - bound))
    return Sides(gap, 0.0, law.log_error + 4.0 * f.weight_error + 8.0 * EPS * (1.0 + float(np.max(np.abs(lw)))))


def kl_mean(f: Facts) -> Sides:
    """(M11), first form: KL(π‖P_n) ≤ E_π log(1 + (w - 1)/n)."""
    value, error = _kl(f, f.draft_law("softmax"))
    w, pi, terms = f.w[f.held], f.pi[f.held], _log_growth(f)
    moved = float(np.sum(pi * np.minimum(w / f.scheme.n, 1.0)))
    rounding = 4.0 * f.weight_error * moved + 16.0 * EPS * float(np.sum(pi * np.abs(terms)))
    trivial = divergence.kl(f.log_pi, f.instance.log_draft)
    return Sides(value, float(np.sum(pi * terms)), error + rounding, trivial)


def kl_chi2(f: Facts) -> Sides:
    """(M11), last form: KL(π‖P_n) ≤ log(1 + χ²(π‖π_S)/n); trivial: KL(π‖π_S), what one draw gives."""
    value, error = _kl(f, f.draft_law("softmax"))
    error += min(_chi2_error(f, f.instance.log_draft) / f.scheme.n, 8.0 * f.weight_error + 16.0 * EPS)
    return Sides(value, _log1p_ratio(f.chi2, f.scheme.n), error, divergence.kl(f.log_pi, f.instance.log_draft))


def _log_asked(f: Facts, reading: str) -> float:
    """log of what n·(e^ε - 1) must reach under a reading of GSI Theorem 1 (M12)."""
    reward, beta = f.instance.reward, f.scheme.beta
    size = float(np.max(reward) - np.min(reward)) if reading == "osc" else float(np.max(np.abs(reward)))
    exponent = 2.0 * beta * size
    log_cover = float(np.log1p(f.chi2_pair))
    with np.errstate(divide="ignore"):
        if reading == "a":
            grown = exponent + np.log(-np.expm1(-exponent))
            return float(log_cover + grown)
        total = log_cover + exponent
        return float(total + np.log(-np.expm1(-total)))


def asked_drafts(f: Facts, reading: str, epsilon: float) -> float:
    """log of the n that a reading of GSI Theorem 1 (M12) asks for KL(π‖Q) ≤ ε; "instance" asks it by (M11)."""
    with np.errstate(divide="ignore"):
        top = float(np.log(f.chi2)) if reading == "instance" else _log_asked(f, reading)
    return max(0.0, top - float(np.log(np.expm1(epsilon))))


def theorem_one(f: Facts, reading: str) -> Sides:
    """(M12) at the smallest ε that n allows: KL(π‖Q) ≤ log(1 + asked/n)."""
    value, error = _kl(f, f.draft_law("softmax"))
    top = _log_asked(f, reading)
    rhs = float(np.logaddexp(0.0, top - np.log(f.scheme.n)))
    error += 16.0 * EPS * (1.0 + rhs) * (1.0 + abs(top) if np.isfinite(top) else 1.0)
    return Sides(value, rhs, error, divergence.kl(f.log_pi, f.instance.log_draft))


def soft_bon(f: Facts, form: str) -> Sides:
    """(M13): soft best-of-n on the base; CV² = χ²(π‖π_B), and its Kantorovich bound sinh²(β osc(r)/2)."""
    law, n = f.base_law(), f.scheme.base_draws
    value, error = _kl(f, law)
    trivial = divergence.kl(f.log_pi, f.instance.log_base)
    if form == "cv":
        chi2 = divergence.chi2(f.log_pi, f.instance.log_base)
        return Sides(value, _log1p_ratio(chi2, n), error + _chi2_error(f, f.instance.log_base) / n, trivial)
    reward = f.instance.reward[np.isfinite(f.instance.log_base)]
    half = f.scheme.beta * float(np.max(reward) - np.min(reward)) / 2.0
    if half == 0.0:
        return Sides(value, 0.0, error, trivial)
    log_sinh2 = 2.0 * (np.log(np.sinh(half)) if half < 20.0 else half - np.log(2.0) + np.log1p(-np.exp(-2.0 * half)))
    rhs = float(np.logaddexp(0.0, log_sinh2 - np.log(n)))
    return Sides(value, rhs, error + 16.0 * EPS * (1.0 + half), trivial)


def race_tv(f: Facts) -> Sides:
    """(M17): TV(P_n^race, π) ≤ min{1, 2(1+χ²)/(e n), (1 - 1/C)^n}."""
    law, n = f.draft_law("race"), f.scheme.n
    minimax = float(np.exp(n * log1mexp(np.array(-f.log_coverage)))) if f.log_coverage > 0 else 0.0
    rhs = min(1.0, 2.0 * (1.0 + f.chi2) / (np.e * n), minimax)
    # n·log(1 - 1/C) inherits the error of log C times its derivative n/(C - 1).
    sensitivity = n / max(np.expm1(min(f.log_coverage, 700.0)), 1e-300)
    error = law.error + f.weight_error + rhs * min(1.0, (sensitivity + n * EPS) * f.weight_error * 4.0) + 16.0 * EPS
    return Sides(divergence.tv(f.log_pi, law.log_prob), rhs, error, 1.0)


def race_tail(f: Facts) -> Sides:
    """(M17): TV(P_n^race, π) ≤ inf_M {E_M + (1 - A_M/M)^n}, over the weights and 512 values between them."""
    law, n = f.draft_law("race"), f.scheme.n
    mass, w = np.exp(f.instance.log_draft), np.where(np.isfinite(f.instance.log_draft), np.minimum(f.w, 1e300), 0.0)
    top = max(f.log_coverage, 0.0)
    trial = np.r_[w[w > 0], np.exp(np.linspace(-1.0, min(top, 690.0), 512))]
    tail = np.maximum(w[None, :] - trial[:, None], 0.0) @ mass
    reach = np.minimum((np.minimum(w[None, :], trial[:, None]) / trial[:, None]) @ mass, 1.0)
    with np.errstate(divide="ignore"):
        rhs = float(np.min(tail + np.exp(n * np.log1p(-reach))))
    error = law.error + f.weight_error * (2.0 + min(n, 1e3)) + 64.0 * EPS
    return Sides(divergence.tv(f.log_pi, law.log_prob), rhs, error, 1.0)


def dominance(f: Facts, kind: str) -> Sides:
    """(M17): the race's divergence is at most the softmax rule's, for the same n and weights."""
    race, softmax = f.draft_law("race"), f.draft_law("softmax")
    if kind == "tv":
        sides = [divergence.tv(f.log_pi, law.log_prob) for law in (race, softmax)]
        return Sides(sides[0], sides[1], race.error + softmax.error + 2.0 * f.weight_error)
    if kind == "kl_forward":
        (a, ea), (b, eb) = _kl(f, race), _kl(f, softmax)
        return Sides(a, b, ea + eb)
    values, error = [], 0.0
    for law in (race, softmax):
        value = divergence.kl(law.log_prob, f.log_pi)
        error += law.log_error * (2.0 * divergence.tv(f.log_pi, law.log_prob) + 2.0 * abs(value)) + 16.0 * EPS * value
        values.append(value)
    return Sides(values[0], values[1], error + 2.0 * EPS)


def rule_limit(f: Facts) -> Sides:
    """(M19): no rule is closer to π than best_tv; the scheme's own rule is the witness."""
    law = f.draft_law()
    lhs = best_tv(f.log_pi, f.instance.log_draft, f.scheme.n)
    error = law.error + 4.0 * f.weight_error + (f.instance.size + 16.0) * EPS
    return Sides(lhs, divergence.tv(f.log_pi, law.log_prob), error)


def _limit(f: Facts, log_scale: float, term: Callable[[int], tuple[float, float]], smooth: bool) -> tuple[float, float]:
    """Limit of term(n) = L + a/n + b/n² + … from n, 2n, 4n, with its error; +inf where n would have to be too large.

    The corrections are of the order e^log_scale / n, so n starts 10⁴ above that scale. A total variation is only
    piecewise smooth in 1/n, and a gate can put the kink anywhere: then (`smooth` False) the whole distance from the
    last term counts as error.
    """
    if log_scale > LARGEST_LOG_SCALE:
        return 0.0, float("inf")
    start = round(1e4 * float(np.exp(max(log_scale, 0.0))))
    (first, second, third), errors = zip(*(term(start * k) for k in (1, 2, 4)), strict=True)
    two = 2.0 * third - second
    three = (8.0 * third - 6.0 * second + first) / 3.0
    error = 10.0 * abs(three - two) + 5.0 * sum(errors)
    return three, error if smooth else error + 2.0 * abs(three - third)


def rate(f: Facts, kind: str) -> Sides:
    """(M18): the limits of n² KL, n TV and n·(reward gap) of the softmax rule."""
    pi, w, reward = f.pi[f.held], f.w[f.held], f.instance.reward

    def term(n: int) -> tuple[float, float]:
        law = f.draft_law("softmax", n)
        if kind == "kl":
            value, error = _kl(f, law)
            return n * n * value, n * n * error
        if kind == "tv":
            return n * divergence.tv(f.log_pi, law.log_prob), n * (law.error + 2.0 * f.weight_error)
        ratio = np.expm1(np.where(f.held, law.log_prob - np.where(f.held, f.log_pi, 0.0), 0.0))
        spread = float(np.max(np.abs(reward)))
        return -n * float(f.pi @ (ratio * reward)), n * 2.0 * spread * (law.error + 2.0 * f.weight_error)

    limit, error = _limit(f, f.log_coverage, term, smooth=kind != "tv")
    mean = float(pi @ w)
    constant = {
        "kl": 0.5 * float(pi @ (w - mean) ** 2),
        "tv": 0.5 * float(pi @ np.abs(w - mean)),
        "reward": float(pi @ ((w - mean) * reward[f.held])),
    }[kind]
    return Sides(limit, constant, error + 64.0 * EPS * abs(constant) + 8.0 * f.weight_error * mean, scale=0.0)


def gate_limit(f: Facts, kind: str) -> Sides:
    """(M7): what the gated law tends to as n = n_base → ∞; a = π(A)."""
    a = float(np.sum(f.pi[f.accepted]))
    b = float(np.sum(f.pi[~f.accepted]))
    reward = f.instance.reward
    with np.errstate(divide="ignore"):
        log_b = float(np.log(b)) if b > 0 else 0.0
    constant = {
        "tv": a * b,
        "kl_forward": -a * np.log1p(b) - b * log_b,
        "kl_reverse": a * (1.0 + b) * np.log1p(b) + b * b * log_b,
        "reward": float(np.sum(f.pi * (f.accepted - a) * reward)),
    }[kind]

    def term(n: int) -> tuple[float, float]:
        law = f.gated(n)
        if kind == "kl_forward":
            return _kl(f, law)
        if kind == "kl_reverse":
            value = divergence.kl(law.log_prob, f.log_pi)
            return value, law.log_error * (1.0 + 2.0 * abs(value))
        error = law.error + 2.0 * f.weight_error
        if kind == "tv":
            return divergence.tv(law.log_prob, f.log_pi), error
        return float((np.exp(law.log_prob) - f.pi) @ reward), 2.0 * error * float(np.max(np.abs(reward)))

    base_coverage = float(np.max((f.log_pi - f.instance.log_base)[f.held]))
    limit, error = _limit(f, max(f.log_coverage, base_coverage), term, smooth=False)
    scale = float(np.max(np.abs(reward))) if kind == "reward" else 1.0
    return Sides(limit, constant, error + 64.0 * EPS, scale=1e-2 * scale)


def gate_vanishes(f: Facts) -> Sides:
    """The reading that (M7) refutes: the gated law tends to π."""
    limit = gate_limit(f, "tv")
    return Sides(limit.lhs, 0.0, limit.error, scale=1e-2)
