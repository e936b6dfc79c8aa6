"""StepCandidates of one step from one or several policies, with rewards, log-ratios and what they cost.

Shapes: B places (runs), N candidates each, T tokens. A place is a `Position`; `caches` maps a policy's name ("draft",
"base", "drafter1", ...) to the encoded prefixes of all B places. Every number drawn comes from a stream of its place:
the first n candidates of a source do not depend on how many are drawn, nor on the places beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gsi_theory import Scheme
from gsi_theory.errors import InputError
from gsi_theory.laws.draws import Draws
from gsi_theory.methods import Method
from gsi_theory.types import Flags
from llm_check.models.decoding.positions import Position
from llm_check.models.decoding.random_streams import Purpose, draw_purpose, select_purpose
from llm_check.models.decoding.reasoning_steps import PAD, StepRule, Steps, require_candidates
from llm_check.models.engines.engine import Engine, require_pair
from llm_check.models.model_types import Encoded
from llm_check.models.rewards.reward_model import RewardModel

__all__ = [
    "COSTS",
    "Costs",
    "Models",
    "StepCandidates",
    "add_cost",
    "draw",
    "judge",
    "most_candidates",
    "no_costs",
    "noise_uniforms",
    "padded",
    "sources",
    "trimmed",
]

# Numbers of candidates, as in gsi_theory.methods.MethodLaw, and the cost that counts the tokens of the same candidates.
_TOKENS = {
    "draft_samples": "draft_tokens",
    "base_samples": "base_tokens",
    "base_scored": "base_scored_tokens",
    "draft_scored": "draft_scored_tokens",
    "reward_calls": "reward_tokens",
}
COSTS = (*_TOKENS, *_TOKENS.values())
Costs = dict[str, NDArray[np.int64]]


@dataclass(frozen=True)
class Models:
    """draft, base, further drafters ("drafter1", ...) and the reward model; `drafter_counts` draws of each further
    drafter (default: n each). Raises InputError unless log-probabilities of all of them may be compared."""

    draft: Engine
    base: Engine
    reward_model: RewardModel
    drafters: tuple[Engine, ...] = ()
    drafter_counts: tuple[int, ...] = ()
    _engines: dict[str, Engine] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        for other in (self.draft, *self.drafters):
            require_pair(other, self.base)
        if self.drafter_counts and len(self.drafter_counts) != len(self.drafters):
            raise InputError(f"{len(self.drafter_counts)} counts for {len(self.drafters)} drafters: give one for each")
        if min(self.drafter_counts, default=1) < 1:
            raise InputError(f"drafter_counts {self.drafter_counts}: every drafter draws at least once")
        named = {f"drafter{j}": engine for j, engine in enumerate(self.drafters, start=1)}
        self._engines.update({"draft": self.draft, "base": self.base, **named})

    def engine(self, name: str) -> Engine:
        """The engine called "draft", "base" or "drafter<j>"; InputError otherwise."""
        if name not in self._engines:
            raise InputError(f"policy {name!r}: use one of {', '.join(self._engines)}")
        return self._engines[name]


def sources(proposal: str, scheme: Scheme, models: Models) -> list[tuple[str, int]]:
    """Who proposes, and how many candidates each draws (in expectation, where the allocation is random)."""
    kind = proposal.removesuffix("_random")
    if kind in ("draft", "base"):
        return [(kind, scheme.n)]
    if kind == "pooled":
        return [("draft", scheme.n), ("base", scheme.base_draws)]
    if not models.drafters:
        raise InputError("a method with several drafters got one: give further drafters (--drafter)")
    counts = models.drafter_counts or (scheme.n,) * len(models.drafters)
    return [("draft", scheme.n), *((f"drafter{j}", count) for j, count in enumerate(counts, start=1))]


def most_candidates(scheme: Scheme, models: Models) -> int:
    """The candidates that a step may hold at one place at once: of the draft, the further drafters and the base."""
    further = sum(models.drafter_counts or (scheme.n,) * len(models.drafters))
    return scheme.n + further + scheme.base_draws


@dataclass(frozen=True)
class StepCandidates:
    """Candidates of one step at B places.

    tokens: (B, N, T), padded
    finish: how each ended (B, N)
    source: names of who drew them (B, N)
    drawn: false where a place drew fewer (B, N)
    reward: (B, N), NaN where not asked for
    log_ratio: ℓ in nats (B, N), NaN where not asked for
    uniforms: of the selection noise (B, N)
    costs: each (B,)
    """

    tokens: NDArray[np.int32]
    finish: NDArray[np.str_]
    source: NDArray[np.str_]
    drawn: NDArray[np.bool_]
    reward: NDArray[np.float64]
    log_ratio: NDArray[np.float64]
    uniforms: NDArray[np.float64]
    costs: Costs


@dataclass(frozen=True)
class _Block:
    """The candidates of one source: drawn (B, m) as above."""

    source: str
    steps: Steps
    drawn: NDArray[np.bool_]


def no_costs(rows: int) -> Costs:
    """Zero of every cost."""
    return {name: np.zeros(rows, dtype=np.int64) for name in COSTS}


def add_cost(costs: Costs, name: str, lengths: NDArray[np.int64], counted: NDArray[np.bool_]) -> None:
    """Count the candidates `counted` (B, m), of `lengths` tokens, as cost `name`."""
    costs[name] += counted.sum(axis=1)
    costs[_TOKENS[name]] += np.where(counted, lengths, 0).sum(axis=1)


def judge(
    reward_model: RewardModel, places: Sequence[Position], rows: NDArray[np.int64], tokens: NDArray[np.int32]
) -> NDArray[np.float64]:
    """Rewards (M,) of the steps `tokens` (M, T) taken at places[rows[i]]; equal steps of a place are judged once."""
    if not len(rows):
        return np.zeros(0)
    keyed = np.column_stack([rows.astype(np.int32), tokens])
    distinct, inverse = np.unique(keyed, axis=0, return_inverse=True)
    steps = [row[row != PAD].tolist() for row in distinct[:, 1:]]
    rewards = np.asarray(reward_model.score([places[b] for b in distinct[:, 0]], steps), dtype=np.float64)
    if not np.isfinite(rewards).all():
        bad = int(np.flatnonzero(~np.isfinite(rewards))[0])
        place = places[distinct[bad, 0]]
        raise InputError(
            f"reward model {reward_model.name} gave {rewards[bad]} at step {place.step} of prompt {place.prompt_id!r}: "
            "rewards must be finite numbers"
        )
    return rewards[inverse.ravel()]


def _allocated(method: Method, wanted: list[tuple[str, int]], places: Sequence[Position], seed: int) -> list[Flags]:
    """For each source, which of its candidates (B, m) are used: all, or as many as fell to it at random."""
    counts = np.array([count for _, count in wanted])
    if method.numbers != "fixed":
        numbers = [[_number(method.draws(count), place, seed) for place in places] for count in counts.tolist()]
    elif method.proposal.endswith("_random"):
        edges, total = np.cumsum(counts) / counts.sum(), int(counts.sum())
        uniforms = np.stack([place.stream(seed, Purpose.ALLOCATE).generator().random(total) for place in places])
        picked = np.minimum(np.searchsorted(edges, uniforms, side="right"), len(wanted) - 1)
        numbers = [(picked == j).sum(axis=1) for j in range(len(wanted))]
    else:
        return [np.ones((len(places), count), dtype=bool) for count in counts]
    return [np.arange(max(*number, 1)) < np.asarray(number)[:, None] for number in numbers]


def _number(draws: int | Draws, place: Position, seed: int) -> int:
    """fixed + Poisson(mean) candidates, given at least one."""
    assert isinstance(draws, Draws)
    generator, number = place.stream(seed, Purpose.NUMBER).generator(), 0
    while number < 1:
        number = draws.fixed + int(generator.poisson(draws.poisson))
    return number


def _drawn_blocks(
    method: Method,
    scheme: Scheme,
    models: Models,
    caches: dict[str, Encoded],
    places: Sequence[Position],
    rule: StepRule,
    seed: int,
) -> list[_Block]:
    wanted = sources(method.proposal, scheme, models)
    used = _allocated(method, wanted, places, seed)
    blocks = []
    for (name, _), drawn in zip(wanted, used, strict=True):
        streams = [place.stream(seed, draw_purpose(name)) for place in places]
        steps = models.engine(name).sample(caches[name], drawn.shape[1], streams, rule)
        blocks.append(_Block(name, trimmed(steps), drawn))
    return blocks


def _log_ratio(
    block: _Block, shares: dict[str, float], models: Models, caches: dict[str, Encoded], costs: Costs
) -> NDArray[np.float64]:
    """ℓ = log π_B - log Σ_j share_j p_j (B, m) of a block; its own model's log-probabilities come with the draws."""
    logp = {block.source: block.steps.logp}
    for name in {*shares, "base"} - {block.source}:
        logp[name] = models.engine(name).score(caches[name], block.steps.tokens).sum(axis=-1)
        add_cost(costs, "base_scored" if name == "base" else "draft_scored", block.steps.lengths, block.drawn)
    mixed = [logp[name] + np.log(share) for name, share in sorted(shares.items())]
    return logp["base"] - np.logaddexp.reduce(mixed, axis=0)


