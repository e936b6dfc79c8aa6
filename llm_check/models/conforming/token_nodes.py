"""The law of the next token at every beginning of drawn completions, under the model and what it may be mixed up with.

Completions are arrays (N, T) padded with PAD. Laws come from `PlainLaw`, transformers' own forward, which shares
nothing with the engines. No completion's law depends on how many others are drawn.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from gsi_theory.types import Floats, Ints
from llm_check.models.checks.plain_law import PlainLaw
from llm_check.models.decoding.reasoning_steps import PAD

__all__ = ["TokenNode", "nodes_along"]

# Numbers of all laws (rows, T, V) of a block.
_BLOCK = 1 << 23


@dataclass(frozen=True)
class TokenNode:
    """A beginning `context` of completions: `log_law` (V,) of the next token, `others` by name; `ends` end a
    completion."""

    context: tuple[int, ...]
    log_law: Floats
    others: Mapping[str, Floats]
    ends: frozenset[int]

    @cached_property
    def order(self) -> Ints:
        """Ids from the likeliest on, equal ones by id."""
        return np.argsort(-self.log_law, kind="stable")

    @cached_property
    def rank(self) -> Ints:
        """Place of every id in `order`."""
        rank = np.empty_like(self.order)
        rank[self.order] = np.arange(rank.size)
        return rank

    @cached_property
    def above(self) -> Floats:
        """Mass of the ids before each in `order`."""
        mass = np.exp(self.log_law[self.order])
        above = np.empty_like(mass)
        above[self.order] = np.cumsum(mass) - mass
        return above


def _fitted(log_law: Floats, size: int) -> Floats:
    """A law over the first `size` ids: models of one tokenizer pad their logits to different numbers."""
    return np.pad(log_law[:size], (0, max(0, size - log_law.size)), constant_values=-np.inf)


def nodes_along(
    laws: Mapping[str, PlainLaw], steps: NDArray[np.integer], ends: frozenset[int]
) -> Iterator[tuple[TokenNode, Ints, int]]:
    """(node, rows, t): each distinct beginning once, with the rows of `steps` that go on from it with their token t.

    `laws`: of the model under "", of others under their names.
    """
    depth = steps.shape[1]
    parents, of_row = steps[:1, :0], np.zeros(len(steps), dtype=np.int64)
    if depth > 1:
        parents, of_row = np.unique(steps[:, :-1], axis=0, return_inverse=True)
        of_row = of_row.reshape(-1)
    size = max(1, _BLOCK // (depth * sum(plain.vocabulary for plain in laws.values())))
    seen = set()
    for start in range(0, len(parents), size):
        part = parents[start : start + size]
        read = {name: np.concatenate([law for _, law in plain.along(part)]) for name, plain in laws.items()}
        for row, parent in enumerate(part):
            for t in range(depth):
                context = tuple(parent[:t].tolist())
                if context in seen or PAD in context or ends.intersection(context):
                    continue
                seen.add(context)
                alike = (parents[:, :t] == parent[:t]).all(axis=1)
                rows = np.flatnonzero(alike[of_row] & (steps[:, t] != PAD))
                at = {name: _fitted(law[row, t], laws[""].vocabulary) for name, law in read.items()}
                yield TokenNode(context, at.pop(""), at, ends), rows, t
