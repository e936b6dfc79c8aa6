"""A pool as flat arrays sorted by position, so that a million rows cost no Python object each.

A position is a pair (prompt_id, step), numbered in the order of first appearance; a set is one position and source.
Rows are sorted by (position, source with draft first, candidate). Arrays are (R,) over rows unless said otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from gsi_theory.types import Floats, Ints
from llm_check.logs.pools.pool import SOURCES, Pool

__all__ = ["Block", "PositionArrays", "blocks", "pair_codes", "position_arrays", "same_text_codes", "some_positions"]


@dataclass(frozen=True)
class PositionArrays:
    """order: row of the pool's table at each place; position (R,), is_base (R,); names (P,) of (prompt_id, step).

    The other methods read columns in this order; starts (S + 1,) bounds the sets, set_position and set_is_base (S,).
    """

    pool: Pool
    order: Ints
    position: Ints
    is_base: NDArray[np.bool_]
    names: tuple[tuple[str, int], ...]

    @cached_property
    def starts(self) -> Ints:
        """Where each set (position and source) begins, and R at the end."""
        code = 2 * self.position + self.is_base
        change = np.flatnonzero(np.diff(code)) + 1
        return np.concatenate([[0], change, [code.size]]).astype(np.int64)

    @cached_property
    def set_position(self) -> Ints:
        """Position of each set, (S,)."""
        return self.position[self.starts[:-1]]

    @cached_property
    def set_is_base(self) -> NDArray[np.bool_]:
        """Source of each set, (S,)."""
        return self.is_base[self.starts[:-1]]

    def has(self, name: str) -> bool:
        """Whether the pool has a column that is not null throughout."""
        table = self.pool.table
        return name in table.column_names and table[name].null_count < table.num_rows

    def column(self, name: str) -> pa.ChunkedArray:
        """A column of the pool in this order."""
        return self.pool.table[name].take(pa.array(self.order))

    def floats(self, name: str) -> Floats:
        """A number or truth column as float64, nulls as NaN."""
        return np.asarray(pc.cast(self.column(name), pa.float64()).to_numpy(), dtype=np.float64)

    @cached_property
    def log_ratio(self) -> Floats:
        """Raw log-ratio logp_base - logp_draft, nats; 0 where neither model can draw the step."""
        base, draft = self.floats("logp_base"), self.floats("logp_draft")
        neither = (base == -np.inf) & (draft == -np.inf)
        return np.where(neither, 0.0, base) - np.where(neither, 0.0, draft)

    def tokens(self) -> Floats | None:
        """Tokens of each row from n_tokens, token_ids or token log-probabilities; None when the pool has none."""
        if self.has("n_tokens"):
            return self.floats("n_tokens")
        for name in ("token_ids", "token_logp_draft", "token_logp_base"):
            if self.has(name):
                return np.asarray(pc.list_value_length(self.column(name)).to_numpy(zero_copy_only=False), np.float64)
        return None


def position_arrays(pool: Pool) -> PositionArrays:
    """The pool sorted by position, source and candidate."""
    table = pool.table
    prompt = table["prompt_id"].combine_chunks().dictionary_encode().indices.to_numpy(zero_copy_only=False)
    step = table["step"].to_numpy().astype(np.int64)
    is_base = np.asarray(pc.equal(table["source"], SOURCES[1]).to_numpy())
    key = prompt.astype(np.int64) * (int(step.max()) + 1) + step
    _, first, inverse = np.unique(key, return_index=True, return_inverse=True)
    rank = np.empty(first.size, dtype=np.int64)
    rank[np.argsort(first, kind="stable")] = np.arange(first.size)
    position = rank[inverse.ravel()]
    order = np.lexsort([table["candidate"].to_numpy(), is_base, position])
    seen = np.sort(first)
    texts = table["prompt_id"].take(pa.array(seen)).to_pylist()
    names = tuple(zip(texts, step[seen].tolist(), strict=True))
    return PositionArrays(pool, order, position[order], is_base[order], names)


def same_text_codes(arrays: PositionArrays) -> tuple[Ints, str]:
    """(R,) code of each row's step, equal where two rows of a position are the same step, and what tells them apart.

    By token ids where the pool has them, else by text, else by the pair of log-probabilities and the reward: equal
    steps of a position have equal numbers, and unequal steps almost never do.
    """
    if arrays.has("token_ids"):
        lists = arrays.column("token_ids").combine_chunks()
        lengths = np.asarray(pc.list_value_length(lists).fill_null(0).to_numpy(zero_copy_only=False), np.int64)
        flat = np.asarray(lists.flatten().to_numpy(zero_copy_only=False), np.int64)
        return _codes_of_lists(arrays.position, flat, lengths), "token_ids"
    if arrays.has("text"):
        code = arrays.column("text").combine_chunks().dictionary_encode().indices.fill_null(-1)
        return pair_codes(arrays.position, code.to_numpy(zero_copy_only=False).astype(np.int64)), "text"
    numbers = np.stack([arrays.floats(name) for name in ("logp_draft", "logp_base", "reward")], axis=1) + 0.0
    bits = [arrays.position, *numbers.view(np.int64).T]
    code = np.zeros(arrays.position.size, dtype=np.int64)
    for column in bits:
        code = pair_codes(code, column)
    return code, "log-probabilities and reward"


def pair_codes(left: Ints, right: Ints) -> Ints:
    """Dense codes of the pairs (left, right)."""
    _, l_code = np.unique(left, return_inverse=True)
    values, r_code = np.unique(right, return_inverse=True)
    return np.unique(l_code.ravel() * values.size + r_code.ravel(), return_inverse=True)[1].ravel().astype(np.int64)


def _codes_of_lists(start: Ints, flat: Ints, lengths: Ints) -> Ints:
    """Codes of (start, list) pairs, one token after the other over the rows that still have one."""
    offsets = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    code = pair_codes(start, lengths)
    for depth in range(int(lengths.max(initial=0))):
        live = np.flatnonzero(lengths > depth)
        fresh = pair_codes(code[live], flat[offsets[live] + depth])
        # rows that ended have another length, hence another code, from the start
        code[live] = int(code.max()) + 1 + fresh
    return code


@dataclass(frozen=True)
class Block:
    """Positions with equally many candidates: rows of the draft (P, N) and of the base (P, N_B), and their numbers."""

    positions: Ints
    draft: Ints
    base: Ints


def blocks(arrays: PositionArrays, most: int = 1 << 18) -> list[Block]:
    """Positions that have both sources, grouped by (N, N_B) in blocks of at most `most` rows."""
    sizes = np.zeros((len(arrays.names), 2), dtype=np.int64)
    begin = np.zeros((len(arrays.names), 2), dtype=np.int64)
    source = arrays.set_is_base.astype(int)
    sizes[arrays.set_position, source] = np.diff(arrays.starts)
    begin[arrays.set_position, source] = arrays.starts[:-1]
    both = np.flatnonzero((sizes > 0).all(axis=1))
    found: list[Block] = []
    kinds, kind = np.unique(sizes[both], axis=0, return_inverse=True)
    for k, (n, n_base) in enumerate(kinds.tolist()):
        members = both[kind.ravel() == k]
        step = max(1, most // (n + n_base))
        for at in range(0, members.size, step):
            part = members[at : at + step]
            draft = begin[part, 0][:, None] + np.arange(n)
            found.append(Block(part, draft, begin[part, 1][:, None] + np.arange(n_base)))
    return found


def some_positions(arrays: PositionArrays, most_rows: int) -> PositionArrays:
    """The whole pool where it has at most `most_rows` rows; else as many positions, evenly spread, as fit in them."""
    total, count = arrays.order.size, len(arrays.names)
    if total <= most_rows:
        return arrays
    kept = np.unique(np.linspace(0, count - 1, max(1, int(count * most_rows / total))).astype(np.int64))
    new = np.full(count, -1, dtype=np.int64)
    new[kept] = np.arange(kept.size)
    rows = new[arrays.position] >= 0
    names = tuple(arrays.names[k] for k in kept.tolist())
    return PositionArrays(arrays.pool, arrays.order[rows], new[arrays.position[rows]], arrays.is_base[rows], names)
