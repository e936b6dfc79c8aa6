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
import pyarrow as pa
from numpy.typing import NDArray

from gsi_theory.errors import InputError
from gsi_theory.types import Json, Record
from llm_check.logs.pools.schema import FIELDS, SOURCES
from llm_check.models.decoding.positions import Position, Prompt, encode_text
from llm_check.models.decoding.random_streams import PositionStream, Purpose, draw_purpose
from llm_check.models.decoding.reasoning_steps import PAD, StepRule, Steps
from llm_check.models.decoding.step_candidates import Models
from llm_check.models.engines.engine import Engine
from llm_check.models.grading.judging import NOBODY, Judges
from llm_check.models.model_types import TaskProblem, Tokenizer
from llm_check.models.rewards.reward_model import RewardModel
from llm_check.models.tasks import arithmetic

__all__ = [
    "Drawn",
    "Policies",
    "candidates_table",
    "collect_pool",
    "draw_candidates",
    "positions",
    "sampled_paths",
    "step_rewards",
]

Policies = Models
# Candidates held at a time while a pool is collected: a few tens of megabytes of tokens and uniforms.
_CHUNK = 1 << 16


def step_rewards(
    reward_model: RewardModel, places: Sequence[Position], tokens: NDArray[np.int32]
) -> NDArray[np.float64]:
    """Rewards (B, n) of the steps `tokens` (B, n, T) at `places` (B): equal steps of a position are judged once."""
    # In order of appearance, which decides what is computed beside what, and so the last digits.
    pairs = [(b, row.tobytes()) for b, group in enumerate(tokens) for row in group]
    index = {pair: i for i, pair in enumerate(dict.fromkeys(pairs))}
    steps = [np.frombuffer(step, dtype=tokens.dtype) for _, step in index]
    rewards = reward_model.score([places[b] for b, _ in index], [step[step != PAD].tolist() for step in steps])
    return np.asarray(rewards, dtype=np.float64)[[index[pair] for pair in pairs]].reshape(tokens.shape[:2])


