"""How long may a step be (M44): the first t tokens of a draft are a draft of the t-token step.

So ρ_t = π_B(y_{≤t})/π_S(y_{≤t}), from the log-probabilities of tokens, gives χ², effective drafts, k̂, KL and the
largest usable n at every t from one pool of long steps. A step that ends early keeps its ratio; equal prefixes and
unfinished drafts stay: each is a draw. The reward stays that of the whole draft: what the prefix itself is worth,
a reward model says (`gsi pool --rescore REWARD --tokens T`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from gsi_theory.errors import InputError
from gsi_theory.samples.weight_coverage import effective_size
from gsi_theory.types import Floats, Ints, Json, Record
from llm_check.logs.pools.pool import Pool
from llm_check.logs.pools.position_arrays import PositionArrays
from llm_check.logs.pools.schema import FIELDS, SOURCES
from llm_check.logs.pools.supports import middle, support_cells, typical
from llm_check.logs.pools.tails import chi2_of, fitted_khat, pair_renyi2

__all__ = ["length_grid", "length_rows", "longest_prefix", "pool_at_length"]

LISTS = ("token_ids", *(f"token_logp_{source}" for source in SOURCES))


class _Lists(NamedTuple):
    """A list column in the table's order: values of all rows, where each begins, lengths."""

    values: Floats
    starts: Ints
    lengths: Ints


def _lists(table: pa.Table, name: str) -> _Lists | None:
    if name not in table.column_names or table[name].null_count == table.num_rows:
        return None
    lists = table[name].combine_chunks()
    lengths = lists.value_lengths().fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
    return _Lists(lists.flatten().to_numpy(zero_copy_only=False), np.cumsum(lengths) - lengths, lengths)


def _token_logs(pool: Pool) -> dict[str, _Lists]:
    """Token log-probabilities of both models. InputError where a row lacks some."""
    logs = {source: _lists(pool.table, f"token_logp_{source}") for source in SOURCES}
    missing = [f"token_logp_{source}" for source, lists in logs.items() if lists is None]
    if missing:
        raise InputError(f"the pool has no {' and no '.join(missing)}: log them, prefixes have no ratio without")
    draft, base = (lists for lists in logs.values() if lists is not None)
    apart = np.flatnonzero((draft.lengths != base.lengths) | (draft.lengths == 0))
    if apart.size:
        row = int(apart[0])
        raise InputError(
            f"row {row}: token_logp_draft of {draft.lengths[row]} and token_logp_base of {base.lengths[row]} tokens: "
            "log the step's own tokens under both models"
        )
    return {"draft": draft, "base": base}


def length_grid(pool: Pool) -> list[int]:
    """1, 2, 4, … tokens and the longest draft's. Raises InputError for a pool without token log-probabilities."""
    longest = int(_token_logs(pool)["draft"].lengths.max())
    return [*(1 << k for k in range((longest - 1).bit_length())), longest]


def pool_at_length(pool: Pool, tokens: int) -> Pool:
    """The pool of the first `tokens` tokens of every candidate: log-probabilities, lists and lengths of the prefix.

    Columns of the whole draft's text and answer are left out where it is cut; reward, gold_reward and correct stay the
    whole draft's. A cut row has finish_reason "stop": its step ends there. Raises InputError for tokens below 1, and
    for a pool without token log-probabilities of both models at every row.
    """
    if tokens < 1:
        raise InputError(f"tokens = {tokens}: give a length of 1 or more")
    table = pool.table
    logs = _token_logs(pool)
    kept = np.minimum(logs["draft"].lengths, tokens)
    cut = kept < logs["draft"].lengths
    columns: dict[str, pa.Array | pa.ChunkedArray] = {name: table[name] for name in table.column_names}
    for source, lists in logs.items():
        sums = np.add.reduceat(*_first(lists, kept, 0.0)) if kept.size else np.zeros(0)
        whole = table[f"logp_{source}"].to_numpy()
        columns[f"logp_{source}"] = pa.array(np.where(cut, sums, whole))
    for name in LISTS:
        found = _lists(table, name)
        if found is not None:
            values, starts = _first(found, np.minimum(found.lengths, tokens))
            ends = pa.array(np.r_[starts, values.size], type=pa.int32())
            columns[name] = pa.ListArray.from_arrays(ends, pa.array(values, type=FIELDS[name].type.value_type))
    columns["n_tokens"] = pa.array(kept, type=FIELDS["n_tokens"].type)
    if "finish_reason" in columns:
        reasons = [("stop" if c else r) for c, r in zip(cut.tolist(), table["finish_reason"].to_pylist(), strict=True)]
        columns["finish_reason"] = pa.array(reasons, type=pa.string())
    if cut.any():
        for name in ("text", "answer"):
            columns.pop(name, None)
    rows = pool.arrays  # the same rows in the same order
    arrays = PositionArrays(pa.table(columns), rows.order, rows.position, rows.is_base, rows.names)
    return Pool(arrays, pool.metadata | {"prefix_tokens": tokens}, pool.left_out)


