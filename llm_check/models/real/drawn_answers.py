"""Whole answers drawn iid from one policy and graded, to train and to judge a reward on: steps, text, right or not."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from llm_check.models.decoding.positions import Position, Prompt
from llm_check.models.decoding.prompting import plain_text
from llm_check.models.decoding.random_streams import PositionStream
from llm_check.models.decoding.reasoning_steps import StepRule
from llm_check.models.engines.engine import Engine
from llm_check.models.model_types import Encoded
from llm_check.models.tasks.problem import Task

__all__ = ["DrawnAnswer", "draw_answers"]


@dataclass(frozen=True)
class DrawnAnswer:
    """An answer to `prompt`: `steps` of token ids, its end of sequence included, and whether its grade is right."""

    prompt: Prompt
    steps: tuple[tuple[int, ...], ...]
    right: bool

    @property
    def ids(self) -> tuple[int, ...]:
        """Its token ids."""
        return tuple(token for step in self.steps for token in step)

    def cut(self, tokens: int) -> tuple[Position, tuple[int, ...]]:
        """The beginning of so many tokens, as a reward model is given it: after the steps before, the step so far."""
        position, left = Position(self.prompt), tokens
        for step in self.steps:
            if left <= len(step):
                return position, step[:left]
            position, left = position.after(step), left - len(step)
        return self.whole

    @property
    def whole(self) -> tuple[Position, tuple[int, ...]]:
        """Where the last step was taken, and that step."""
        return Position(self.prompt, self.steps[:-1]), self.steps[-1]


def draw_answers(
    engine: Engine, task: Task, prompts: Sequence[Prompt], n: int, rule: StepRule, seed: int, purpose: int
) -> list[DrawnAnswer]:
    """n answers to each of `prompts` (of the task's problems), step by step until eos or the task's `max_steps`; the
    answers of a prompt stand together. Streams are of (seed, prompt, purpose) alone."""
    cache = _prefilled(engine, prompts)
    streams = [PositionStream(seed, prompt.prompt_id, 0, purpose) for prompt in prompts]
    drawn = engine.sample(cache, n, streams, rule)
    paths = [[tuple(step)] for group in drawn.token_ids for step in group]
    live = [i for i, why in enumerate(drawn.finish.ravel().tolist()) if why != "eos"]
    cache = engine.select(cache, [i // n for i in live]) if live else cache
    for step in range(1, task.max_steps):
        if not live:
            break
        cache = engine.extend(cache, [paths[i][-1] for i in live])
        names = [f"{prompts[i // n].prompt_id}#{i % n}" for i in live]
        drawn = engine.sample(cache, 1, [PositionStream(seed, name, step, purpose) for name in names], rule)
        for i, group in zip(live, drawn.token_ids, strict=True):
            paths[i].append(tuple(group[0]))
        goes_on = [row for row, why in enumerate(drawn.finish[:, 0].tolist()) if why != "eos"]
        live = [live[row] for row in goes_on]
        cache = engine.select(cache, goes_on) if live else cache
    owners = [prompts[i // n] for i in range(len(paths))]
    texts = [plain_text(engine.tokenizer, [token for step in path for token in step]) for path in paths]
    grades = task.grade([prompt.problem for prompt in owners], texts)
    return [
        DrawnAnswer(owner, tuple(path), grade.is_right)
        for owner, path, grade in zip(owners, paths, grades, strict=True)
    ]


def _prefilled(engine: Engine, prompts: Sequence[Prompt]) -> Encoded:
    """The encoded prompts; what all of them begin with, answered examples most of the time, is encoded once."""
    ids = [prompt.ids for prompt in prompts]
    shared = min(len(os.path.commonprefix(ids)), min(map(len, ids)) - 1)
    if not shared:
        return engine.prefill(ids)
    begun = engine.select(engine.prefill([ids[0][:shared]]), [0] * len(ids))
    return engine.extend(begun, [own[shared:] for own in ids])
