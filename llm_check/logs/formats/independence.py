"""Signs in a log that its draws are not independent: n-best lists, and prompts drawn until one draw was right (M48).

Both are told by an order that independent draws have with a probability below one in a million, so a log of few prompts
shows nothing, and what shows nothing may still be dependent.
"""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.special import gammaln

from gsi_theory.types import Floats, Ints
from llm_check.logs.pools.position_arrays import row_order

__all__ = ["sign_of_dependence"]

_EVIDENCE = math.log(1e6)


def _sets(table: pa.Table) -> tuple[Ints, Ints]:
    """(rows by position, source and candidate; where each set of draws begins, and the number of rows)."""
    rows = row_order(table)
    change = np.flatnonzero(np.diff(rows.position) | np.diff(rows.source)) + 1
    return rows.order, np.concatenate([[0], change, [rows.order.size]]).astype(np.int64)


def _is_sorted(values: Floats, starts: Ints) -> bool:
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
    return bool(arrangements > _EVIDENCE)


def _stopped_at_success(correct: Floats, starts: Ints) -> bool:
    """Whether sets differ in size and no success stands before the last batch of its set, where that is no chance.

    A batch is the greatest common divisor b of the sizes; of sets of fixed size N with c successes, all stand in the
    last b with probability C(b, c)/C(N, c).
    """
    sizes = np.diff(starts)
    if sizes.min() == sizes.max() or np.isnan(correct).any():
        return False
    batch = int(np.gcd.reduce(sizes))
    hits = np.add.reduceat(correct, starts[:-1])
    early = np.arange(correct.size) < np.repeat(starts[1:] - batch, sizes)
    if (correct * early).any() or ((hits == 0) & (sizes < sizes.max())).any():
        return False
    log_chance = (
        gammaln(batch + 1) - gammaln(batch - hits + 1) - gammaln(sizes + 1) + gammaln(np.maximum(sizes - hits, 0) + 1)
    )
    return bool(-log_chance.sum() > _EVIDENCE)


def sign_of_dependence(table: pa.Table) -> str | None:
    """How the draws of a log depend on each other, in words; None where nothing shows it."""
    if "count" in table.column_names and table["count"].null_count < table.num_rows:
        return None
    order, starts = _sets(table)
    columns = {
        name: np.asarray(table[name].cast(pa.float64()).to_numpy(), dtype=np.float64)[order]
        for name in ("logp_draft", "reward", "correct")
        if name in table.column_names
    }
    if "logp_draft" in columns and "logp_base" in table.column_names:  # each row's under the model that drew it
        by_base = np.asarray(pc.equal(table["source"], "base").to_numpy())[order]
        columns["logp_draft"] = np.where(by_base, table["logp_base"].to_numpy()[order], columns["logp_draft"])
    for name in ("logp_draft", "reward"):
        grade = name == "reward" and name in columns and np.isin(columns[name], (0.0, 1.0)).all()
        if name in columns and not grade and _is_sorted(columns[name], starts):
            return f"an n-best list: the candidates of every prompt are sorted by {name}"
    # a reward of 0 and 1 is a grade
    grades = [values for name, values in columns.items() if name != "logp_draft" and np.isin(values, (0.0, 1.0)).all()]
    if any(_stopped_at_success(values, starts) for values in grades):
        return "prompts were drawn until a draw was right: successes stand in the last batch alone (M48)"
    return None
