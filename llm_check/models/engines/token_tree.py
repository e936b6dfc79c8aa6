"""Candidates as a tree of tokens: what n candidates share is one node, and each node is encoded once. No torch here.

R rows (prefixes) have a tree each; a node is named by its number in its row, in the order of creation, and -1 is the
root (the prefix itself). Rows are as wide as the widest, N nodes; missing nodes have token 0 and see only themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llm_check.models.decoding.reasoning_steps import PAD

__all__ = ["TokenTree", "TreeLevel", "grow_level", "shared_beginning", "tree_of_steps"]


@dataclass(frozen=True)
class TreeLevel:
    """New nodes of one depth: `tokens`, `parents` (R, N), which of them are `real`, and `first`, the number of the
    first in every row; missing nodes are counted, so the nodes of a level are numbered alike in all rows."""

    tokens: NDArray[np.int64]
    parents: NDArray[np.int64]
    real: NDArray[np.bool_]
    first: int


def grow_level(
    rows: NDArray[np.int64], parents: NDArray[np.int64], tokens: NDArray[np.int64], first: int, count: int
) -> tuple[TreeLevel, NDArray[np.int64]]:
    """The distinct children of M candidates (row, parent, token) as a level over `count` rows, and the node of each
    candidate (M,)."""
    width = int(tokens.max()) + 1
    span = int(parents.max()) + 2  # parents from -1 on
    keys, inverse = np.unique((rows * span + parents + 1) * width + tokens, return_inverse=True)
    row = keys // (span * width)
    starts = np.searchsorted(row, np.arange(count))
    slot = np.arange(len(keys)) - starts[row]
    shape = (count, int(slot.max()) + 1)
    level = TreeLevel(np.zeros(shape, np.int64), np.full(shape, -1), np.zeros(shape, bool), first)
    level.tokens[row, slot] = keys % width
    level.parents[row, slot] = keys // width % span - 1
    level.real[row, slot] = True
    return level, first + slot[inverse]


@dataclass(frozen=True)
class TokenTree:
    """Nodes (R, N) of all depths: `tokens`, `depth` from 0, `sees` (R, N, N): its ancestors and itself."""

    tokens: NDArray[np.int64]
    depth: NDArray[np.int64]
    sees: NDArray[np.bool_]


def tree_of_steps(tokens: NDArray[np.integer]) -> tuple[TokenTree, NDArray[np.int64]]:
    """The tree of the steps (R, n, T), and the node (R, n, T) after which each token stands: -1 for a first token.

    The last token of a step needs no node unless another step goes on from it.
    """
    span = int(tokens.max()) + 1
    rows, after = [], []
    for group in tokens.tolist():
        # Plain dictionaries: for a few hundred tokens they are faster than sorting arrays.
        children: dict[int, int] = {}
        nodes: list[tuple[int, int, int]] = []
        paths: dict[tuple[int, ...], list[int]] = {}
        for step in map(tuple, group):
            if step not in paths:
                paths[step] = _path(step, span, children, nodes)
            after.append(paths[step])
        rows.append(nodes)
    width = max(map(len, rows))
    # A missing node has token 0, no parent and depth 0.
    padded = [row + [(0, -1, 0)] * (width - len(row)) for row in rows]
    table = np.array(padded, dtype=np.int64).reshape(len(rows), width, 3)
    given, parents, depth = table[..., 0], table[..., 1], table[..., 2]
    sees = np.zeros((len(rows), width, width), dtype=bool)
    sees[:, np.arange(width), np.arange(width)] = True
    for level in range(1, int(depth.max(initial=0)) + 1):
        row, node = np.nonzero(depth == level)
        sees[row, node] |= sees[row, parents[row, node]]
    return TokenTree(given, depth, sees), np.array(after, dtype=np.int64).reshape(tokens.shape)


def _path(step: tuple[int, ...], span: int, children: dict[int, int], nodes: list[tuple[int, int, int]]) -> list[int]:
    """The node after which each token of `step` stands (-1: the root); new nodes (token, parent, depth) are added."""
    node, path = -1, [-1] * len(step)
    for depth in range(len(step) - 1):
        if step[depth + 1] == PAD:
            break
        key = (node + 1) * span + step[depth]
        child = children.get(key)
        if child is None:
            child = children[key] = len(nodes)
            nodes.append((step[depth], node, depth))
        node = path[depth + 1] = child
    return path


def shared_beginning(sequences: Sequence[tuple[int, ...]]) -> int:
    """How many ids all of these begin with, short of the whole of any."""
    first, last = min(sequences), max(sequences)  # what the extremes share, all between them share
    short = min(map(len, sequences)) - 1
    return next((i for i in range(short) if first[i] != last[i]), short)
