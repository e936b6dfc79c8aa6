"""Pools along trajectories, collected part by part on disk (`llm_check.models.collecting.parts`).

At each position of a prompt's trajectory the pool holds draft and base candidates; then the trajectory goes on by one
step: of the reference solution, or chosen by a method of `llm_check.models.decoding.method_table` ("base": a sample of
the base). The trajectory's draws have streams of their own, independent of the pool's candidates.

A part is a block of prompts at one step, and is computed from token ids alone: what an earlier or an interrupted run
computed makes no difference to it. Equal settings, engine and machine give equal bytes. Another `batch` gives the same
tokens with log-probabilities equal to float rounding.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gsi_theory import Scheme
from gsi_theory.errors import InputError, nearest
from gsi_theory.runs.progress import Report
from gsi_theory.types import Json
from llm_check.logs.pools.row_checks import offences
from llm_check.models.collecting.collect import candidates_table
from llm_check.models.collecting.parts import Part, Parts, open_parts
from llm_check.models.decoding.method_step import run_step
from llm_check.models.decoding.method_table import METHODS, policies_used
from llm_check.models.decoding.positions import Position, Prompt
from llm_check.models.decoding.random_streams import PositionStream, Purpose
from llm_check.models.decoding.reasoning_steps import StepRule
from llm_check.models.decoding.step_candidates import Models
from llm_check.models.grading.judging import NOBODY, Judges

__all__ = ["PATHS", "REFERENCE", "Collection", "Trajectory", "collect_parts"]

REFERENCE = "reference"
# A method that switches needs to know of the step before whether it passed; a part does not.
PATHS = (REFERENCE, *(name for name, method in METHODS.items() if method.switch is None))
# Candidates of one source in a block of the default size.
_BLOCK = 1024


@dataclass(frozen=True)
class Trajectory:
    """How a prompt's path goes on: `method` of METHODS with its own scheme (METHODS[method].scheme(...)), or
    "reference" with `reference`, the steps (token ids) of each prompt's reference solution by prompt_id."""

    method: str
    scheme: Scheme
    reference: Mapping[str, Sequence[Sequence[int]]] | None = None


