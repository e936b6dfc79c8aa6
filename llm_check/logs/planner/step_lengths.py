"""Pools of the same problems at other step lengths: what can be compared between them, and what cannot.

The value of an option is that of one step. A step of 8 tokens is not an answer, so its value is no value of an answer,
and values of pools whose steps differ are not compared: only runs to the end tell (`gsi decode` with --step). What a
pool does tell of its length is coverage: effective drafts of the ratio, and the largest n at which its weights may be
used (`unsupported`). Shorter steps have more of it (M44).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gsi_theory.errors import InputError
from llm_check.logs.pools.pool import Pool
from llm_check.logs.pools.supports import effective_drafts, unsupported

__all__ = ["COMPARED", "StepLength", "step_length", "step_lengths", "step_tokens"]

COMPARED = (
    "step lengths are compared by coverage alone: the value of one step is not that of a whole answer, so values of "
    "steps of different lengths are not compared; gsi decode with --step of each, on the same problems, tells"
)


@dataclass(frozen=True)
class StepLength:
    """pool: its name; tokens: length at which its steps are cut, None as they end; mean_tokens: of a step, None where
    none are logged; whole: whether a step is a whole answer; drafts: of the smallest set; ess: effective drafts of the
    ratio, median over positions; n_max: the largest n of those asked at which its weights may be used at `beta`, None
    where there is none; fault: why."""

    pool: str
    tokens: int | None
    mean_tokens: float | None
    whole: bool
    drafts: int
    ess: float
    beta: float
    n_max: int | None
    fault: str


def step_tokens(pool: Pool) -> int | None:
    """Tokens at which the pool's step rule, as its provenance has it, cuts a step; None: as it was drawn."""
    kind, _, count = str(pool.metadata.get("step", "")).partition(":")
    return int(count) if kind == "tokens" and count.isdecimal() else None


def step_length(pool: Pool, name: str, beta: float, ns: Sequence[int]) -> StepLength:
    """The coverage of one pool."""
    arrays = pool.arrays
    sets = [s for (_, _, source), s in arrays.sets.items() if source == "draft"]
    lengths = arrays.tokens
    smallest = min(s.stop - s.start for s in sets)
    ess = effective_drafts(pool)
    faults = {n: unsupported(ess, n) for n in sorted({n for n in ns if n <= smallest // 2})}
    usable = [n for n, fault in faults.items() if not fault]
    return StepLength(
        pool=name,
        tokens=step_tokens(pool),
        mean_tokens=None if lengths is None else float(lengths.mean()),
        whole=pool.metadata.get("step") == "answer",
        drafts=smallest,
        ess=ess,
        beta=beta,
        n_max=max(usable, default=None),
        fault=next((fault for fault in faults.values() if fault), ""),
    )


def step_lengths(
    pool: Pool, name: str, others: Sequence[tuple[str, Pool]], beta: float, ns: Sequence[int]
) -> list[StepLength]:
    """The pool and others of the same problems, by the tokens of a step. Raises InputError for another pool that has no
    drafts, or none of the problems."""
    problems = {prompt for prompt, _ in pool.positions("draft")}
    for other, data in others:
        theirs = {prompt for prompt, _ in data.positions("draft")}
        if not theirs & problems:
            example = f", such as {min(theirs)!r}," if theirs else ""
            raise InputError(f"--also {other}: its drafts{example} are of no problem of {name}: give the same problems")
    rows = [step_length(data, label, beta, ns) for label, data in ((name, pool), *others)]
    return sorted(rows, key=lambda row: np.inf if row.mean_tokens is None else row.mean_tokens)
