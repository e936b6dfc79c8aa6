"""The smallest problem that exposes a mistake: few outcomes, small decimals, the fewest expected draws among them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np
from scipy.special import rel_entr

from gsi_theory.conformance.mistakes import MISTAKES, ToyCase
from gsi_theory.instance import Instance, Scheme
from gsi_theory.methods import named_method
from gsi_theory.types import Floats

__all__ = ["Exposure", "smallest"]

SHOWN_IN = ("gsi", "soft_bon_base", "best_of_n_base", "rsd", "speculative")  # the first that can make it
CHANCES = {2: ((0.5, 0.5), (0.2, 0.8), (0.8, 0.2)), 3: ((0.6, 0.2, 0.2), (0.2, 0.6, 0.2), (0.1, 0.3, 0.6))}
REWARDS = {2: ((0.0, 1.0), (1.0, 1.0), (0.5, 1.0)), 3: ((0.0, 0.5, 1.0), (0.0, 1.0, 1.0), (1.0, 0.0, 0.5))}
ENOUGH = 0.005  # nats a draw: a problem of more outcomes is looked for below it
LEVEL = 0.01


@dataclass(frozen=True)
class Exposure:
    """A mistake of a method on an instance: the law as stated and as it is (K,), their TV, and about how many
    draws refute it at level 1 %, log(100)/KL."""

    mistake: str
    method: str
    case: ToyCase
    right: Floats
    wrong: Floats
    draws: float

    @property
    def words(self) -> str:
        """The problem in one line: policies, rewards, β, n and what else the method reads."""
        case = self.case
        rows = [np.exp(case.instance.log_draft), np.exp(case.instance.log_base), case.instance.reward]
        names = ("draft", "base", "reward")
        parts = [f"{name} ({', '.join(f'{x:g}' for x in row.round(9))})" for name, row in zip(names, rows, strict=True)]
        if case.method.weight != "none":
            parts += [f"β = {case.scheme.beta:g}, n = {case.scheme.n}"]
        if case.gated:
            parts += [f"n_base = {case.scheme.base_draws}"]
        return ", ".join([*parts, *([] if case.scheme.threshold is None else [f"u = {case.scheme.threshold:g}"])])

    @property
    def tv(self) -> float:
        """Total variation between the two laws."""
        return float(0.5 * np.abs(self.right - self.wrong).sum())


def _cases(method: str, size: int, n: int) -> Iterator[ToyCase]:
    record = named_method(method)
    thresholds = (0.0, 0.5, 1.0) if record.threshold else (None,)
    for draft, base, reward in product(CHANCES[size], CHANCES[size], REWARDS[size]):
        instance = Instance.from_probabilities(draft, base, reward)
        for u in thresholds:
            yield ToyCase(record, instance, record.applied(Scheme(2.0, n, u, n_base=min(n, 2))))


@lru_cache(maxsize=64)
def smallest(mistake: str) -> Exposure:
    """The exposure of a mistake (a key of MISTAKES) with the fewest outcomes, then candidates, then expected draws.

    Raises UnknownName for a mistake that is not in the catalogue.
    """
    record, best = MISTAKES[mistake], None
    for method in SHOWN_IN:
        for size, n in product(CHANCES, (2, 3)):
            for case in _cases(method, size, n):
                wrong = record.law(case)
                if wrong is None:
                    continue
                right = case.law()
                gain = float(rel_entr(wrong, np.maximum(right, 1e-12)).sum())
                if gain > 1e-9 and (best is None or gain > best[0]):
                    best = (gain, case, right, wrong)
            if best is not None and best[0] > ENOUGH:
                break
        if best is not None:
            break
    assert best is not None, "every mistake is of some method"
    gain, case, right, wrong = best
    return Exposure(mistake, case.method.id, case, right, wrong, float(-np.log(LEVEL)) / gain)
