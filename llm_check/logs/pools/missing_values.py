"""Rewards and grades that failed to come, by a stated choice: leave the row out, take the worst, leave the prompt out.

None of them is right: rows whose reward fails are not like the others. The choice, and how many rows it met, is
recorded with the file.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gsi_theory.errors import InputError
from gsi_theory.types import Flags, Record

__all__ = ["MISSING", "lacks_rewards", "under_each", "without_missing"]

Answer = TypeVar("Answer")
MISSING = ("drop-row", "worst", "drop-prompt")


def without_missing(
    table: pa.Table, choice: str | None, worst: float | None, place: Callable[[int], str]
) -> tuple[pa.Table, Flags, Record]:
    """(the rows that stay, which they are, what was done; empty: nothing was missing).

    choice: one of MISSING, or None where none was stated; worst: the lowest reward there can be (None: the lowest in
    the table). A missing grade (`correct`) is treated the same once a choice is stated, else it stays null: not graded;
    so it does where grades were bought by a `label_chance`.
    Raises InputError, naming the first, for a missing reward without a choice, and where nothing is left.
    """
    bad = np.zeros(table.num_rows, dtype=bool)
    kinds = ("reward",) if _bought(table) else ("reward", "correct")
    names = [n for n in kinds if n in table.column_names and 0 < table[n].null_count < table.num_rows]
    record: Record = {"choice": choice, **{name: table[name].null_count for name in names}}
    if not names:
        return table, ~bad, {}
    if choice is None and "reward" in names:
        first = int(np.flatnonzero(table["reward"].is_null().to_numpy())[0])
        raise InputError(
            f"{place(first)}, reward = null: {record['reward']:,} of {table.num_rows:,} rows lack it; "
            f"choose --missing {', '.join(MISSING[:-1])} or {MISSING[-1]}"
        )
    if choice is None:
        return table, ~bad, record
    if choice == "worst":
        for name in names:
            low = False if name == "correct" else pc.min(table[name]).as_py() if worst is None else worst
            table = table.set_column(table.column_names.index(name), name, table[name].fill_null(low))
            record |= {} if name == "correct" else {"worst": low}
        return table, ~bad, record
    for name in names:
        bad |= table[name].is_null().to_numpy()
    if choice == "drop-prompt":
        gone = table["prompt_id"].filter(pa.array(bad)).unique()
        record["prompts"] = len(gone)
        bad = np.asarray(pc.is_in(table["prompt_id"], gone).to_numpy())
    record["rows"] = int(bad.sum())
    if bad.all():
        raise InputError(f"--missing {choice} leaves no row: choose another")
    return table.filter(pa.array(~bad)), ~bad, record


def _bought(table: pa.Table) -> bool:
    return "label_chance" in table.column_names and table["label_chance"].null_count < table.num_rows


def lacks_rewards(left_out: Record) -> bool:
    """Whether rows were left out (`Pool.left_out_record`) because their reward is null."""
    return any(fault["field"] == "reward" and fault["value"] is None for fault in left_out["faults"])


def under_each(answer: Callable[[str], Answer]) -> dict[str, Answer]:
    """The answer under each choice of MISSING, but those that leave nothing to answer from."""
    answers = {}
    for choice in MISSING:
        with suppress(InputError):
            answers[choice] = answer(choice)
    return answers
