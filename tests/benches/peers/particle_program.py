"""A particle filter, and a particle Gibbs sampler, as a program for `enumerate_law`, with the usual mistakes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp

from tests.benches.peers.enumerate_law import Choose, exact_law, systematic_shares
from tests.benches.peers.peer_record import Law

__all__ = ["Filter", "filter_law"]


@dataclass(frozen=True)
class Filter:
    """A particle filter on a toy model: `first`, then `after` the last step, `length` steps, or fewer where a step of
    `stops` ends it; the score of a prefix gives weight s/(1 − s), the exponential of the logit.

    resampling: multinomial, systematic, none; last: whether the last step is resampled too; final: sample, argmax,
    uniform; ended: the weight of particles that had ended, "final" or "one"; weight: odds, score, exponential;
    iterations with one reference particle, weighed by its prefix ("partial") or as a whole ("final").
    """

    first: Sequence[float]
    after: Sequence[Sequence[float]]
    scores: Mapping[str, float]
    n: int
    length: int = 2
    stops: Sequence[int] = ()
    resampling: str = "multinomial"
    last: bool = True
    final: str = "sample"
    ended: str = "final"
    weight: str = "odds"
    iterations: int = 1
    reference: str = "partial"

    def over(self, particle: str) -> bool:
        return len(particle) == self.length or bool(particle and int(particle[-1]) in self.stops)

    def weigh(self, prefix: str) -> float:
        s = self.scores[prefix]
        return s / (1.0 - s) if self.weight == "odds" else s if self.weight == "score" else exp(s)

    def resample(self, choose: Choose, particles: list[str], weights: list[float], n: int) -> list[str]:
        shares = _shares(weights)
        if self.resampling == "systematic":
            chances, lists = systematic_shares(shares, n)
            return [particles[i] for i in lists[choose(chances)]]
        return [particles[choose(shares)] for _ in range(n)] if self.resampling == "multinomial" else particles[:n]

    def __call__(self, choose: Choose) -> str:
        reference: list[str] = []
        for _ in range(self.iterations):
            free = [""] * (self.n - len(reference))
            t = 0
            while not all(map(self.over, free)):
                t += 1
                weights = []
                for i, p in enumerate(free):
                    over = self.over(p)
                    free[i] = p if over else p + str(choose(self.after[int(p[-1])] if p else self.first))
                    weights.append(1.0 if over and self.ended == "one" else self.weigh(free[i]))
                weights += [self.weigh(p[:t] if self.reference == "partial" else p) for p in reference]
                if self.last or not all(map(self.over, free)):
                    free = [p[:t] for p in self.resample(choose, free + reference, weights, len(free))]
            particles = free + reference
            weights = [self.weigh(p) for p in particles]
            if self.iterations > 1:
                reference = [particles[choose(_shares(weights))]]
        if self.final == "argmax":
            return particles[weights.index(max(weights))]
        return particles[choose(_shares(weights if self.final == "sample" else [1.0] * len(particles)))]


def _shares(weights: list[float]) -> list[float]:
    total = sum(weights)
    return [weight / total for weight in weights]


def filter_law(program: Filter, outcomes: Sequence[str]) -> Law:
    """The exact law over `outcomes` of what the filter returns."""
    return lambda: exact_law(lambda choose: outcomes.index(program(choose)), len(outcomes))