@dataclass(frozen=True)
class Collection:
    """What a pool is collected of, and how.

    models: who draws, scores and judges
    prompts: with distinct ids
    trajectory: how a prompt goes on
    steps: positions 0..steps - 1 of each prompt
    counts: candidates of (draft, base) at each position
    rule: where a step ends
    seed: of every random stream
    batch: prompts computed together; None: by size
    judges: what is true of a step
    text: whether steps are kept as text
    """

    models: Models
    prompts: tuple[Prompt, ...]
    trajectory: Trajectory
    steps: int
    counts: tuple[int, int]
    rule: StepRule
    seed: int
    batch: int | None = None
    judges: Judges = NOBODY
    text: bool = True

    def __post_init__(self) -> None:
        if self.steps < 1 or min(self.counts) < 1 or not self.prompts:
            raise InputError(
                f"{len(self.prompts)} prompts, {self.steps} steps and {self.counts} candidates: give at least 1 of each"
            )
        seen: set[str] = set()
        for number, prompt in enumerate(self.prompts):
            if prompt.prompt_id in seen:
                raise InputError(
                    f"prompt {number} has the id {prompt.prompt_id!r} of an earlier one: make ids distinct"
                )
            if not prompt.ids:
                raise InputError(f"prompt {prompt.prompt_id!r} is empty: give at least one token")
            seen.add(prompt.prompt_id)
        if (path := self.trajectory.method) not in PATHS:
            raise InputError(f"path {path!r}{nearest(path, PATHS)}: use one of {', '.join(PATHS)}")

    @property
    def size(self) -> int:
        """Prompts in a block."""
        return self.batch or max(1, _BLOCK // max(self.counts))

    def blocks(self) -> list[tuple[Prompt, ...]]:
        """The prompts in blocks: the same ones are computed together however often the run is interrupted."""
        return [self.prompts[start : start + self.size] for start in range(0, len(self.prompts), self.size)]


def _onward(job: Collection, places: Sequence[Position]) -> list[list[int] | None]:
    """The step by which each position's path goes on, None where it ends with its solution."""
    path = job.trajectory
    if path.method == REFERENCE:
        assert path.reference is not None
        # The last step of a solution ends it: no position follows.
        known = [path.reference[place.prompt_id] for place in places]
        return [
            list(steps[place.step]) if place.step + 1 < len(steps) else None
            for steps, place in zip(known, places, strict=True)
        ]
    method = METHODS[path.method]
    prefixes = [place.prefix for place in places]
    caches = {name: job.models.engine(name).prefill(prefixes) for name in policies_used(method)}
    # A seed of its own: the path is independent of the candidates that the pool holds beside it.
    seed = PositionStream(job.seed, path.method, 0, Purpose.PATH).integer()
    taken = run_step(method, path.scheme, job.models, caches, places, job.rule, seed)
    return [
        None if finish == "eos" else [token for token in tokens if token >= 0]
        for tokens, finish in zip(taken.tokens.tolist(), taken.finish.tolist(), strict=True)
    ]


def _part(job: Collection, places: Sequence[Position], last: bool) -> Part:
    table = candidates_table(job.models, places, job.counts, job.rule, job.seed, job.judges)
    rewards = job.models.reward_model
    bad = offences(table, (rewards.low, rewards.high), lambda row: f"row {row}")
    if bad:
        row, field = int(bad[0].rows[0]), bad[0].field
        who = f"{table['source'][row].as_py()} candidate {table['candidate'][row].as_py()}"
        raise InputError(
            f"prompt {table['prompt_id'][row].as_py()!r}, step {table['step'][row].as_py()}, {who}: {field} = "
            f"{table[field][row].as_py()!r}: {bad[0].reason(row)}; nothing of this part was written"
        )
    if not job.text:
        table = table.drop_columns(["text"])
    onward: list[list[int] | None] = [None] * len(places) if last else _onward(job, places)
    if hasattr(rewards, "forget"):
        # Remembered rewards would make this part's last digits depend on what else this process has scored.
        rewards.forget()
    return Part(table, onward)


def _block(job: Collection, parts: Parts, number: int, prompts: Sequence[Prompt], tick: Callable[[int], None]) -> int:
    """Collect one block; returns the number of steps it has. `tick(positions done)` is called after each part."""
    places = [Position(prompt) for prompt in prompts]
    for step in range(job.steps):
        onward = parts.onward(number, step)
        if onward is None:
            part = _part(job, places, step + 1 == job.steps)
            parts.write(number, step, part)
            onward = part.onward
        tick(len(places))
        places = [place.after(tuple(ids)) for place, ids in zip(places, onward, strict=True) if ids is not None]
        if not places:
            return step + 1
    return job.steps


def collect_parts(out: Path, job: Collection, record: Mapping[str, Json], progress: Report | None = None) -> None:
    """Collect the pool `out`, or go on with it; `record` (JSON) is its provenance and decides what it may go on with.

    Raises InputError as `open_parts`, and for rows that no pool may hold (nothing of their part is written).
    `progress(done, total)` counts positions; prompts whose solution ends early take theirs off at their end.
    """
    with open_parts(out, record) as parts:
        if parts is None:
            return
        names: list[tuple[int, int]] = []
        done, total = 0, len(job.prompts) * job.steps

        def tick(positions: int) -> None:
            nonlocal done
            done += positions
            if progress is not None:
                progress(done, total)

        try:
            for number, prompts in enumerate(job.blocks()):
                steps = _block(job, parts, number, prompts, tick)
                names += [(number, step) for step in range(steps)]
                done = min((number + 1) * job.size, len(job.prompts)) * job.steps
        except InputError:
            if not any(parts.folder.glob("*.parquet")):  # a run that could not begin leaves nothing behind
                shutil.rmtree(parts.folder)
            raise
        parts.finish(names)
