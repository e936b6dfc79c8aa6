"""A method played on candidates that were drawn already: its selection, gate and fallback in independent runs.

Candidates of a pool that no prediction has used are fresh draws: R runs take n of them each, none twice, and choose
with noise of their own. What this measures is what decoding does, without drawing again for every method.

Shapes: R runs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gsi_theory import Candidates, Scheme
from gsi_theory.errors import InputError
from gsi_theory.methods import Method
from gsi_theory.types import Flags, Floats, Ints
from llm_check.models.decoding.winners import GATES, WEIGHTS, select

__all__ = ["Played", "play"]


@dataclass(frozen=True)
class Played:
    """winner (R,): index, among the candidates of its source, of the step taken; on_base (R,): whether that source is
    the base; accepted (R,): no fallback was needed."""

    winner: Ints
    on_base: Flags
    accepted: Flags

    def taken(self, draft: Floats, base: Floats) -> Floats:
        """A value of every run's step, from the values of all candidates of each source."""
        out = np.empty(self.winner.shape)
        out[self.on_base], out[~self.on_base] = base[self.winner[self.on_base]], draft[self.winner[~self.on_base]]
        return out


def play(
    method: Method, scheme: Scheme, draft: Candidates, base: Candidates, runs: int, rng: np.random.Generator
) -> Played:
    """`runs` independent runs; run k draws its n from candidates k, runs + k, 2 runs + k, ... of a source.

    Raises InputError for a method that does more than select among n drafts or base draws, judge the winner and fall
    back, and where the runs need more candidates than there are.
    """
    plain = method.pair_alone and not method.mixed and method.search == "all" and method.numbers == "fixed"
    if not plain or method.fallback == "residual":
        raise InputError(f"method {method.name!r} cannot be played on candidates drawn already: decode it")
    gated = method.gate is not None and method.gated(scheme)
    on_base = method.proposal == "base"
    winner, score = _winners(method.weight, scheme, base if on_base else draft, scheme.n, runs, rng)
    taken = Played(winner, np.full(runs, on_base), np.ones(runs, dtype=np.bool_))
    if not gated:
        return taken
    judged = draft.reward[winner], draft.log_ratio[winner], score, scheme, rng.random(runs)
    accepted = GATES[str(method.gate)].passes(*judged)
    fallback, _ = _winners(
        "reward" if method.fallback == "select" else "none", scheme, base, scheme.base_draws, runs, rng
    )
    return Played(np.where(accepted, winner, fallback), ~accepted, accepted)


def _winners(
    weight: str, scheme: Scheme, candidates: Candidates, n: int, runs: int, rng: np.random.Generator
) -> tuple[Ints, Floats]:
    """Index (R,) among the candidates of each run's winner, and its score in nats."""
    if runs * n > candidates.reward.size:
        raise InputError(f"{runs} runs of n = {n} need {runs * n} candidates of {candidates.reward.size}: draw more")
    at = np.arange(runs)[:, None] + runs * np.arange(n)[None, :]
    log_weight = WEIGHTS[weight].log_weight(candidates.reward[at], candidates.log_ratio[at], scheme)
    chosen, score = select(log_weight, rng.random(at.shape), scheme.rule)
    return at[np.arange(runs), chosen], score
