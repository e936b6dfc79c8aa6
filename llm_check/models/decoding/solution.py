"""Whole solutions, step by step, by any method of gsi_theory.methods: one loop for all of them.

All solutions of a batch take their steps side by side; each ends at its eos or after `max_steps` steps. Nothing a
solution gets depends on those beside it: every random number comes from a stream of its own prompt, step and purpose.
Acceptance here is measured, never the exact p_accept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gsi_theory import Scheme
from gsi_theory.errors import InputError
from gsi_theory.runs.progress import Report
from gsi_theory.types import Array
from llm_check.models.decoding.method_step import RECORDED, StepOutcome, run_step
from llm_check.models.decoding.method_table import Method, named_method, policies_used
from llm_check.models.decoding.positions import Position, Prompt, encode_text
from llm_check.models.decoding.prompting import plain_text, require_room
from llm_check.models.decoding.reasoning_steps import StepRule, require_candidates
from llm_check.models.decoding.step_candidates import Models, most_candidates, sources
from llm_check.models.engines.engine import Engine
from llm_check.models.engines.engine_memory import require_step_memory
from llm_check.models.model_types import TaskProblem, Tokenizer
from llm_check.models.rewards.reward_model import RewardModel
from llm_check.models.tasks import arithmetic

__all__ = ["DecodeResult", "context_of", "decode", "decode_prompts", "require_prompt_room", "require_size", "solve"]


@dataclass(frozen=True)
class DecodeResult:
    """B solutions.

    method, scheme: by what they were decoded
    prompt_ids: names of the prompts (B,)
    text: without end-of-sequence markers (B,)
    step_ids: [solution][step][token]
    finished: whether its end of sequence was seen (B,)
    records: a row for each step taken: problem (index of the solution), step, and the columns of `StepOutcome` but
        tokens
    """

    method: str
    scheme: Scheme
    prompt_ids: tuple[str, ...]
    text: tuple[str, ...]
    step_ids: tuple[tuple[tuple[int, ...], ...], ...]
    finished: NDArray[np.bool_]
    records: dict[str, Array]

    @property
    def acceptance_rate(self) -> float | None:
        """Share of steps accepted, or None where nothing can be rejected."""
        return float(self.records["accepted"].mean()) if named_method(self.method).rejects(self.scheme) else None


def solve(
    method: Method,
    scheme: Scheme,
    models: Models,
    prompts: Sequence[Prompt],
    rule: StepRule,
    seed: int,
    ended: Callable[[Position, str], bool],
    progress: Report | None = None,
) -> tuple[list[Position], dict[str, Array]]:
    """Take steps until `ended(position after the step, its finish reason)` says so for every solution.

    Returns where each solution ended and the records of all steps. progress(done, total) counts solutions.
    """
    at = [Position(prompt) for prompt in prompts]
    used = policies_used(method, len(models.drafters))
    caches = {name: models.engine(name).prefill([place.prefix for place in at]) for name in used}
    live = np.arange(len(at))
    passed = np.zeros(len(at), dtype=bool)
    rows: list[dict[str, Array]] = []
    while len(live):
        outcome = run_step(method, scheme, models, caches, [at[p] for p in live], rule, seed, passed)
        rows.append(_recorded(outcome, live, len(rows)))
        for p, tokens in zip(live, outcome.tokens, strict=True):
            at[p] = at[p].after(tuple(tokens[tokens >= 0].tolist()))
        goes_on = np.array([not ended(at[p], why) for p, why in zip(live, outcome.finish.tolist(), strict=True)])
        if scheme.threshold is not None:
            passed = (outcome.gate_value >= scheme.threshold)[goes_on]
        live = live[goes_on]
        if progress is not None:
            progress(len(at) - len(live), len(at))
        if len(live):
            added, kept = [at[p].path[-1] for p in live], np.flatnonzero(goes_on)
            for name in used:
                engine = models.engine(name)
                caches[name] = engine.extend(engine.select(caches[name], kept), added)
    return at, {key: np.concatenate([row[key] for row in rows]) for key in rows[0]}


def _recorded(outcome: StepOutcome, live: NDArray[np.int64], step: int) -> dict[str, Array]:
    numbers: dict[str, Array] = {"problem": live.copy(), "step": np.full(len(live), step)}
    return numbers | {key: getattr(outcome, key) for key in RECORDED}


def decode(
    method: str,
    draft: Engine,
    base: Engine,
    reward_model: RewardModel,
    problems: Sequence[TaskProblem],
    beta: float,
    n: int,
    threshold: float | None,
    rule: StepRule,
    seed: int,
    max_steps: int = arithmetic.MAX_STEPS,
    n_base: int | None = None,
    drafters: Sequence[Engine] = (),
    drafter_counts: Sequence[int] = (),
    progress: Report | None = None,
) -> DecodeResult:
    """Solve `problems` step by step, all at once, until eos, `max_steps` steps, or a full context.

    problems: `Prompt`s, or what has `problem_id` and `prompt` (text). n candidates, n_base of the fallback (default n),
    threshold in reward units, further drafters with their numbers of candidates (default n each). Equal seeds give
    equal solutions, whatever is decoded beside them. Raises InputError for an unknown method, no problems, two problems
    of one id, a prompt without room for a step, fewer than 1 step, a missing threshold or drafter, or the values
    `Scheme` refuses.
    """
    chosen = named_method(method)
    prompts = [p if isinstance(p, Prompt) else _encoded(p, draft.tokenizer) for p in problems]
    models = Models(draft, base, reward_model, tuple(drafters), tuple(drafter_counts))
    scheme = chosen.scheme(beta, n, threshold, n_base)
    return decode_prompts(chosen, scheme, models, prompts, rule, seed, max_steps, progress)


def decode_prompts(
    method: Method,
    scheme: Scheme,
    models: Models,
    prompts: Sequence[Prompt],
    rule: StepRule,
    seed: int,
    max_steps: int,
    progress: Report | None = None,
) -> DecodeResult:
    """`decode` of prompts by a method of the table under its own scheme."""
    if not prompts:
        raise InputError("decode got no problems: give at least one")
    if max_steps < 1:
        raise InputError(f"max_steps = {max_steps}: give at least 1 step")
    _require_distinct(prompts)
    context = require_size(method, scheme, models, prompts, rule)

    # a reward model with a context of its own, as far as it can tell
    room: Callable[[Position], int] | None = getattr(models.reward_model, "room", None)

    def ended(place: Position, finish: str) -> bool:
        full = context is not None and len(place.prefix) + rule.max_tokens > context
        full = full or (room is not None and room(place) < rule.max_tokens)
        return finish == "eos" or place.step >= max_steps or full

    at, records = solve(method, scheme, models, prompts, rule, seed, ended, progress)
    finished = np.zeros(len(at), dtype=bool)
    finished[records["problem"][records["finish"] == "eos"]] = True
    return DecodeResult(
        method=method.name,
        scheme=scheme,
        prompt_ids=tuple(prompt.prompt_id for prompt in prompts),
        text=tuple(plain_text(models.draft.tokenizer, place.solution) for place in at),
        step_ids=tuple(place.path for place in at),
        finished=finished,
        records=records,
    )


def require_size(
    method: Method, scheme: Scheme, models: Models, prompts: Sequence[Prompt], rule: StepRule, batch: int | None = None
) -> int | None:
    """Raise InputError unless the method has its drafters, a step fits after every prompt into the context, which is
    returned (None: not known), and the candidates of `batch` prompts at once (None: all) fit into memory."""
    sources(method.proposal, scheme, models)
    context = context_of(models, policies_used(method, len(models.drafters)))
    if context is not None:
        require_room(prompts, context, rule.max_tokens)
    named, rows = f"n = {scheme.n}, n_base = {scheme.base_draws}", min(batch or len(prompts), len(prompts))
    most = most_candidates(scheme, models)
    require_candidates(most, rows, rule, named)
    engines = [models.engine(name) for name in policies_used(method, len(models.drafters))]
    prefix = max(len(prompt.ids) for prompt in prompts) + rule.max_tokens
    cure = "take fewer side by side (--batch), fewer candidates, or shorter steps (--max-tokens)"
    require_step_memory(engines, rows, prefix, most, rule, named, cure)
    return context


def context_of(models: Models, used: Sequence[str]) -> int | None:
    """Tokens that every policy of a method can hold, or None where none says."""
    known = [getattr(models.engine(name), "context", None) for name in used]
    return min((int(size) for size in known if size is not None), default=None)


def require_prompt_room(models: Models, prompts: Sequence[Prompt], rule: StepRule) -> None:
    """Raise InputError naming the first prompt after which draft or base cannot hold one step."""
    context = context_of(models, ("draft", "base"))
    if context is not None:
        require_room(prompts, context, rule.max_tokens)


def _encoded(problem: TaskProblem, tokenizer: Tokenizer) -> Prompt:
    return Prompt(problem.problem_id, encode_text(tokenizer, problem.prompt), problem)


def _require_distinct(prompts: Sequence[Prompt]) -> None:
    """Two prompts of one id would draw the same random numbers."""
    seen: dict[str, int] = {}
    for i, prompt in enumerate(prompts):
        if prompt.prompt_id in seen:
            first = seen[prompt.prompt_id]
            raise InputError(f"prompts {first} and {i} are both called {prompt.prompt_id!r}: give each its own id")
        seen[prompt.prompt_id] = i
