"""What a sampler under test is handed: two policies that it may draw from, and all that a method may know of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from gsi_theory.arrays.logscale import log_sum
from gsi_theory.errors import InputError
from gsi_theory.instance import Instance, Scheme
from gsi_theory.laws.draws import as_count
from gsi_theory.types import Floats, Ints

__all__ = ["ToyProblem"]

MOST_DRAWS = 1_000_000  # of one call


@dataclass
class ToyProblem:
    """One toy problem of `gsi conform`: outcomes are 0 … K−1.

    log_draft, log_base, reward: (K,), read only; nats, and reward units. beta, n, n_base, threshold u (reward units,
    None: no gate), rng: the generator to take all randomness from. parameters: a method's own numbers. drafts, bases:
    how many outcomes were drawn so far, and draft_calls, base_calls in how many calls.
    """

    instance: Instance
    scheme: Scheme
    rng: np.random.Generator
    parameters: Mapping[str, float] = field(default_factory=dict)
    drafts: int = field(init=False, default=0)
    bases: int = field(init=False, default=0)
    draft_calls: int = field(init=False, default=0)
    base_calls: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self._draft, self._base = _cumulative(self.instance.log_draft), _cumulative(self.instance.log_base)

    @property
    def log_draft(self) -> Floats:
        """log π_S (K,)."""
        return self.instance.log_draft

    @property
    def log_base(self) -> Floats:
        """log π_B (K,)."""
        return self.instance.log_base

    @property
    def reward(self) -> Floats:
        """r (K,)."""
        return self.instance.reward

    @property
    def beta(self) -> float:
        """β, which multiplies the reward."""
        return self.scheme.beta

    @property
    def n(self) -> int:
        """How many drafts (their mean number, where a method draws at random how many)."""
        return self.scheme.n

    @property
    def n_base(self) -> int:
        """How many base draws the fallback, or a pool of both sources, has."""
        return self.scheme.base_draws

    @property
    def threshold(self) -> float | None:
        """u, reward units."""
        return self.scheme.threshold

    def draw_draft(self, k: int = 1) -> Ints:
        """k outcomes of the draft (k,). Raises InputError for k that is no count up to a million."""
        self.drafts += _checked(k, "draw_draft")
        self.draft_calls += 1
        return self._drawn(self._draft, k)

    def draw_base(self, k: int = 1) -> Ints:
        """k outcomes of the base (k,). Raises InputError for k that is no count up to a million."""
        self.bases += _checked(k, "draw_base")
        self.base_calls += 1
        return self._drawn(self._base, k)

    def _drawn(self, cumulative: Floats, k: int) -> Ints:
        return np.asarray(np.searchsorted(cumulative, self.rng.random(k), side="right"), dtype=np.int64)


def _checked(k: object, call: str) -> int:
    count = 0 if type(k) is int and k == 0 else as_count(k, f"{call}(k): k")
    if count > MOST_DRAWS:
        raise InputError(f"{call}({count}): at most {MOST_DRAWS} draws in a call")
    return count


def _cumulative(log_prob: Floats) -> Floats:
    """Upper ends of the outcomes' intervals; the last that has mass ends at 1, whatever rounding left."""
    total = np.cumsum(np.exp(log_prob - float(log_sum(log_prob))))
    total[np.flatnonzero(np.isfinite(log_prob))[-1] :] = 1.0
    return total
