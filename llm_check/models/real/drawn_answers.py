"""Whole answers drawn iid from one policy and graded, to train and to judge a reward on: steps, text, right or not."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from gsi_theory.runs.journal import Journal
from llm_check.models.decoding.positions import Position, Prompt
from llm_check.models.decoding.prompting import plain_text
from llm_check.models.decoding.random_streams import PositionStream, Purpose
from llm_check.models.decoding.reasoning_steps import StepRule, parse_step_rule
from llm_check.models.engines.engine import Engine
from llm_check.models.engines.load_engine import load_engine
from llm_check.models.engines.token_tree import shared_beginning
from llm_check.models.model_types import Encoded
from llm_check.models.tasks.problem import Task

__all__ = ["DrawnAnswer", "draw_answers", "draw_tasks"]

# Drawn side by side: so many problems, or more where that makes fewer answers than the second number.
_PROBLEMS, _ANSWERS = 8, 48


@dataclass(frozen=True)
class DrawnAnswer:
    """An answer to `prompt`, a problem of `task`: `steps` of token ids, its end of sequence included, and whether its
    grade is right."""

    task: str
    prompt: Prompt
    steps: tuple[tuple[int, ...], ...]
    right: bool

    def share(self, share: float) -> tuple[Position, tuple[int, ...]]:
        """The beginning with that share of its tokens, at least one, as a reward model is given it: where the last of
        its steps was taken, and that step so far."""
        position, left = Position(self.prompt), max(1, int(share * sum(map(len, self.steps))))
        for step in self.steps:
            if left <= len(step):
                break
            position, left = position.after(step), left - len(step)
        return position, step[:left]


def draw_tasks(model: str, tasks: Sequence[Task], n: int, seed: int, journal: Journal, dtype: str) -> list[DrawnAnswer]:
    """n answers of a policy to every problem of the tasks, those in the journal kept; progress lines on stderr."""
    engine = load_engine(model, dtype=dtype)
    answers: list[DrawnAnswer] = []
    began, new, done = time.monotonic(), 0, 0
    total, batch = sum(len(task.problems) for task in tasks), max(_PROBLEMS, _ANSWERS // n)
    for task in tasks:
        rule = parse_step_rule(task.step_spec, engine.tokenizer, task.max_tokens)
        prompts = task.prompts(engine.tokenizer)
        for start in range(0, len(prompts), batch):
            part = prompts[start : start + batch]
            key = (model, task.name, str(start))
            if key not in journal:
                drawn = draw_answers(engine, task, part, n, rule, seed)
                journal.add({key: [[answer.steps, answer.right] for answer in drawn]})
                new += len(part)
            done += len(part)
            rows = zip([prompt for prompt in part for _ in range(n)], journal[key], strict=True)
            answers += [DrawnAnswer(task.name, p, tuple(map(tuple, steps)), right) for p, (steps, right) in rows]
            left = (time.monotonic() - began) / max(1, new) * (total - done)
            print(f"{model}: {done} of {total} problems answered, {left:.0f} s left", file=sys.stderr)
    return answers


def draw_answers(
    engine: Engine, task: Task, prompts: Sequence[Prompt], n: int, rule: StepRule, seed: int
) -> list[DrawnAnswer]:
    """n answers to each of `prompts` (of the task's problems), step by step until eos or the task's `max_steps`; the
    answers of a prompt stand together. Streams are of (seed, policy, prompt) alone: no two policies share one."""
    cache = _prefilled(engine, prompts)
    names = [f"{engine.contract.model} {prompt.prompt_id}" for prompt in prompts]
    drawn = engine.sample(cache, n, [PositionStream(seed, name, 0, Purpose.BASE) for name in names], rule)
    paths = [[tuple(step)] for group in drawn.token_ids for step in group]
    live = [i for i, why in enumerate(drawn.finish.ravel().tolist()) if why != "eos"]
    cache = engine.select(cache, [i // n for i in live]) if live else cache
    for step in range(1, task.max_steps):
        if not live:
            break
        cache = engine.extend(cache, [paths[i][-1] for i in live])
        own = [PositionStream(seed, f"{names[i // n]} #{i % n}", step, Purpose.BASE) for i in live]
        drawn = engine.sample(cache, 1, own, rule)
        for i, group in zip(live, drawn.token_ids, strict=True):
            paths[i].append(tuple(group[0]))
        goes_on = [row for row, why in enumerate(drawn.finish[:, 0].tolist()) if why != "eos"]
        live = [live[row] for row in goes_on]
        cache = engine.select(cache, goes_on) if live else cache
    owners = [prompts[i // n] for i in range(len(paths))]
    texts = [plain_text(engine.tokenizer, [token for step in path for token in step]) for path in paths]
    grades = task.grade([prompt.problem for prompt in owners], texts)
    return [
        DrawnAnswer(task.name, owner, tuple(path), grade.is_right)
        for owner, path, grade in zip(owners, paths, grades, strict=True)
    ]


def _prefilled(engine: Engine, prompts: Sequence[Prompt]) -> Encoded:
    """The encoded prompts; what all of them begin with, answered examples most of the time, is encoded once."""
    ids = [prompt.ids for prompt in prompts]
    shared = shared_beginning(ids)
    if not shared:
        return engine.prefill(ids)
    begun = engine.select(engine.prefill([ids[0][:shared]]), [0] * len(ids))
    return engine.extend(begun, [own[shared:] for own in ids])
