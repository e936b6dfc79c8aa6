"""Draws at shared prefixes: the events that the token self-check (M34) judges.

Candidates of one position share their prefix, so the tokens that follow any prefix that several of them share are iid
draws from one law, whose probabilities the log reports. Events are grouped by node, a prefix of one position, and
ordered within a node by candidate; event i of a node saw the i events before it. Where a pool has no token
log-probabilities a whole step is the one token of the position's node: repeated short steps serve in the same way.

Arrays are (E,) over events at nodes with at least two.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from gsi_theory.types import Floats, Ints
from llm_check.logs.pools.position_arrays import PositionArrays, pair_codes, same_text_codes

__all__ = ["Draws", "step_draws", "token_draws", "token_lists"]


@dataclass(frozen=True)
class Draws:
    """node (E,) sorted; kind (E,) dense code of (node, token); logp (E,) of the token, the mean over its node's events.

    seen_before (E,): times the kind was drawn before at its node; earlier (E,): events before at its node.
    spread: pooled standard deviation, within a kind, of the logged log-probability: 0 for a log without noise;
    repeats: events it was computed from (those beyond the first of each kind). level: "token" or "step".
    """

    node: Ints
    kind: Ints
    logp: Floats
    seen_before: Ints
    earlier: Ints
    spread: float
    repeats: int
    level: str

    @property
    def first(self) -> NDArray[np.bool_]:
        """Whether the event drew what its node had not drawn before."""
        return self.seen_before == 0

    def at(self, chosen: NDArray[np.bool_]) -> Draws | None:
        """The chosen events (E,), whole nodes of them; None without any."""
        if not chosen.any():
            return None
        kind = np.unique(self.kind[chosen], return_inverse=True)[1].ravel().astype(np.int64)
        parts = self.node[chosen], kind, self.logp[chosen], self.seen_before[chosen], self.earlier[chosen]
        return Draws(*parts, self.spread, int(kind.size - np.unique(kind).size), self.level)


def _rank(groups: Ints) -> Ints:
    """Number of earlier equal entries, for each entry."""
    order = np.argsort(groups, kind="stable")
    ordered = groups[order]
    start = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    rank = np.empty(groups.size, dtype=np.int64)
    rank[order] = np.arange(groups.size) - np.repeat(start, np.diff(np.concatenate([start, [groups.size]])))
    return rank


def _collect(node: Ints, token: Ints, logp: Floats, level: str) -> Draws:
    """Draws from events in the order of candidate; nodes visited once are left out."""
    _, inverse, counts = np.unique(node, return_inverse=True, return_counts=True)
    keep = np.flatnonzero(counts[inverse.ravel()] >= 2)
    order = keep[np.argsort(node[keep], kind="stable")]
    node, token, logp = node[order], token[order], logp[order]
    kind = pair_codes(node, token) if node.size else node
    size = np.bincount(kind) if node.size else np.zeros(0)
    mean = np.bincount(kind, weights=logp) / np.maximum(size, 1) if node.size else np.zeros(0)
    deviations = logp - mean[kind] if node.size else logp
    repeats = int(node.size - size.size)
    spread = float(np.sqrt(np.sum(deviations**2) / repeats)) if repeats else 0.0
    smooth = mean[kind] if node.size else logp
    return Draws(node, kind, smooth, _rank(kind), _rank(node), spread, repeats, level)


def token_lists(arrays: PositionArrays, rows: Ints, name: str) -> tuple[NDArray[np.float64], Ints] | None:
    """(values of all rows' lists in a row, their lengths) of a list column, None when the pool lacks it."""
    if not arrays.has(name):
        return None
    lists = arrays.column(name).combine_chunks().take(rows)
    lengths = np.asarray(pc.list_value_length(lists).fill_null(0).to_numpy(zero_copy_only=False), dtype=np.int64)
    return np.asarray(lists.flatten().to_numpy(zero_copy_only=False), dtype=np.float64), lengths


def token_draws(arrays: PositionArrays, source: str, model: str) -> Draws | None:
    """Tokens that `source` drew at shared prefixes, with the log-probabilities of `model`; None without token columns.

    Rows whose token lists differ in length are left out (another check reports them), as are those with infinities.
    """
    rows = np.flatnonzero(arrays.is_base == (source == "base"))
    ids, logp = (token_lists(arrays, rows, name) for name in ("token_ids", f"token_logp_{model}"))
    if ids is None or logp is None:
        return None
    same = ids[1] == logp[1]
    if not same.all():
        keep_ids, keep_logp = np.repeat(same, ids[1]), np.repeat(same, logp[1])
        lengths = ids[1][same]
        tokens, values, rows = ids[0][keep_ids], logp[0][keep_logp], rows[same]
    else:
        tokens, values, lengths = ids[0], logp[0], ids[1]
    if lengths.size == 0:
        return None
    tokens = tokens.astype(np.int64)
    offsets = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    live, node, base = np.arange(rows.size), arrays.position[rows].copy(), 0
    nodes, drawn, logps = [], [], []
    for depth in range(int(lengths.max())):
        going = lengths[live] > depth
        live, node = live[going], node[going]
        _, inverse, counts = np.unique(node, return_inverse=True, return_counts=True)
        shared = counts[inverse.ravel()] >= 2
        live, node = live[shared], node[shared]
        if live.size == 0:
            break
        at = offsets[live] + depth
        nodes.append(node + base)
        drawn.append(tokens[at])
        logps.append(values[at])
        base += int(node.max()) + 1
        node = pair_codes(node, tokens[at])
    if not nodes:
        return None
    found = [np.concatenate(parts) for parts in (nodes, drawn, logps)]
    finite = np.isfinite(found[2])
    return _collect(found[0][finite], found[1][finite], found[2][finite], "token")


def step_draws(arrays: PositionArrays, source: str, model: str) -> Draws:
    """Whole steps that `source` drew, with the log-probabilities of `model`: one node for each position."""
    code, _ = same_text_codes(arrays)
    rows = np.flatnonzero(arrays.is_base == (source == "base"))
    logp = arrays.floats(f"logp_{model}")[rows]
    finite = np.isfinite(logp)
    rows = rows[finite]
    return _collect(arrays.position[rows], code[rows], logp[finite], "step")
