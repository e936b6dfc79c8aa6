"""What makes a row of a pool bad: one vectorized check for each fault, over all rows at once. No torch here.

`offences` returns every fault with its rows; what to do about them (stop, or leave prompts out) is for
`llm_check.logs.pools.pool` to say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gsi_theory.errors import InputError
from gsi_theory.runs.json_input import shown
from gsi_theory.types import Flags, Floats, Ints, Json
from llm_check.logs.pools.position_arrays import RowOrder, row_order
from llm_check.logs.pools.schema import ONE, ONE_REQUIRED, REQUIRED, SOURCES

__all__ = ["Offence", "Range", "checked_range", "floats", "offences"]

Range = tuple[float, float]
# No step is so unlikely and no reward so large: sums of their squares would not be floats.
_LEAST_LOGP, _LARGEST_REWARD = -1e9, 1e100
# log-softmax never exceeds 0 by more than rounding: a larger value is no log-probability.
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Offence:
    """Rows (in the table, ascending) that share a fault of `field`; reason(row) says what is wrong and the cure."""

    rows: Ints
    field: str
    reason: Callable[[int], str]


def checked_range(low: Json, high: Json, place: str) -> Range:
    """A stated range of the reward; a bound of None is infinite. InputError names `place` unless low < high."""
    ends = []
    for value, absent in ((low, -np.inf), (high, np.inf)):
        number = absent if value is None else value
        if isinstance(number, bool) or not isinstance(number, int | float) or np.isnan(number):
            raise InputError(f"{place} {shown(low)} {shown(high)}: give the lowest and the highest reward, two numbers")
        ends.append(float(number))
    if not ends[0] < ends[1]:
        raise InputError(f"{place} {shown(low)} {shown(high)}: give the lowest reward, then the highest")
    return ends[0], ends[1]


def floats(table: pa.Table, name: str) -> Floats:
    """A number column as float64, nulls as NaN."""
    return np.asarray(table[name].to_numpy(), dtype=np.float64)


def _fault(bad: Flags, field: str, reason: str) -> Iterator[Offence]:
    if bad.any():
        yield Offence(np.flatnonzero(bad), field, lambda row: reason)


def _nulls(table: pa.Table, name: str) -> Flags:
    if table[name].null_count == 0:
        return np.zeros(table.num_rows, dtype=bool)
    return np.asarray(table[name].is_null().to_numpy())


def _drawn_by(table: pa.Table, model: str) -> Flags:
    """Rows that the model drew; the one model of a log stands as its draft."""
    names = pa.array([model, ONE] if model == "draft" else [model])
    return np.asarray(pc.is_in(table["source"], names).to_numpy())


def _scores(table: pa.Table, limits: Range) -> Iterator[Offence]:
    for name in (n for n in ("logp_draft", "logp_base") if n in table.column_names):
        logp, present = floats(table, name), ~_nulls(table, name)
        bad = present & (np.isnan(logp) | (logp > _ROUNDING))
        yield from _fault(bad, name, "give a log-probability in nats, at most 0")
        tiny = np.isfinite(logp) & (logp < _LEAST_LOGP)
        yield from _fault(tiny, name, f"no step is below {_LEAST_LOGP:g} nats: score it again, -inf if it has no mass")
        by_drawer = (logp == -np.inf) & _drawn_by(table, name.removeprefix("logp_"))
        yield from _fault(by_drawer, name, "the model drew this step, so it gave it mass: score it again")
    for name in (n for n in ("reward", "gold_reward") if n in table.column_names):
        value, present = floats(table, name), ~_nulls(table, name)
        yield from _fault(present & ~np.isfinite(value), name, "give a finite reward")
        huge = np.isfinite(value) & (np.abs(value) > _LARGEST_REWARD)
        yield from _fault(huge, name, f"give it in units that keep it within ±{_LARGEST_REWARD:g}")
    if "reward" not in table.column_names:
        return
    (low, high), reward = limits, floats(table, "reward")
    outside = np.isfinite(reward) & ((reward < low) | (reward > high))
    yield from _fault(outside, "reward", f"outside the stated range [{low:g}, {high:g}]: correct it, or the range")


def _token_ids(table: pa.Table) -> Iterator[Offence]:
    """Rows with a token that has no id."""
    name = "token_ids"
    if name not in table.column_names or table[name].null_count == table.num_rows:
        return
    lists = table[name].combine_chunks()
    bad = np.zeros(table.num_rows, dtype=bool)
    bad[pc.list_parent_indices(lists).to_numpy()[np.asarray(lists.flatten().fill_null(-1)) < 0]] = True
    yield from _fault(bad, name, "give an id, 0 or more, for each token")


def _token_scores(table: pa.Table, one_model: bool) -> Iterator[Offence]:
    """Rows with a token that has no log-probability of its own: the faults of whole steps, in the token lists."""
    for model in SOURCES:
        name = f"token_logp_{model}"
        if name not in table.column_names or table[name].null_count == table.num_rows:
            continue
        lists = table[name].combine_chunks()
        values, row = lists.flatten(), pc.list_parent_indices(lists).to_numpy()
        logp = np.asarray(values.to_numpy(zero_copy_only=False), dtype=np.float64)
        drawn = _drawn_by(table, model)[row]
        # nobody weighs the draws of one model by a ratio: a token may lack its log-probability
        absent = np.asarray(values.is_null().to_numpy(zero_copy_only=False)) & one_model
        for bad, reason in (
            (
                np.isnan(logp) & ~absent | (logp > _ROUNDING),
                "give a log-probability in nats, at most 0, for each token",
            ),
            (np.isfinite(logp) & (logp < _LEAST_LOGP), f"no token is below {_LEAST_LOGP:g} nats: score it again"),
            (drawn & (logp == -np.inf), "the model drew this token, so it gave it mass: score it again"),
        ):
            rows = np.zeros(table.num_rows, dtype=bool)
            rows[row[bad]] = True
            yield from _fault(rows, name, reason)


def _temperatures(table: pa.Table) -> Iterator[Offence]:
    """Rows at a temperature that no law has, or at another than most: a pool has one."""
    name = "sampling_temperature"
    if name not in table.column_names:
        return
    column = floats(table, name)
    impossible = ~_nulls(table, name) & ~((column > 0) & (column < np.inf))
    yield from _fault(impossible, name, "give the temperature the candidates were sampled at, above 0")
    counted = table[name].value_counts()
    values, counts = counted.field("values"), counted.field("counts").to_numpy()
    if len(values) == 1:
        return
    common = values[int(counts.argmax())].as_py()
    null = _nulls(table, name)
    other = ~null if common is None else null | (column != common)
    yield from _fault(other, name, f"other rows have {common!r}: write one pool per temperature")


def _counts(table: pa.Table, one_model: bool) -> Iterator[Offence]:
    """Rows that stand for no draws, or in a pool for several."""
    if "count" in table.column_names:
        count = table["count"].fill_null(1).to_numpy()
        yield from _fault(count < 1, "count", "a row stands for at least 1 draw")
        if not one_model:
            yield from _fault(count > 1, "count", "logs of one model alone have counts: write one row a draw")


def _label_chances(table: pa.Table) -> Iterator[Offence]:
    """Rows whose label cannot have been bought by the chance they state, or that state none where labels are few."""
    name = "label_chance"
    if name not in table.column_names or table[name].null_count == table.num_rows:
        return
    null, chance = _nulls(table, name), floats(table, name)
    yield from _fault(~null & ~((chance > 0) & (chance <= 1)), name, "give a chance above 0 and at most 1")
    labels = (table[n].null_count for n in ("gold_reward", "correct") if n in table.column_names)
    if any(0 < absent < table.num_rows for absent in labels):
        yield from _fault(null, name, "give the chance that this draw's label was bought, also where it was not")


def _duplicates(table: pa.Table, place: Callable[[int], str], rows: RowOrder) -> Iterator[Offence]:
    candidate = table["candidate"].fill_null(-1).to_numpy()[rows.order].astype(np.int64)
    last = candidate
    if "count" in table.column_names:
        last = candidate + np.maximum(table["count"].fill_null(1).to_numpy()[rows.order], 1) - 1
    same = (rows.position[1:] == rows.position[:-1]) & (rows.source[1:] == rows.source[:-1])
    same &= candidate[1:] <= last[:-1]
    if not same.any():
        return
    # the sort is stable, so within a run of equal keys rows ascend: the one before is the earlier in the file.
    first = {int(rows.order[i + 1]): int(rows.order[i]) for i in np.flatnonzero(same)}
    again = np.array(sorted(first), dtype=np.int64)
    yield Offence(again, "candidate", lambda row: f"already used at {place(first[row])}: number the draws")


def offences(
    table: pa.Table,
    limits: Range,
    place: Callable[[int], str],
    rows: RowOrder | None = None,
    one_model: bool = False,
) -> list[Offence]:
    """Every fault of a table whose columns have SCHEMA's types, in the order in which a reader wants to hear of them.

    limits: the stated range of the reward; place(row) names a row in the words of its file; rows: the table's order,
    where it is known; one_model: whether it is a log of one model, with steps and sources filled in.
    """
    every: list[Offence] = []
    # a reward that some rows have all must have: who lacks it is for the one to say who imports
    needed = (*ONE_REQUIRED, "step", "source", "reward") if one_model else REQUIRED
    for name in (n for n in needed if n in table.column_names):
        every += _fault(_nulls(table, name), name, "required columns hold no nulls, fill it")
    sources = (ONE,) if one_model else SOURCES
    known = np.asarray(pc.is_in(table["source"], pa.array([*sources, None])).to_numpy())
    every += _fault(~known, "source", f"use one of {', '.join(sources)}")
    for name in ("step", "candidate"):
        every += _fault(table[name].fill_null(0).to_numpy() < 0, name, "count from 0")
    if "n_tokens" in table.column_names:
        every += _fault(table["n_tokens"].fill_null(0).to_numpy() < 0, "n_tokens", "a step has at least 0 tokens")
    every += _scores(table, limits)
    every += _token_ids(table)
    every += _token_scores(table, one_model)
    every += _counts(table, one_model)
    every += _temperatures(table)
    every += _label_chances(table)
    every += _duplicates(table, place, rows or row_order(table))
    return every
