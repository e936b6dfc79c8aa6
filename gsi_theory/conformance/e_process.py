"""The sequential test behind `gsi conform` (M50): evidence against laws, valid however often it is looked at.

Outcomes X_1, X_2, … come from several problems in turn, each with its law p₀. Under them

    E_t = w₀ · Π_problems KT / p₀ + Σ_j w_j Π_i q_j(X_i)/p₀(X_i)

is a nonnegative martingale that starts at 1: it passes 1/α with probability at most α (Ville). KT is the
Krichevsky–Trofimov mixture, (count + 1/2)/(t + K/2) for the next outcome, one a problem; q_j are the laws of named
mistakes, which fall after about log(1/α)/KL(q_j‖p₀) outcomes. A law known within an error is raised by it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
from scipy.optimize import brentq
from scipy.special import chndtr, gammaln, rel_entr

from gsi_theory.arrays.logscale import log_sum
from gsi_theory.errors import InputError
from gsi_theory.types import Floats, Ints

__all__ = ["EProcess", "detectable_tv", "mixture_price", "tv_bounds"]

LEAST = 1e-300  # of a probability: an impossible outcome refutes at once, by 690 nats
MOST_CELLS = 16  # of a law whose sets are all looked through


@dataclass
class EProcess:
    """Evidence against `laws` (probabilities, (K_m,) for each problem m, each within TV `errors[m]`), with
    `alternatives` (J rows, each of one law a problem).

    `further`: how many alternatives there are beside whose log-likelihood ratios `read` is given. `counts` (K_m,) and
    `log_mixture`, `log_named` (J + further,), all from what was read so far, are there to be looked at.
    Raises InputError for laws that do not sum to one and alternatives of other sizes.
    """

    laws: Sequence[Floats]
    errors: Sequence[float]
    alternatives: Sequence[Sequence[Floats]] = ()
    further: int = 0
    counts: list[Ints] = field(init=False)
    log_mixture: float = field(init=False, default=0.0)
    log_named: Floats = field(init=False)
    highest: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        for m, law in enumerate(self.laws):
            if np.ndim(law) != 1 or np.min(law) < 0.0 or abs(np.sum(law) - 1.0) > 1e-6:
                raise InputError(f"law {m}: give probabilities ≥ 0 that sum to 1, got a sum of {np.sum(law):.6g}")
            if any(np.shape(other[m]) != np.shape(law) for other in self.alternatives):
                raise InputError(f"law {m} has {len(law)} outcomes, an alternative another number: give as many")
        self.counts = [np.zeros(len(law), dtype=np.int64) for law in self.laws]
        self.log_named = np.zeros(len(self.alternatives) + self.further)
        pairs = zip(self.laws, self.errors, strict=True)
        self._under = [np.log(np.maximum(np.asarray(law) + error, LEAST)) for law, error in pairs]
        with np.errstate(divide="ignore"):
            self._named = [
                np.log(np.array([other[m] for other in self.alternatives]).reshape(-1, len(law))) - self._under[m]
                for m, law in enumerate(self.laws)
            ]

    @property
    def draws(self) -> int:
        """How many outcomes were read."""
        return int(sum(count.sum() for count in self.counts))

    def read(
        self, problems: Ints, outcomes: Ints, level: float | None = None, further: Floats | None = None
    ) -> tuple[Floats, int]:
        """(log E after each outcome (T,), how many were read); stops after the first at log(1/level) or more.

        further (further, T): log q/p₀ of each outcome under the alternatives that have no laws here.
        """
        size = len(outcomes)
        mixture, named = np.zeros(size), np.zeros((self.log_named.size, size))
        if further is not None:
            named[len(self.alternatives) :] = further
        for m, count in enumerate(self.counts):
            at = np.flatnonzero(problems == m)
            seen = outcomes[at]
            hot = seen[:, None] == np.arange(count.size)
            before = count + np.cumsum(hot, axis=0) - hot
            chance = (before[np.arange(at.size), seen] + 0.5) / (count.sum() + np.arange(at.size) + count.size / 2.0)
            mixture[at] = np.log(chance) - self._under[m][seen]
            named[: len(self.alternatives), at] = self._named[m][:, seen]
        mixture, named = self.log_mixture + np.cumsum(mixture), self.log_named[:, None] + np.cumsum(named, axis=1)
        path = self._weighed(mixture, named)
        stop = size
        if level is not None and (path >= -np.log(level)).any():
            stop = int(np.argmax(path >= -np.log(level))) + 1
        for m, count in enumerate(self.counts):
            seen = outcomes[:stop][problems[:stop] == m]
            self.counts[m] = count + np.bincount(seen, minlength=count.size)
        if stop:
            self.log_mixture, self.log_named = float(mixture[stop - 1]), named[:, stop - 1]
            self.highest = max(self.highest, float(path[:stop].max()))
        return path[:stop], stop

    def _weighed(self, mixture: Floats, named: Floats) -> Floats:
        if not len(named):
            return mixture
        half = np.log(0.5)
        return np.logaddexp(half + mixture, half - np.log(len(named)) + log_sum(named, axis=0))


def mixture_price(size: int, draws: int) -> float:
    """What the KT mixture over `size` outcomes loses at most against the best law after `draws` outcomes, nats."""
    return (size - 1) / 2.0 * float(np.log(max(draws, 1))) + float(np.log(size))


def _binary(a: float, b: float) -> float:
    return float(rel_entr(a, b) + rel_entr(1.0 - a, 1.0 - b))


def _regret(size: int, draws: float) -> float:
    """What the KT mixture loses against the best law, in the limit of many draws, nats; of few draws at least 0."""
    lost = (size - 1) / 2.0 * np.log(draws / (2.0 * np.pi)) + size / 2.0 * np.log(np.pi) - gammaln(size / 2.0)
    return max(float(lost), 0.0)


def _sets(size: int) -> list[list[int]]:
    if size > MOST_CELLS:
        raise InputError(f"{size} outcomes: total variation is bounded over all sets of at most {MOST_CELLS}")
    return [list(each) for k in range(1, size) for each in combinations(range(size), k)]


def tv_bounds(counts: Ints, law: Floats, level: float) -> tuple[float, float]:
    """(low, high): the sampler's TV from `law` (K,) lies between at every time at once, but for probability `level`.

    The laws p with t KL(p̂‖p) ≤ log(1/level) + ((K−1)/2) log t + log K (M50), over every set of outcomes.
    """
    draws, size = int(counts.sum()), counts.size
    if draws == 0 or size == 1:
        return 0.0, 1.0 if draws == 0 else 0.0
    budget = (float(-np.log(level)) + mixture_price(size, draws)) / draws
    low, high = 0.0, 0.0
    for cells in _sets(size):
        share, mass = float(counts[cells].sum() / draws), float(law[cells].sum())
        low, high = max(low, _reach(share, budget, 0.0) - mass), max(high, _reach(share, budget, 1.0) - mass)
    return low, min(high, 1.0)


def _raised(mass: float, budget: float) -> float:
    """The x ≥ `mass` with KL(x‖mass) = budget; 1 where that is nearer than that."""
    return 1.0 if _binary(1.0, mass) <= budget else float(brentq(lambda x: _binary(x, mass) - budget, mass, 1.0))


def _reach(share: float, budget: float, end: float) -> float:
    """The x between `share` and `end` (0 or 1) with KL(share‖x) = budget; the end where it is nearer than that."""
    near = abs(end - 1e-15)
    if share == end or _binary(share, near) <= budget:
        return end
    return float(brentq(lambda x: _binary(share, x) - budget, min(share, near), max(share, near)))


def detectable_tv(laws: Sequence[Floats], draws: int | Sequence[int], level: float, power: float = 0.8) -> float:
    """The TV from which on a sampler, wrong on one of the problems and right on the others, is refuted within `draws`
    outcomes (shared out evenly, or so many of each) with probability about `power`, in whatever direction it errs.

    2 Σ t KL(p̂‖p₀) over all problems is noncentral χ² of Σ (K − 1) degrees, noncentrality 2t KL(p‖p₀) of the wrong one;
    from it goes what the mixtures lose, (K−1)/2 log(t/2π) + log(Γ(1/2)^K/Γ(K/2)) each.
    """
    each = np.broadcast_to(draws / len(laws) if isinstance(draws, int) else np.maximum(draws, 1), len(laws))
    freedom = sum(len(law) - 1 for law in laws)
    price = float(np.log(2.0 / level)) + sum(_regret(len(law), t) for law, t in zip(laws, each, strict=True))
    top = 8.0 * (price + freedom) + 100.0
    noncentral = brentq(lambda x: 1.0 - chndtr(2.0 * price, freedom, x) - power, 1e-9, top)
    worst = 0.0
    for law, t in zip(laws, each, strict=True):
        gain = noncentral / (2.0 * t)
        for cells in _sets(len(law)):
            mass = float(np.asarray(law)[cells].sum())
            if mass < 1.0:
                worst = max(worst, _raised(mass, gain) - mass)
    return worst