def draw(
    method: Method,
    scheme: Scheme,
    models: Models,
    caches: dict[str, Encoded],
    places: Sequence[Position],
    rule: StepRule,
    seed: int,
    judged: bool,
    ratio: bool,
) -> StepCandidates:
    """The candidates that `method` proposes at B places; `judged` and `ratio` ask for rewards and log-ratios.

    InputError where memory does not hold them.
    """
    wanted = sources(method.proposal, scheme, models)
    require_candidates(sum(count for _, count in wanted), len(places), rule)
    blocks = _drawn_blocks(method, scheme, models, caches, places, rule, seed)
    total = sum(count for _, count in wanted)
    shares = {name: count / total for name, count in wanted}
    costs = no_costs(len(places))
    ratios = []
    for block in blocks:
        add_cost(costs, "base_samples" if block.source == "base" else "draft_samples", block.steps.lengths, block.drawn)
        ratios.append(_log_ratio(block, shares, models, caches, costs) if ratio else np.full(block.drawn.shape, np.nan))
    depth = max(block.steps.tokens.shape[2] for block in blocks)
    tokens = np.concatenate([padded(block.steps.tokens, depth) for block in blocks], axis=1)
    drawn = np.concatenate([block.drawn for block in blocks], axis=1)
    lengths = np.concatenate([block.steps.lengths for block in blocks], axis=1)
    reward = np.full(drawn.shape, np.nan)
    if judged:
        rows, _ = np.nonzero(drawn)
        reward[drawn] = judge(models.reward_model, places, rows, tokens[drawn])
        add_cost(costs, "reward_calls", lengths, drawn)
    names = [np.full(block.drawn.shape, block.source) for block in blocks]
    return StepCandidates(
        tokens=tokens,
        finish=np.concatenate([block.steps.finish for block in blocks], axis=1),
        source=np.concatenate(names, axis=1),
        drawn=drawn,
        reward=reward,
        log_ratio=np.concatenate(ratios, axis=1),
        uniforms=np.concatenate([noise_uniforms(places, b.source, b.drawn.shape[1], seed) for b in blocks], axis=1),
        costs=costs,
    )


def noise_uniforms(places: Sequence[Position], policy: str, count: int, seed: int) -> NDArray[np.float64]:
    """The uniforms (B, count) of the selection noise of a policy's candidates."""
    purpose = select_purpose(policy)
    return np.stack([place.stream(seed, purpose).generator().random(count) for place in places])


def trimmed(steps: Steps) -> Steps:
    """Steps without the columns that are padding in all of them."""
    longest = int(steps.lengths.max())
    return Steps(steps.tokens[..., :longest], steps.token_logp[..., :longest], steps.finish)


def padded(tokens: NDArray[np.int32], depth: int) -> NDArray[np.int32]:
    """Steps (..., T) with PAD up to `depth` tokens."""
    width = [(0, 0)] * (tokens.ndim - 1) + [(0, depth - tokens.shape[-1])]
    return np.pad(tokens, width, constant_values=PAD)