def positions(
    problems: Sequence[TaskProblem],
    tokenizer: Tokenizer,
    steps: Sequence[int] = (0,),
    base: Engine | None = None,
    rule: StepRule | None = None,
    seed: int = 0,
    solution_steps: Callable[[TaskProblem], Sequence[str]] = arithmetic.solution_steps,
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
        whole = sampled_paths(base, rule, prompts, max(steps, default=0), seed)
    else:
        whole = [
            Position(prompt, tuple(encode_text(tokenizer, text) for text in solution_steps(prompt.problem)))
            for prompt in prompts
        ]
    return [Position(end.prompt, end.path[:step]) for end in whole for step in steps if step < len(end.path)]


def sampled_paths(base: Engine, rule: StepRule, prompts: list[Prompt], last: int, seed: int) -> list[Position]:
    """Steps 0..last of one solution from the base for each prompt, fewer where it ends."""
    ends = [Position(prompt) for prompt in prompts]
    live = list(range(len(prompts)))
    prefixes = base.prefill([prompt.ids for prompt in prompts])
    for step in range(last + 1):
        drawn = base.sample(prefixes, 1, [ends[p].stream(seed, Purpose.PATH) for p in live], rule)
        for row, p in enumerate(live):
            ends[p] = ends[p].after(tuple(drawn.token_ids[row][0]))
        goes_on = np.flatnonzero(drawn.finish[:, 0] != "eos")
        if step == last or not len(goes_on):
            break
        live = [live[row] for row in goes_on]
        prefixes = base.extend(base.select(prefixes, goes_on), [ends[p].path[-1] for p in live])
    return ends


@dataclass(frozen=True)
class Drawn:
    """Candidates of `source` at B positions: `steps` (B, n), `token_logp` (B, n, T) of both models, `reward` (B, n)."""

    source: str
    steps: Steps
    token_logp: dict[str, NDArray[np.float64]]
    reward: NDArray[np.float64]


def draw_candidates(
    models: Models,
    source: str,
    prefixes: tuple[Any, Any],
    places: Sequence[Position],
    n: int,
    streams: Sequence[PositionStream],
    rule: StepRule,
) -> Drawn:
    """n candidates from `source` at each of B positions, position b from `streams[b]`, scored by the other model and
    judged; `prefixes` are those of the model that draws and of the other."""
    own, others = prefixes
    other = SOURCES[1 - SOURCES.index(source)]
    steps = models.engine(source).sample(own, n, streams, rule)
    token_logp = {source: steps.token_logp, other: models.engine(other).score(others, steps.tokens)}
    return Drawn(source, steps, token_logp, step_rewards(models.reward_model, places, steps.tokens))


def candidates_table(
    models: Models,
    places: Sequence[Position],
    counts: tuple[int, int],
    rule: StepRule,
    seed: int,
    judges: Judges = NOBODY,
) -> pa.Table:
    """Rows of a pool (`llm_check.logs.pools.schema`): counts = (draft, base) candidates at each of B positions.

    A position's rows are its draft's, then its base's. Everything is computed from the token ids of the prefixes, so a
    call does not depend on calls before it. `judges` fill gold_reward and correct, as far as the task has them.
    """
    caches = {name: models.engine(name).prefill([place.prefix for place in places]) for name in SOURCES}
    drawn = {}
    for name, other, n in zip(SOURCES, SOURCES[::-1], counts, strict=True):
        streams = [place.stream(seed, draw_purpose(name)) for place in places]
        drawn[name] = draw_candidates(models, name, (caches[name], caches[other]), places, n, streams, rule)
    rows = [_rows(models, drawn[name], b, place, judges) for b, place in enumerate(places) for name in SOURCES]
    return pa.concat_tables(rows)


def collect_pool(
    draft: Engine,
    base: Engine,
    reward_model: RewardModel,
    places: Sequence[Position],
    n_draft: int,
    n_base: int,
    rule: StepRule,
    seed: int,
    check_step: Callable[[TaskProblem, int, str], bool] | None = arithmetic.check_step,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, list[Json]]:
    """The columns of a pool (`llm_check.logs.pools.schema`): n_draft draft and n_base base candidates at each position.

    Both models' log-probabilities, the reward, and, with `check_step`, the gold reward 1.0 or 0.0 of the checker.
    `progress(done, total)` is called after each batch of positions. Raises InputError for a count below 1.
    Held in memory; `llm_check.models.collecting.trajectories` writes pools of any size to disk.
    """
    if min(n_draft, n_base) < 1:
        raise InputError(f"n_draft = {n_draft}, n_base = {n_base}: a pool needs at least 1 candidate of each source")
    models = Models(draft, base, reward_model)
    tables = []
    size = max(1, _CHUNK // max(n_draft, n_base))
    for start in range(0, len(places), size):
        part = places[start : start + size]
        tables.append(candidates_table(models, part, (n_draft, n_base), rule, seed, Judges(check_step)))
        if progress is not None:
            progress(start + len(part), len(places))
    columns: dict[str, list[Json]] = pa.concat_tables(tables).to_pydict() if tables else {}
    return columns


def _rows(
    models: Models,
    drawn: Drawn,
    row: int,
    place: Position,
    judges: Judges,
) -> pa.Table:
    """The rows of the candidates of one position (row `row` of what was drawn) and source."""
    tokens, finish = drawn.steps.tokens[row], drawn.steps.finish[row]
    logp = {name: values[row] for name, values in drawn.token_logp.items()}
    real, n = tokens != PAD, len(tokens)
    starts = pa.array(np.r_[0, np.cumsum(real.sum(axis=1))], type=pa.int32())
    distinct, which = np.unique(tokens, axis=0, return_inverse=True)
    spelled = [str(models.draft.tokenizer.decode(step[step != PAD].tolist())) for step in distinct]
    columns: Record = {
        "prompt_id": pa.array([place.prompt_id] * n, type=pa.string()),
        "step": np.full(n, place.step),
        "source": pa.array([drawn.source] * n, type=pa.string()),
        "candidate": np.arange(n),
        "logp_draft": logp["draft"].sum(axis=1),
        "logp_base": logp["base"].sum(axis=1),
        "reward": drawn.reward[row],
    }
    gold = judges.gold(place, spelled)
    if gold is not None:
        columns["gold_reward"] = gold[which.ravel()]
    ends = [str(finish[int(np.argmax(which.ravel() == k))]) == "eos" for k in range(len(distinct))]
    correct = judges.correct(models.draft.tokenizer, place, distinct, ends)
    if correct is not None:
        columns["correct"] = [correct[int(k)] for k in which.ravel()]
    columns |= {
        "n_tokens": real.sum(axis=1),
        "finish_reason": pa.array(finish.tolist(), type=pa.string()),
        "text": pa.array(spelled, type=pa.string()).take(pa.array(which.ravel())),
        "token_ids": pa.ListArray.from_arrays(starts, pa.array(tokens[real], type=pa.int32())),
    }
    for name in SOURCES:
        columns[f"token_logp_{name}"] = pa.ListArray.from_arrays(starts, pa.array(logp[name][real]))
    columns["sampling_temperature"] = np.full(n, models.draft.contract.sampling_temperature)
    return pa.table({name: pa.array(values, type=FIELDS[name].type) for name, values in columns.items()})
