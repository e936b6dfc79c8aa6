"""Candidates of the next step: drawn from one model, scored by the other and by the reward model; and pools of them.

Shapes: B positions, n candidates, T = longest step in tokens. A position is a prefix of token ids under which the
next step is drawn: the prompt and the steps so far, the same ids for draft, base and reward model.

Streams: the candidates of source s (draft 0, base 1) at a position come from `Position.stream(seed, s)`,
so a pool of N is the first N of a larger one, and no position depends on those beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gsi_theory.errors import InputError
from llm_check.engines.contract import Engine, require_pair
from llm_check.positions import Position, Prompt, encode_text
from llm_check.rewards.contract import RewardModel
from llm_check.steps import PAD, StepRule, Steps
from llm_check.streams import Purpose, Stream
from llm_check.tasks import arithmetic

__all__ = [
    "Drawn",
    "Policies",
    "collect_pool",
    "draw_candidates",
    "positions",
    "step_rewards",
]

SOURCES = ("draft", "base")
# Candidates held at a time while a pool is collected: a few tens of megabytes of tokens and uniforms.
_CHUNK = 1 << 16


@dataclass(frozen=True)
class Policies:
    """The two policies and the reward model; one tokenizer, checked here once."""

    draft: Engine
    base: Engine
    reward_model: RewardModel

    def __post_init__(self) -> None:
        require_pair(self.draft, self.base)

    def engine(self, source: str) -> Engine:
        """The engine of a source, "draft" or "base"."""
        if source not in SOURCES:
            raise InputError(f"source {source!r}: use one of {', '.join(SOURCES)}")
        return self.draft if source == "draft" else self.base


@dataclass(frozen=True)
class Drawn:
    """Candidates: `steps` (B, n) of them with their own log-probabilities, `logp_other` (B, n) under the other model
    (None when it was not asked), `token_logp_other` (B, n, T), and `reward` (B, n)."""

    steps: Steps
    token_logp_other: NDArray[np.float64] | None
    reward: NDArray[np.float64]

    @property
    def logp_other(self) -> NDArray[np.float64] | None:
        """Log-probability of each step under the other model, (B, n), nats."""
        return None if self.token_logp_other is None else self.token_logp_other.sum(axis=-1)


def step_rewards(
    reward_model: RewardModel, places: Sequence[Position], tokens: NDArray[np.int32]
) -> NDArray[np.float64]:
    """Rewards (B, n) of the steps `tokens` (B, n, T) at `places` (B): equal steps of a position are judged once."""
    seen: dict[tuple[int, bytes], int] = {}
    index = np.empty(tokens.shape[:2], dtype=np.int64)
    owners: list[Position] = []
    steps: list[list[int]] = []
    for b, group in enumerate(tokens):
        for i, row in enumerate(group):
            key = (b, row.tobytes())
            if key not in seen:
                seen[key] = len(steps)
                owners.append(places[b])
                steps.append(row[row != PAD].tolist())
            index[b, i] = seen[key]
    return np.asarray(reward_model.score(owners, steps), dtype=np.float64)[index]


def draw_candidates(
    policies: Policies,
    source: str,
    prefixes: tuple[Any, Any],
    places: Sequence[Position],
    n: int,
    streams: Sequence[Stream],
    rule: StepRule,
) -> Drawn:
    """n candidates from `source` at each of B positions, position b from `streams[b]`.

    `prefixes` are of the model that draws and of the other; with None for the other its log-probabilities are left out.
    """
    own, other = prefixes
    steps = policies.engine(source).sample(own, n, streams, rule)
    scored = None
    if other is not None:
        scored = policies.engine(SOURCES[1 - SOURCES.index(source)]).score(other, steps.tokens)
    return Drawn(steps, scored, step_rewards(policies.reward_model, places, steps.tokens))


def positions(
    problems: Sequence[Any],
    tokenizer: Any,
    steps: Sequence[int] = (0,),
    base: Engine | None = None,
    rule: StepRule | None = None,
    seed: int = 0,
    solution_steps: Callable[[Any], Sequence[str]] = arithmetic.solution_steps,
) -> list[Position]:
    """Positions before the steps numbered in `steps`, for every problem whose path has that many steps.

    The path is the reference solution; with `base` and `rule`, a trajectory sampled from the base (stream purpose
    PATH), which ends at its eos. Raises InputError when only one of `base` and `rule` is given, or for a negative step.
    """
    if (base is None) != (rule is None):
        raise InputError("positions got only one of base and rule: give both for base-sampled paths, or neither")
    if min(steps, default=0) < 0:
        raise InputError(f"positions got step {min(steps)}: count steps from 0")
    prompts = [Prompt(p.problem_id, encode_text(tokenizer, p.prompt), p) for p in problems]
    if base is not None and rule is not None:
        whole = _sampled_paths(base, rule, prompts, max(steps, default=0), seed)
    else:
        whole = [
            Position(prompt, tuple(encode_text(tokenizer, text) for text in solution_steps(prompt.problem)))
            for prompt in prompts
        ]
    return [Position(end.prompt, end.path[:step]) for end in whole for step in steps if step < len(end.path)]


def _sampled_paths(base: Engine, rule: StepRule, prompts: list[Prompt], last: int, seed: int) -> list[Position]:
    """Steps 0..last of one solution from the base for each prompt, fewer where it ends."""
    found = [Position(prompt) for prompt in prompts]
    live = list(range(len(prompts)))
    prefixes = base.prefill([prompt.ids for prompt in prompts])
    for step in range(last + 1):
        drawn = base.sample(prefixes, 1, [found[p].stream(seed, Purpose.PATH) for p in live], rule)
        for row, p in enumerate(live):
            found[p] = found[p].after(tuple(drawn.token_ids[row][0]))
        goes_on = np.flatnonzero(drawn.finish[:, 0] != "eos")
        if step == last or not len(goes_on):
            break
        live = [live[row] for row in goes_on]
        prefixes = base.extend(base.select(prefixes, goes_on), [found[p].path[-1] for p in live])
    return found


def collect_pool(
    draft: Engine,
    base: Engine,
    reward_model: RewardModel,
    places: Sequence[Position],
    n_draft: int,
    n_base: int,
    rule: StepRule,
    seed: int,
    check_step: Callable[[Any, int, str], bool] | None = arithmetic.check_step,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, list[Any]]:
    """The columns of a pool (`llm_check.pool.SCHEMA`): n_draft draft and n_base base candidates at each position.

    Both models' log-probabilities, the reward, and, with `check_step`, the gold reward 1.0 or 0.0 of the checker.
    `progress(done, total)` is called after each batch of positions. Raises InputError for a count below 1.
    """
    if min(n_draft, n_base) < 1:
        raise InputError(f"n_draft = {n_draft}, n_base = {n_base}: a pool needs at least 1 candidate of each source")
    policies = Policies(draft, base, reward_model)
    columns: dict[str, list[Any]] = {}
    size = max(1, _CHUNK // max(n_draft, n_base))
    for start in range(0, len(places), size):
        part = places[start : start + size]
        caches = {name: policies.engine(name).prefill([place.prefix for place in part]) for name in SOURCES}
        drawn = {}
        for purpose, (name, n) in enumerate(zip(SOURCES, (n_draft, n_base), strict=True)):
            streams = [place.stream(seed, purpose) for place in part]
            pair = caches[name], caches[SOURCES[1 - purpose]]
            drawn[name] = draw_candidates(policies, name, pair, part, n, streams, rule)
        for row, place in enumerate(part):
            for name in SOURCES:
                for key, values in _rows(policies.draft.tokenizer, place, name, drawn[name], row, check_step).items():
                    columns.setdefault(key, []).extend(values)
        if progress is not None:
            progress(start + len(part), len(places))
    return columns


def _rows(
    tokenizer: Any,
    place: Position,
    source: str,
    drawn: Drawn,
    row: int,
    check_step: Callable[[Any, int, str], bool] | None,
) -> dict[str, list[Any]]:
    """The pool columns of the candidates of one position and source."""
    steps = drawn.steps
    assert drawn.token_logp_other is not None
    lengths = steps.lengths[row].tolist()
    ids = [tokens[:k] for tokens, k in zip(steps.tokens[row].tolist(), lengths, strict=True)]
    own, other = (
        [v[:k] for v, k in zip(logp[row].tolist(), lengths, strict=True)]
        for logp in (steps.token_logp, drawn.token_logp_other)
    )
    spelled = {key: tokenizer.decode(list(key)) for key in set(map(tuple, ids))}
    texts = [spelled[tuple(step)] for step in ids]
    n = len(ids)
    draft, base = (own, other) if source == "draft" else (other, own)
    columns = {
        "prompt_id": [place.prompt_id] * n,
        "step": [place.step] * n,
        "source": [source] * n,
        "candidate": list(range(n)),
        "logp_draft": [sum(values) for values in draft],
        "logp_base": [sum(values) for values in base],
        "reward": drawn.reward[row].tolist(),
    }
    if check_step is not None:
        judged = {text: float(check_step(place.problem, place.step, text)) for text in set(texts)}
        columns["gold_reward"] = [judged[text] for text in texts]
    return columns | {
        "n_tokens": lengths,
        "finish_reason": steps.finish[row].tolist(),
        "text": texts,
        "token_ids": ids,
        "token_logp_draft": draft,
        "token_logp_base": base,
        "sampling_temperature": [1.0] * n,
    }
