"""Signs in a log that its draws are not independent: n-best lists, and prompts drawn until one draw was right (M48).

Both are told by an order that independent draws have with a probability below one in a million, so a log of few prompts
shows nothing, and what shows nothing may still be dependent.
"""

from __future__ import annotations

import math
from typing import NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.special import gammaln
from scipy.stats import hypergeom

from gsi_theory.types import Floats, Ints
from llm_check.logs.pools.position_arrays import row_order

__all__ = ["sign_of_dependence", "sorted_by", "stopped_by"]

_EVIDENCE = math.log(1e6)


# rows by position, source and candidate; where each set of draws begins, and the number of rows
Sets: TypeAlias = tuple[Ints, Ints]


def _sets(table: pa.Table) -> Sets:
    rows = row_order(table)
    change = np.flatnonzero(np.diff(rows.position) | np.diff(rows.source)) + 1
    return rows.order, np.concatenate([[0], change, [rows.order.size]]).astype(np.int64)


def _is_sorted(values: Floats, starts: Ints, evidence: float) -> bool:
    """Whether every set descends, where that is no chance: Σ log(N! / Π ties!) over the sets."""
    if not np.isfinite(values).all():
        return False
    steps = np.diff(values)
    inner = np.ones(steps.size, dtype=bool)
    inner[starts[1:-1] - 1] = False
    if (steps[inner] > 0).any():
        return False
    runs = np.flatnonzero(np.concatenate([[True], ~inner | (steps != 0)]))
    ties = np.diff(np.concatenate([runs, [values.size]]))
    arrangements = gammaln(np.diff(starts) + 1).sum() - gammaln(ties + 1).sum()
    return bool(arrangements > evidence)


def _stopped_at_success(correct: Floats, starts: Ints, evidence: float) -> bool:
    """Whether sets differ in size and each ended with the batch that held its s-th success, where that is no chance.

    A batch is the greatest common divisor b of the sizes, s is 1, or the fewest successes of a set below the largest
    size. Of N draws with c successes, at most s − 1 stand before the last b with a hypergeometric chance.
    """
    sizes = np.diff(starts)
    if sizes.min() == sizes.max() or np.isnan(correct).any():
        return False
    batch = int(np.gcd.reduce(sizes))
    early = np.arange(correct.size) < np.repeat(starts[1:] - batch, sizes)
    hits, before = (np.add.reduceat(values, starts[:-1]) for values in (correct, correct * early))
    fewest = int(hits[sizes < sizes.max()].min())
    wanted = 1 if not before.any() else fewest
    if fewest < 1 or (before >= wanted).any():
        return False
    log_chance = hypergeom.logcdf(wanted - 1, sizes, hits.astype(np.int64), sizes - batch)
    return bool(-log_chance.sum() > evidence)


def _stopped_at_level(value: Floats, starts: Ints, evidence: float) -> bool:
    """The same of a reward: every set below the largest size has its largest value in its last batch, and no set
    exceeds before it what ended the others; by chance it stands there in b of N sets."""
    sizes = np.diff(starts)
    if sizes.min() == sizes.max() or np.isnan(value).any():
        return False
    batch = int(np.gcd.reduce(sizes))
    early = np.arange(value.size) < np.repeat(starts[1:] - batch, sizes)
    last, before = (np.maximum.reduceat(np.where(at, value, -np.inf), starts[:-1]) for at in (~early, early))
    ended = sizes < sizes.max()
    if (before >= last[ended].min()).any():
        return False
    return bool(np.log(sizes[ended] / batch).sum() > evidence)


class _Columns(NamedTuple):
    """Columns of a log by name, each (R,), rows by set; starts: where each set begins, and the number of rows."""

    values: dict[str, Floats]
    starts: Ints


def _columns(table: pa.Table, sets: Sets | None) -> _Columns | None:
    """The columns that tell an order; None where rows stand for several draws."""
    if "count" in table.column_names and pc.max(table["count"]).as_py() not in (None, 1):
        return None
    order, starts = sets or _sets(table)
    columns = {
        name: np.asarray(table[name].cast(pa.float64()).to_numpy(), dtype=np.float64)[order]
        for name in ("logp_draft", "reward", "correct")
        if name in table.column_names
    }
    if "logp_draft" in columns and "logp_base" in table.column_names:  # each row's under the model that drew it
        by_base = np.asarray(pc.equal(table["source"], "base").to_numpy())[order]
        columns["logp_draft"] = np.where(by_base, table["logp_base"].to_numpy()[order], columns["logp_draft"])
    return _Columns(columns, starts)


def sorted_by(table: pa.Table, evidence: float, sets: Sets | None = None) -> str | None:
    """The column, "logp_draft" (of each row's own model) or "reward", by which the candidates of every prompt are
    sorted; None for none. evidence: nats of surprise, less the log of a chance that an order has; sets: where known."""
    columns = _columns(table, sets)
    for name in ("logp_draft", "reward") if columns else ():
        values = columns.values.get(name) if columns else None
        if (
            columns
            and values is not None
            and not _is_grade(name, values)
            and _is_sorted(values, columns.starts, evidence)
        ):
            return name
    return None


def _is_grade(name: str, values: Floats) -> bool:
    """Whether a column says right or wrong; a reward of 0 and 1 does."""
    return name != "logp_draft" and bool(np.isin(values, (0.0, 1.0)).all())


def stopped_by(table: pa.Table, evidence: float, levels: bool = False, sets: Sets | None = None) -> str | None:
    """The column, "correct" or "reward", whose success ended the draws of every prompt (M48); None for none. levels:
    also by a reward that reached some level; sets: where known."""
    columns = _columns(table, sets)
    if columns is None:
        return None
    for name in ("correct", "reward"):
        values = columns.values.get(name)
        if values is None:
            continue
        if _is_grade(name, values):
            if _stopped_at_success(values, columns.starts, evidence):
                return name
        elif levels and _stopped_at_level(values, columns.starts, evidence):
            return name
    return None


def sign_of_dependence(table: pa.Table) -> str | None:
    """How the draws of a log depend on each other, in words; None where nothing shows it."""
    if (name := sorted_by(table, _EVIDENCE)) is not None:
        return f"an n-best list: the candidates of every prompt are sorted by {name}"
    if stopped_by(table, _EVIDENCE) is not None:
        return "prompts were drawn until a draw was right: successes stand in the last batch alone (M48)"
    return None
