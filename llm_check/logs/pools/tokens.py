"""Are the candidates draws of the law whose log-probabilities the log reports (M34)? Exact tests at shared prefixes.

At a node (a prefix that several candidates share) draw i is v_i, and S is the set of tokens drawn there before. The
reported probabilities give two conditional laws exactly, whatever the tokens never drawn are:

    new or not   P(v_i ∉ S) = 1 - p(S)                       nothing new where it is likely: the sampling was truncated
    which one    P(v_i = v | v_i ∈ S) = p_v/p(S), v ∈ S      with p^(1/T) for p it is the likelihood of the temperature

so likelihood ratios against them have mean one if the log is right, at any sample size: they are e-values, and
P(e ≥ 1/α) ≤ α. Alternatives: new tokens θ times as likely (in odds), or a share of the mass kept and the rest never
drawn; temperature T; and a Dirichlet process that learns the counts, κ of its draws being worth the report, which sees
every other misfit. Each e-value is the mean over a grid of its parameter, given as its log.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq, minimize_scalar

from gsi_theory.arrays.logscale import log_sum
from gsi_theory.types import Flags, Floats, Ints
from llm_check.logs.pools.prefix_counts import PrefixDraws

__all__ = ["TokenCheck", "check_draws"]


TEMPERATURES = (0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.05, 1.1, 1.25, 1.5, 2.0, 4.0)
FEWER = (0.01, 0.1, 0.3, 0.5, 0.7, 0.85, 0.95)
KEPT = (0.99, 0.98, 0.95, 0.9, 0.8)
MORE = (1.05, 1.2, 1.5, 2.0, 4.0, 16.0)
KAPPAS = (1.0, 10.0, 100.0, 1000.0)
EXPONENTS = (0.02, 50.0)  # of p, 1/T: outside it no temperature is meant
_HALF_CHI2_95 = 1.920729


@dataclass(frozen=True)
class TokenCheck:
    """Outcome for one source. temperature, interval: T̂ (None without events) and its 95 % likelihood interval.

    log_e_temperature, log_e_fewer, log_e_more, log_e_misfit: evidence against the log, nats. misfit_left: gain of
    the Dirichlet process over the law at T̂; temperature_gain: of that law over the report. new_seen, new_expected:
    draws of what was not drawn before, and how many the report foresees; new_expected_tempered: at least so many at
    T̂, its error allowed for, with log_e_fewer_tempered the evidence of fewer. log_e_hot: evidence of a temperature
    above 1 by both laws together, for their factors multiply: more new draws, and flatter proportions among the
    old. kept_mass: reported mass of what was drawn over its share of draws. events: draws judged.
    """

    level: str
    events: int
    temperature: float | None
    interval: tuple[float, float] | None
    log_e_temperature: float
    log_e_fewer: float
    log_e_more: float
    log_e_misfit: float
    misfit_left: float
    temperature_gain: float
    new_seen: int
    new_expected: float
    new_expected_tempered: float
    log_e_fewer_tempered: float
    kept_mass: float
    log_e_hot: float

    @property
    def excess(self) -> float:
        """Repeats drawn over repeats that the report foresees."""
        return self.events / max(self.events + self.new_seen - self.new_expected, 1e-9)


def _before(values: Floats, node: Ints) -> Floats:
    """Sum of `values` over earlier events of the same node."""
    total = np.cumsum(values) - values
    start = np.flatnonzero(np.concatenate([[True], node[1:] != node[:-1]]))
    return total - np.repeat(total[start], np.diff(np.concatenate([start, [node.size]])))


def _at_node(values: Floats, node: Ints) -> Floats:
    """Sum of `values` over all events of the same node."""
    _, inverse = np.unique(node, return_inverse=True)
    total: Floats = np.bincount(inverse.ravel(), weights=values).astype(np.float64)
    return total[inverse.ravel()]


def _mixture(logs: list[float]) -> float:
    """log of the mean of e-values given as logs."""
    return float(log_sum(np.array(logs)) - np.log(len(logs)))


@dataclass(frozen=True)
class _Events:
    """PrefixDraws with the log-probability scaled by the largest of its node, which conditional laws do not see."""

    draws: PrefixDraws
    scaled: Floats

    @classmethod
    def of(cls, draws: PrefixDraws) -> _Events:
        start = np.flatnonzero(np.concatenate([[True], draws.node[1:] != draws.node[:-1]]))
        top = np.maximum.reduceat(draws.logp, start)
        return cls(draws, draws.logp - np.repeat(top, np.diff(np.concatenate([start, [draws.node.size]]))))

    def seen_log_mass(self, exponent: float) -> Floats:
        """log Σ_{v ∈ S} p_v^exponent on the scale of `scaled`; only where the event is not the first of its kind."""
        powered = exponent * self.scaled
        mass = _before(np.where(self.draws.first, np.exp(powered), 0.0), self.draws.node)
        # S holds the event's own kind: the floor undoes what cancellation in the running sum may lose
        return np.maximum(np.log(np.maximum(mass, 1e-300)), powered)

    def which(self, exponent: float) -> Floats:
        """log P(v_i | v_i ∈ S) at temperature 1/exponent for the events of old kinds."""
        old = ~self.draws.first
        return (exponent * self.scaled - self.seen_log_mass(exponent))[old]

    def dirichlet(self, exponent: float, kappa: float) -> float:
        """Log gain of the Dirichlet process with base measure p^exponent over that law, given v_i ∈ S."""
        draws, old = self.draws, ~self.draws.first
        powered = exponent * self.scaled
        norm = np.log(_at_node(np.where(draws.first, np.exp(powered), 0.0), draws.node))
        share, seen = np.exp(powered - norm)[old], np.exp(self.seen_log_mass(exponent) - norm)[old]
        predicted = (draws.seen_before[old] + kappa * share) / (draws.earlier[old] + kappa * seen)
        return float(np.sum(np.log(predicted) - self.which(exponent)))


def _new_chance(events: _Events, exponent: float, most: bool = False) -> Floats:
    """A lower bound of P(v_i ∉ S) at temperature 1/exponent; exact at exponent 1 for a log without noise.

    With noise of the logged numbers three standard errors of p(S) are taken off, or added for an upper bound (`most`).
    """
    draws = events.draws
    first = draws.first
    if exponent == 1.0:
        p = np.exp(draws.logp)
        seen = _before(np.where(first, p, 0.0), draws.node)
        later = np.maximum(_at_node(np.where(first, p, 0.0), draws.node) - seen, 0.0)
        size = np.bincount(draws.kind)[draws.kind]
        error = _before(np.where(first, p * p / size, 0.0), draws.node)
        noise = 3.0 * draws.spread * np.sqrt(np.maximum(error, 0.0))
        chance = 1.0 - seen + noise if most else np.maximum(1.0 - seen - noise, later)
    else:
        powered = np.where(first, np.exp(exponent * events.scaled), 0.0)
        seen, total = _before(powered, draws.node), _at_node(powered, draws.node)
        chance = np.maximum(total - seen, 0.0) / total
    return np.clip(np.where(first, np.maximum(chance, 1e-12), chance), 0.0, 1.0)


def _new_gain(first: Flags, chance: Floats, theta: float) -> float:
    """Log likelihood ratio of "new" at θ times the odds."""
    return float(first.sum() * np.log(theta) - np.sum(np.log1p((theta - 1.0) * chance)))


def _kept_gain(first: Flags, chance: Floats, kept: float) -> float:
    """Log likelihood ratio of a law whose unlikeliest draws, 1 - kept of the mass, are cut off: P(new) = 1 - p(S)/kept.

    Where that is negative nothing new can come, and what comes refutes it. As `chance` is a lower bound and the
    alternative is below it, the mean of the ratio is at most one.
    """
    sure = 1.0 - 1e-12
    cut = np.clip((chance - (1.0 - kept)) / kept, 1e-12, sure)
    ratio = np.where(first, cut / np.maximum(chance, 1e-12), (1.0 - cut) / (1.0 - np.minimum(chance, sure)))
    # chance below the floor of `cut`: neither tells
    return float(np.sum(np.log(np.where(chance > 1e-12, ratio, 1.0))))


def _fit(gain: Callable[[float], float]) -> tuple[float, tuple[float, float], float]:
    """(T̂, 95 % interval, gain at T̂) of a concave log-likelihood gain in the exponent 1/T."""
    low, high = np.log(EXPONENTS)
    largest = minimize_scalar(lambda x: -gain(float(np.exp(x))), bounds=(low, high), method="bounded")
    best, top = float(largest.x), -float(largest.fun)

    def short(x: float) -> float:
        return gain(float(np.exp(x))) - top + _HALF_CHI2_95

    left = low if short(low) >= 0 else float(brentq(short, low, best))
    right = high if short(high) >= 0 else float(brentq(short, best, high))
    return float(np.exp(-best)), (float(np.exp(-right)), float(np.exp(-left))), top


def check_draws(draws: PrefixDraws | None) -> TokenCheck | None:
    """Judge the draws of one source; None where no prefix was shared and nothing repeated."""
    if draws is None or draws.node.size == 0 or draws.repeats == 0:
        return None
    events, first = _Events.of(draws), draws.first
    reported = events.which(1.0).sum()

    def gain(exponent: float) -> float:
        return float(events.which(exponent).sum() - reported)

    temperature, interval, top = _fit(gain)
    # twice as far down as the interval goes: the coldest temperature that is not absurd foresees the fewest new draws
    coldest = max(2.0 * interval[0] - temperature, 0.5 * interval[0])
    chance, tempered = _new_chance(events, 1.0), _new_chance(events, 1.0 / coldest)
    p = np.exp(draws.logp)
    seen = _at_node(np.where(first, p, 0.0), draws.node)
    covered = 1.0 - _at_node(_singles(draws), draws.node) / _at_node(np.ones(p.size), draws.node)
    use = covered > 0.5
    return TokenCheck(
        level=draws.level,
        events=int((~first).sum()),
        temperature=temperature,
        interval=interval,
        log_e_temperature=_mixture([gain(1.0 / t) for t in TEMPERATURES]),
        log_e_fewer=_mixture(
            [_new_gain(first, chance, theta) for theta in FEWER] + [_kept_gain(first, chance, kept) for kept in KEPT]
        ),
        log_e_more=_mixture([_new_gain(first, chance, theta) for theta in MORE]),
        log_e_misfit=_mixture([events.dirichlet(1.0, kappa) for kappa in KAPPAS]),
        misfit_left=_mixture([events.dirichlet(1.0 / temperature, kappa) for kappa in KAPPAS]),
        temperature_gain=top,
        new_seen=int(first.sum()),
        new_expected=float(chance.sum()),
        new_expected_tempered=float(tempered.sum()),
        log_e_fewer_tempered=_mixture([_new_gain(first, tempered, theta) for theta in FEWER]),
        kept_mass=float(np.mean(np.minimum(seen[use] / covered[use], 1.0))) if use.any() else 1.0,
        log_e_hot=_mixture([gain(1.0 / t) for t in TEMPERATURES if t > 1.0])
        + _mixture([_new_gain(first, _new_chance(events, 1.0, most=True), theta) for theta in MORE]),
    )


def _singles(draws: PrefixDraws) -> Floats:
    """1 for events of kinds drawn exactly once (Good and Turing: their share estimates the mass not drawn)."""
    return np.asarray(np.bincount(draws.kind)[draws.kind] == 1, dtype=np.float64)