def _first(lists: _Lists, kept: Ints, pad: Json = None) -> tuple[Floats, Ints]:
    """The first `kept` values of each row, one row after the other, and where each begins."""
    starts = np.cumsum(kept) - kept
    at = np.repeat(lists.starts - starts, kept) + np.arange(int(kept.sum()))
    return lists.values[at], starts


def length_rows(
    pool: Pool, betas: Sequence[float], lengths: Sequence[int] | None = None, wanted: int = 2
) -> list[Record]:
    """One entry a length (default: `length_grid`), DESIGN's "lengths" of `gsi doctor --lengths --json`.

    kl: KL(π_S‖π_B) of the step in nats, mean over positions; kl_base: KL(π_B‖π_S), null without base draws;
    median_log_ratio: over all drafts; chi2, ess: medians over positions, χ² the larger of both sources'; khat: of all
    drafts together, null where not fitted or most ratios are equal to others; n_max: the largest usable n at the first
    of `betas`, null where not even 2; beta: the largest of `betas` at which `wanted` are usable, null for none.
    Raises InputError as `pool_at_length`, `support_cells`.
    """
    return [_row(pool, tokens, betas, wanted) for tokens in lengths or length_grid(pool)]


def _row(pool: Pool, tokens: int, betas: Sequence[float], wanted: int) -> Record:
    prefix = pool_at_length(pool, tokens)
    arrays = prefix.arrays
    drafted: dict[int, Floats] = {}
    based: dict[int, Floats] = {}
    for at, position in enumerate(arrays.set_position.tolist()):
        part = arrays.log_ratio[arrays.starts[at] : arrays.starts[at + 1]].copy()
        (based if arrays.set_is_base[at] else drafted)[position] = part
    chi2 = [chi2_of(pair_renyi2(ratio, based.get(position))) for position, ratio in drafted.items()]
    ess = [effective_size(r) for r in drafted.values() if (r > -np.inf).any() and (r < np.inf).all()]
    every = np.concatenate([*drafted.values(), np.zeros(0)])
    usable = [cell.n for cell in support_cells(prefix, betas[:1]) if not cell.fault and cell.n >= 2]
    fitting = [cell.beta for cell in support_cells(prefix, betas, [wanted]) if not cell.fault]
    return {
        "tokens": tokens,
        "kl": -_mean(drafted) if drafted else None,
        "kl_base": _mean(based) if based else None,
        "median_log_ratio": float(np.median(every)) if drafted else None,
        "chi2": middle(chi2) if chi2 else None,
        "ess": typical(ess) if ess else None,
        "khat": _khat(every),
        "n_max": max(usable, default=None),
        "beta": max(fitting, default=None),
        "drafts": int(middle([ratio.size for ratio in drafted.values()])) if drafted else 0,
    }


def _mean(ratios: dict[int, Floats]) -> float:
    """Mean over positions of the mean log-ratio."""
    return float(np.mean([ratio.mean() for ratio in ratios.values()]))


def _khat(drafts: Floats) -> float | None:
    """k̂ where at least half of the ratios are different ones: ties have no tail to fit."""
    if np.unique(np.round(drafts, 9)).size < 0.5 * drafts.size or not (drafts < np.inf).all():
        return None
    with np.errstate(all="ignore"):
        return fitted_khat(drafts)


def longest_prefix(pool: Pool, beta: float, n: int) -> int | None:
    """Tokens of the longest prefix of `length_grid` at which n candidates may be used at beta; None for none."""
    for tokens in reversed(length_grid(pool)):
        cells = support_cells(pool_at_length(pool, tokens), [beta], [n])
        if cells and not cells[0].fault:
            return tokens
    return None
