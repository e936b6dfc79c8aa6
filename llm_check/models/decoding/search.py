"""Three ways to find the winner among a step's candidates: score all, early exit, first passage.

Early exit and first passage are for the race rule. They score one candidate after the other, all places side by side,
and ask neither the base nor the reward model about candidates that come after a hit: what they count is what was done.

    early exit      the n drafts in ascending order of noise T; stop when the best score so far is at least C'/T of the
                    next one, or when C'/T of the next one is below the score gate's M: nothing that is left can win, or
                    pass. log C' = β · (largest possible reward) + clip. The law is that of scoring all n
    first passage   draw one, score it, keep it if its score is at least M; else draw the next, up to n

Formulas and expected numbers: gsi_theory.laws.clipping. Shapes: B places, T tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gsi_theory import Scheme
from gsi_theory.errors import InputError
from gsi_theory.methods import default_clip
from llm_check.models.decoding.method_table import Method
from llm_check.models.decoding.positions import Position
from llm_check.models.decoding.random_streams import Purpose
from llm_check.models.decoding.reasoning_steps import PAD, StepRule, Steps
from llm_check.models.decoding.step_candidates import (
    Costs,
    Models,
    StepCandidates,
    add_cost,
    draw,
    judge,
    no_costs,
    noise_uniforms,
    padded,
    trimmed,
)
from llm_check.models.decoding.winners import GATES, WEIGHTS, log_cut, log_noise, winners

__all__ = ["SEARCHES", "Found", "Setting"]


@dataclass(frozen=True)
class Setting:
    """One step of a method at B places: everything a search needs."""

    method: Method
    scheme: Scheme
    models: Models
    caches: dict[str, Any]
    places: Sequence[Position]
    rule: StepRule
    seed: int

    @property
    def gated(self) -> bool:
        """Whether the winner has to pass a gate."""
        return self.method.gate is not None and self.scheme.threshold is not None


@dataclass(frozen=True)
class Found:
    """The winner at each of B places: tokens (B, T), finish, source, reward and log-ratio (NaN where not asked for),
    score (nats; -inf with tokens all PAD where a search ended without scoring any), and costs."""

    tokens: NDArray[np.int32]
    finish: NDArray[np.str_]
    source: NDArray[np.str_]
    reward: NDArray[np.float64]
    log_ratio: NDArray[np.float64]
    score: NDArray[np.float64]
    costs: Costs


def score_all(at: Setting) -> Found:
    """Draw and score every candidate; the winner is the one of largest score (M2)."""
    method, scheme = at.method, at.scheme
    weight, gate = WEIGHTS[method.weight], GATES[method.gate] if at.gated and method.gate else None
    found = draw(
        method.proposal, scheme, at.models, at.caches, at.places, at.rule, at.seed,
        judged=weight.judges or (gate is not None and gate.judges),
        ratio=weight.ratio or (gate is not None and gate.ratio),
    )  # fmt: skip
    log_weight = weight.log_weight(found.reward, found.log_ratio, scheme)
    winner, score = winners(log_weight, log_noise(found.uniforms, scheme.rule), found.drawn)
    return _picked(found, winner, score)


def _picked(found: StepCandidates, winner: NDArray[np.int64], score: NDArray[np.float64]) -> Found:
    rows = np.arange(len(winner))
    return Found(
        found.tokens[rows, winner], found.finish[rows, winner], found.source[rows, winner],
        found.reward[rows, winner], found.log_ratio[rows, winner], score, found.costs,
    )  # fmt: skip


@dataclass
class _Search:
    """The state of a search over B places: who goes on, the best so far, the costs, and the caches of those who do."""

    at: Setting
    going: NDArray[np.bool_]
    best: Found
    _rows: tuple[int, ...] = ()
    _caches: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def start(cls, at: Setting) -> _Search:
        size = len(at.places)
        empty = Found(
            np.full((size, at.rule.max_tokens), PAD, dtype=np.int32), np.full(size, "length"), np.full(size, "draft"),
            np.full(size, np.nan), np.full(size, np.nan), np.full(size, -np.inf), no_costs(size),
        )  # fmt: skip
        return cls(at, np.ones(size, dtype=bool), empty)

    def cache(self, policy: str, rows: NDArray[np.int64]) -> Any:
        """The prefixes of `rows`, selected again only when others stopped."""
        if tuple(rows.tolist()) != self._rows:
            self._rows, self._caches = tuple(rows.tolist()), {}
        if policy not in self._caches:
            self._caches[policy] = self.at.models.engine(policy).select(self.at.caches[policy], rows)
        return self._caches[policy]

    def count(self, name: str, rows: NDArray[np.int64], lengths: NDArray[np.int64]) -> None:
        """Count one candidate of each of `rows` as cost `name`."""
        spread, counted = np.zeros((len(self.going), 1), dtype=np.int64), np.zeros((len(self.going), 1), dtype=bool)
        spread[rows, 0], counted[rows, 0] = lengths, True
        add_cost(self.best.costs, name, spread, counted)

    def score(self, rows: NDArray[np.int64], one: Steps, exponential: NDArray[np.float64]) -> None:
        """Score one candidate (R, 1, T) of each of `rows`; the best so far takes over what beats it."""
        at, base = self.at, self.at.models.base
        ratio = base.score(self.cache("base", rows), one.tokens).sum(axis=-1)[:, 0] - one.logp[:, 0]
        reward = judge(at.models.reward_model, at.places, rows, one.tokens[:, 0])
        self.count("base_scored", rows, one.lengths[:, 0])
        self.count("reward_calls", rows, one.lengths[:, 0])
        score = WEIGHTS[at.method.weight].log_weight(reward, ratio, at.scheme) + exponential
        # A first candidate of weight zero still counts as found.
        better = (score > self.best.score[rows]) | (self.best.tokens[rows, 0] == PAD)
        to, best = rows[better], self.best
        best.tokens[to] = padded(one.tokens[better, 0], best.tokens.shape[1])
        best.finish[to] = one.finish[better, 0]
        for array, values in ((best.reward, reward), (best.log_ratio, ratio), (best.score, score)):
            array[to] = values[better]


def _one(steps: Steps, rows: NDArray[np.int64], picked: NDArray[np.int64]) -> Steps:
    """Candidate picked[i] of row rows[i], as steps (R, 1, T)."""
    return Steps(
        steps.tokens[rows, picked][:, None],
        steps.token_logp[rows, picked][:, None],
        steps.finish[rows, picked][:, None],
    )


def early_exit(at: Setting) -> Found:
    """The race among n drafts, scored in the order of their noise; see the module's text.

    Raises InputError where the reward has no upper bound: then no candidate can be ruled out.
    """
    high, n = at.models.reward_model.high, at.scheme.n
    if not np.isfinite(high):
        raise InputError(
            f"method {at.method.name!r} needs a reward with an upper bound, {at.models.reward_model.name} has none: "
            "use the method without early exit, or state the bound"
        )
    search = _Search.start(at)
    everyone = np.arange(len(at.places))
    streams = [place.stream(at.seed, Purpose.DRAFT) for place in at.places]
    drafts = trimmed(at.models.draft.sample(at.caches["draft"], n, streams, at.rule))
    add_cost(search.best.costs, "draft_samples", drafts.lengths, np.ones(drafts.lengths.shape, dtype=bool))
    exponential = -log_noise(noise_uniforms(at.places, "draft", n, at.seed), "race")
    order = np.argsort(-exponential, axis=1, kind="stable")
    bound = at.scheme.beta * high + default_clip(at.scheme)
    cut = log_cut(at.scheme) if at.gated else -np.inf
    for k in range(n):
        ceiling = bound + exponential[everyone, order[:, k]]
        search.going &= ceiling >= cut
        if k:
            search.going &= search.best.score < ceiling
        rows = np.flatnonzero(search.going)
        if not len(rows):
            break
        picked = order[rows, k]
        search.score(rows, _one(drafts, rows, picked), exponential[rows, picked])
    return search.best


def first_passage(at: Setting) -> Found:
    """Draft and score one by one until a score passes the gate; see the module's text."""
    search = _Search.start(at)
    exponential = -log_noise(noise_uniforms(at.places, "draft", at.scheme.n, at.seed), "race")
    for k in range(at.scheme.n):
        rows = np.flatnonzero(search.going)
        if not len(rows):
            break
        streams = [at.places[b].stream(at.seed, Purpose.CANDIDATE + k) for b in rows.tolist()]
        one = trimmed(at.models.draft.sample(search.cache("draft", rows), 1, streams, at.rule))
        search.count("draft_samples", rows, one.lengths[:, 0])
        search.score(rows, one, exponential[rows, k])
        search.going &= ~(search.best.score >= log_cut(at.scheme))
    return search.best


SEARCHES: dict[str, Callable[[Setting], Found]] = {
    "all": score_all,
    "early_exit": early_exit,
    "first_passage": first_passage,
}
