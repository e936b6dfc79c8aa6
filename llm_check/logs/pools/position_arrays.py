"""A pool flattened once: arrays sorted by position, so that a million rows cost no Python object each.

A position is a pair (prompt_id, step), numbered in the order of first appearance; a set is one position and source.
Rows are sorted by (position, source with draft first, candidate). Arrays are (R,) over rows unless said otherwise, and
what is read twice is kept, so nobody groups the rows of a pool again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gsi_theory.types import Flags, Floats, Ints
from llm_check.logs.pools.schema import SOURCES

__all__ = [
    "PositionArrays",
    "PositionBlock",
    "RowOrder",
    "TokenLists",
    "blocks",
    "dense_codes",
    "pair_codes",
    "position_arrays",
    "row_order",
    "same_text_codes",
    "some_positions",
]

BLOCK_ROWS = 1 << 18
Column = TypeVar("Column")


class RowOrder(NamedTuple):
    """Rows of a table, sorted: row of the table at each place, position and source code (draft 0, base 1) there, and
    the row at which each position appears first (P,)."""

    order: Ints
    position: Ints
    source: Ints
    first: Ints


class TokenLists(NamedTuple):
    """A list column flattened: values of all rows one after the other, where each row begins, and its length."""

    values: Floats
    offsets: Ints
    lengths: Ints


@dataclass(frozen=True)
class PositionBlock:
    """Positions with equally many candidates: rows of the draft (P, N) and of the base (P, N_B), and their numbers."""

    positions: Ints
    draft: Ints
    base: Ints

    def at(self, chosen: slice | Ints) -> PositionBlock:
        """Some of the positions."""
        return PositionBlock(self.positions[chosen], self.draft[chosen], self.base[chosen])


@dataclass(frozen=True)
class PositionArrays:
    """order: row of `table` at each place; position (R,), is_base (R,); names (P,) of (prompt_id, step).

    The methods read columns in this order; starts (S + 1,) bounds the sets, set_position and set_is_base (S,).
    """

    table: pa.Table
    order: Ints
    position: Ints
    is_base: Flags
    names: tuple[tuple[str, int], ...]
    _columns: dict[tuple[str, type], object] = field(default_factory=dict, init=False, repr=False, compare=False)

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
    def set_is_base(self) -> Flags:
        """Source of each set, (S,)."""
        return self.is_base[self.starts[:-1]]

    @cached_property
    def sets(self) -> dict[tuple[str, int, str], slice]:
        """Places of each (prompt_id, step, source)."""
        ends = zip(self.starts[:-1].tolist(), self.starts[1:].tolist(), strict=True)
        owners = zip(self.set_position.tolist(), self.set_is_base.tolist(), strict=True)
        return {(*self.names[p], SOURCES[base]): slice(*end) for (p, base), end in zip(owners, ends, strict=True)}

    @cached_property
    def blocks(self) -> list[PositionBlock]:
        """Positions that have both sources, by their counts of candidates."""
        return blocks(self)

    @cached_property
    def same_steps(self) -> tuple[Ints, str]:
        """`same_text_codes`."""
        return same_text_codes(self)

    def has(self, name: str) -> bool:
        """Whether the pool has a column that is not null throughout."""
        return name in self.table.column_names and self.table[name].null_count < self.table.num_rows

    def column(self, name: str) -> pa.ChunkedArray:
        """A column of the pool in this order."""
        return self.table[name].take(pa.array(self.order))

    def _kept(self, name: str, kind: type[Column], read: Callable[[], Column]) -> Column:
        value = self._columns.get((name, kind))
        if not isinstance(value, kind):
            value = self._columns[name, kind] = read()
        return value

    def floats(self, name: str) -> Floats:
        """A number or truth column as float64, nulls as NaN. Not to be written to."""

        def read() -> Floats:
            values = np.array(pc.cast(self.column(name), pa.float64()).to_numpy(), dtype=np.float64)
            values.setflags(write=False)
            return values

        return self._kept(name, np.ndarray, read)

    def lists(self, name: str) -> TokenLists | None:
        """A column of token lists, null as no token; None when the pool lacks it."""
        if not self.has(name):
            return None

        def read() -> TokenLists:
            lists = self.column(name).combine_chunks()
            lengths = np.asarray(pc.list_value_length(lists).fill_null(0).to_numpy(zero_copy_only=False), np.int64)
            values = np.asarray(lists.flatten().to_numpy(zero_copy_only=False), np.float64)
            return TokenLists(values, np.cumsum(lengths) - lengths, lengths)

        return self._kept(name, TokenLists, read)

    @cached_property
    def log_ratio(self) -> Floats:
        """Raw log-ratio logp_base - logp_draft, nats; 0 where neither model can draw the step."""
        base, draft = self.floats("logp_base"), self.floats("logp_draft")
        neither = (base == -np.inf) & (draft == -np.inf)
        return np.where(neither, 0.0, base) - np.where(neither, 0.0, draft)

    @cached_property
    def tokens(self) -> Floats | None:
        """Tokens of each row from n_tokens, token_ids or token log-probabilities; None when the pool has none."""
        if self.has("n_tokens"):
            return self.floats("n_tokens")
        for name in ("token_ids", "token_logp_draft", "token_logp_base"):
            if self.has(name):
                return np.asarray(pc.list_value_length(self.column(name)).to_numpy(zero_copy_only=False), np.float64)
        return None


def row_order(table: pa.Table) -> RowOrder:
    """Rows by (position in order of appearance, draft before base, candidate), also of a table that holds nulls or
    sources of other names: equal codes, equal position and source. The sort is stable."""
    prompt = table["prompt_id"].combine_chunks().dictionary_encode(null_encoding="encode")
    source = table["source"].combine_chunks().dictionary_encode(null_encoding="encode")
    rank = {name: code for code, name in enumerate(SOURCES)}
    codes = np.array([rank.get(name, len(SOURCES) + i) for i, name in enumerate(source.dictionary.to_pylist())])
    source_code = codes[source.indices.to_numpy(zero_copy_only=False)].astype(np.int64)
    step = table["step"].fill_null(-1).to_numpy().astype(np.int64)
    step -= step.min()
    key = prompt.indices.to_numpy(zero_copy_only=False).astype(np.int64) * (int(step.max()) + 1) + step
    _, first, inverse = np.unique(key, return_index=True, return_inverse=True)
    rank_of = np.empty(first.size, dtype=np.int64)
    rank_of[np.argsort(first, kind="stable")] = np.arange(first.size)
    position = rank_of[inverse.ravel()]
    order = np.lexsort([table["candidate"].fill_null(-1).to_numpy(), source_code, position])
    return RowOrder(order, position[order], source_code[order], np.sort(first))


def position_arrays(table: pa.Table, rows: RowOrder | None = None) -> PositionArrays:
    """The table of a valid pool sorted by position, source and candidate; rows: where its order is known."""
    rows = rows or row_order(table)
    heads = table.select(["prompt_id", "step"]).take(pa.array(rows.first))
    names = tuple(zip(heads["prompt_id"].to_pylist(), heads["step"].to_pylist(), strict=True))
    return PositionArrays(table, rows.order, rows.position, rows.source == 1, names)


def same_text_codes(arrays: PositionArrays, chosen: Ints | None = None) -> tuple[Ints, str]:
    """(R,) code of each row's step, equal where two rows of a position are the same step, and what tells them apart.

    By token ids where the pool has them, else by text, else by the pair of log-probabilities, and where these are
    rounded by the reward too: equal steps of a position have equal numbers, and unequal steps almost never do; but one
    step's reward may be judged anew, or fail. chosen: rows compared wherever they were drawn, all positions as one.
    """
    rows = slice(None) if chosen is None else chosen
    position = arrays.position if chosen is None else np.zeros(chosen.size, dtype=np.int64)
    ids = arrays.lists("token_ids")
    if ids is not None:
        return _codes_of_lists(position, ids.values.astype(np.int64), ids.offsets[rows], ids.lengths[rows]), "token_ids"
    if arrays.has("text"):
        code = arrays.column("text").combine_chunks().dictionary_encode().indices.fill_null(-1)
        return pair_codes(position, code.to_numpy(zero_copy_only=False).astype(np.int64)[rows]), "text"
    names = ["logp_draft", "logp_base"]
    rounded = any(_rounded(arrays.floats(name)) for name in names)
    for name in [*names, *(["reward"] if rounded else [])]:
        position = pair_codes(position, (arrays.floats(name)[rows] + 0.0).view(np.int64))  # -0.0 is 0.0
    return position, "log-probabilities and reward" if rounded else "log-probabilities"


def _rounded(values: Floats) -> bool:
    """Whether half of the finite values that are no whole numbers, or more, have at most four decimals or ten binary
    places."""
    values = values[np.isfinite(values) & (values != np.round(values))]
    scaled = [values * scale for scale in (1e4, 1024.0)]
    coarse = np.logical_or.reduce([np.abs(x - np.round(x)) < 1e-6 for x in scaled])
    return values.size == 0 or bool(coarse.mean() >= 0.5)


def dense_codes(values: Ints) -> Ints:
    """Equal values as equal numbers from 0, in their order."""
    return np.unique(values, return_inverse=True)[1].ravel().astype(np.int64)


def pair_codes(left: Ints, right: Ints) -> Ints:
    """Dense codes of the pairs (left, right)."""
    code = dense_codes(right)
    return dense_codes(dense_codes(left) * (int(code.max(initial=-1)) + 1) + code)


def _codes_of_lists(start: Ints, flat: Ints, offsets: Ints, lengths: Ints) -> Ints:
    """Codes of (start, list) pairs, one token after the other over the rows that still have one and are not told from
    all others yet."""
    code, live = pair_codes(start, lengths), np.arange(lengths.size)
    for depth in range(int(lengths.max(initial=0))):
        live = live[lengths[live] > depth]
        so_far = dense_codes(code[live])
        live = live[np.bincount(so_far)[so_far] > 1] if live.size else live
        if live.size == 0:
            break
        fresh = pair_codes(code[live], flat[offsets[live] + depth])
        # rows that ended have another length, hence another code, from the start
        code[live] = int(code.max()) + 1 + fresh
    return dense_codes(code)


def blocks(arrays: PositionArrays, most: int = BLOCK_ROWS) -> list[PositionBlock]:
    """Positions that have both sources, grouped by (N, N_B) in blocks of at most `most` rows."""
    sizes = np.zeros((len(arrays.names), 2), dtype=np.int64)
    begin = np.zeros((len(arrays.names), 2), dtype=np.int64)
    source = arrays.set_is_base.astype(int)
    sizes[arrays.set_position, source] = np.diff(arrays.starts)
    begin[arrays.set_position, source] = arrays.starts[:-1]
    both = np.flatnonzero((sizes > 0).all(axis=1))
    parts: list[PositionBlock] = []
    kinds, kind = np.unique(sizes[both], axis=0, return_inverse=True)
    for k, (n, n_base) in enumerate(kinds.tolist()):
        members = both[kind.ravel() == k]
        step = max(1, most // (n + n_base))
        for at in range(0, members.size, step):
            part = members[at : at + step]
            draft = begin[part, 0][:, None] + np.arange(n)
            parts.append(PositionBlock(part, draft, begin[part, 1][:, None] + np.arange(n_base)))
    return parts


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
    return PositionArrays(arrays.table, arrays.order[rows], new[arrays.position[rows]], arrays.is_base[rows], names)
