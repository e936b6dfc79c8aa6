"""Three ways to find the winner among a step's candidates: score all, early exit, first passage; and residual draws.

Early exit and first passage are for the race rule. They score one candidate after the other, all places side by side,
and ask neither the base nor the reward model about candidates that come after a hit: what they count is what was done.

    early exit      the n drafts in ascending order of noise T; stop when the best score so far is at least C'/T of the
                    next one, or when C'/T of the next one is below the score gate's M: nothing that is left can win, or
                    pass. log C' = β · (largest possible reward) + clip. The law is that of scoring all n
    first passage   draw one, score it, keep it if its score is at least M; else draw the next, up to n
    residual        draw one of the base, keep it with probability (1 - π_S/π_B)_+; else draw the next: the law is
                    (π_B - π_S)_+/TV, after 1/TV draws (M22). One in all a round is expected, since rejections have TV

Formulas and expected numbers: gsi_theory.laws.clipping. Shapes: B places, T tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gsi_theory import Scheme
from gsi_theory.errors import InputError
from gsi_theory.methods import Method, default_clip
from gsi_theory.types import Flags, Floats, Ints
from llm_check.models.decoding.positions import Position
from llm_check.models.decoding.random_streams import Purpose
from llm_check.models.decoding.reasoning_steps import PAD, StepRule, Steps
from llm_check.models.decoding.step_candidates import (
    Costs,
    Models,
    add_cost,
    draw,
    judge,
    no_costs,
    noise_uniforms,
    padded,
    trimmed,
)
from llm_check.models.decoding.winners import WEIGHTS, log_cut, log_noise, select
from llm_check.models.model_types import Encoded

__all__ = ["SEARCHES", "Found", "Setting", "residual"]


@dataclass(frozen=True)
class Setting:
    """One step of a method at B places: everything a search needs."""

    method: Method
    scheme: Scheme
    models: Models
    caches: dict[str, Encoded]
    places: Sequence[Position]
    rule: StepRule
    seed: int

    def cache(self, policy: str, rows: Ints) -> Encoded:
        """The prefixes of `rows` under a policy."""
        prefixes: Encoded = self.models.engine(policy).select(self.caches[policy], rows)
        return prefixes


@dataclass(frozen=True)
class Found:
    """The winner at each of B places: tokens (B, T), finish, source, reward and log-ratio (NaN where not asked for),
    score (nats; -inf with tokens all PAD where a search ended without scoring any), and costs."""

    tokens: NDArray[np.int32]
    finish: NDArray[np.str_]
    source: NDArray[np.str_]
    reward: Floats
    log_ratio: Floats
    score: Floats
    costs: Costs


def score_all(at: Setting) -> Found:
    """Draw and score every candidate; the winner is the one of largest score (M2)."""
    scheme, reads = at.scheme, at.method.reads(at.scheme)
    found = draw(at.method, scheme, at.models, at.caches, at.places, at.rule, at.seed, reads.reward, reads.ratio)
    log_weight = WEIGHTS[at.method.weight].log_weight(found.reward, found.log_ratio, scheme)
    winner, score = select(log_weight, found.uniforms, scheme.rule, found.drawn)
    rows = np.arange(len(winner))
    picked = {
        name: getattr(found, name)[rows, winner] for name in ("tokens", "finish", "source", "reward", "log_ratio")
    }
    return Found(score=score, costs=found.costs, **picked)


@dataclass
class _Search:
    """The state of a search over B places: who goes on, the best so far, the costs, and the caches of those who do."""

    at: Setting
    going: Flags
    best: Found
    _rows: tuple[int, ...] = ()
    _caches: dict[str, Encoded] = field(default_factory=dict)

    @classmethod
    def start(cls, at: Setting, source: str = "draft") -> _Search:
        size = len(at.places)
        tokens, reward, ratio = np.full((size, at.rule.max_tokens), PAD, dtype=np.int32), *np.full((2, size), np.nan)
        finish, score = np.full(size, "length"), np.full(size, -np.inf)
        best = Found(tokens, finish, np.full(size, source), reward, ratio, score, no_costs(size))
        return cls(at, np.ones(size, dtype=bool), best)

    def cache(self, policy: str, rows: Ints) -> Encoded:
        """The prefixes of `rows`, selected again only when others stopped."""
        if tuple(rows.tolist()) != self._rows:
            self._rows, self._caches = tuple(rows.tolist()), {}
        if policy not in self._caches:
            self._caches[policy] = self.at.cache(policy, rows)
        return self._caches[policy]

    def next_one(self, policy: str, rows: Ints, k: int) -> Steps:
        """Candidate k of each of `rows`, drawn by `policy`, as steps (R, 1, T); it is counted."""
        streams = [self.at.places[b].stream(self.at.seed, Purpose.CANDIDATE + k) for b in rows.tolist()]
        one = trimmed(self.at.models.engine(policy).sample(self.cache(policy, rows), 1, streams, self.at.rule))
        self.count(f"{policy}_samples", rows, one.lengths[:, 0])
        return one

    def log_prob(self, policy: str, rows: Ints, one: Steps) -> Floats:
        """log-probability (R,) of candidates that another policy drew; scoring them is counted."""
        self.count(f"{policy}_scored", rows, one.lengths[:, 0])
        scored: Floats = self.at.models.engine(policy).score(self.cache(policy, rows), one.tokens).sum(axis=-1)[:, 0]
        return scored

    def take(self, rows: Ints, one: Steps, taken: Flags) -> None:
        """The candidates `taken` (R,) become the best so far of their rows."""
        to, best = rows[taken], self.best
        best.tokens[to] = padded(one.tokens[taken, 0], best.tokens.shape[1])
        best.finish[to] = one.finish[taken, 0]

    def count(self, name: str, rows: Ints, lengths: Ints) -> None:
        """Count one candidate of each of `rows` as cost `name`."""
        spread, counted = np.zeros((len(self.going), 1), dtype=np.int64), np.zeros((len(self.going), 1), dtype=bool)
        spread[rows, 0], counted[rows, 0] = lengths, True
        add_cost(self.best.costs, name, spread, counted)

    def score(self, rows: Ints, one: Steps, exponential: Floats) -> None:
        """Score one candidate (R, 1, T) of each of `rows`; the best so far takes over what beats it."""
        at, best = self.at, self.best
        ratio = self.log_prob("base", rows, one) - one.logp[:, 0]
        reward = judge(at.models.reward_model, at.places, rows, one.tokens[:, 0])
        self.count("reward_calls", rows, one.lengths[:, 0])
        score = WEIGHTS[at.method.weight].log_weight(reward, ratio, at.scheme) + exponential
        # A first candidate of weight zero still counts as found.
        better = (score > best.score[rows]) | (best.tokens[rows, 0] == PAD)
        self.take(rows, one, better)
        for array, values in ((best.reward, reward), (best.log_ratio, ratio), (best.score, score)):
            array[rows[better]] = values[better]


def _one(steps: Steps, rows: Ints, picked: Ints) -> Steps:
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
    cut = log_cut(at.scheme) if at.method.gated(at.scheme) else -np.inf
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
        one = search.next_one("draft", rows, k)
        search.score(rows, one, exponential[rows, k])
        search.going &= ~(search.best.score >= log_cut(at.scheme))
    return search.best


def residual(at: Setting) -> Found:
    """A draw from (π_B - π_S)_+ at every place, by rejection from the base; see the module's text."""
    search, k = _Search.start(at, "base"), 0
    coins = [place.stream(at.seed, Purpose.RESIDUAL).generator() for place in at.places]
    while len(rows := np.flatnonzero(search.going)):
        one = search.next_one("base", rows, k)
        excess = one.logp[:, 0] - search.log_prob("draft", rows, one)
        kept = np.array([coins[b].random() for b in rows]) < -np.expm1(-np.maximum(excess, 0.0))
        search.take(rows, one, kept)
        search.going[rows[kept]] = False
        k += 1
    return search.best


SEARCHES: dict[str, Callable[[Setting], Found]] = {
    "all": score_all,
    "early_exit": early_exit,
    "first_passage": first_passage,
}
