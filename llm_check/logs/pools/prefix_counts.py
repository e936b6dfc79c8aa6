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

from gsi_theory.types import Flags, Floats, Ints
from llm_check.logs.pools.position_arrays import PositionArrays, dense_codes, pair_codes

__all__ = ["PrefixDraws", "step_draws", "token_draws"]


@dataclass(frozen=True)
class PrefixDraws:
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
    def first(self) -> Flags:
        """Whether the event drew what its node had not drawn before."""
        return self.seen_before == 0

    def at(self, chosen: Flags) -> PrefixDraws | None:
        """The chosen events (E,), whole nodes of them; None without any."""
        if not chosen.any():
            return None
        kind = dense_codes(self.kind[chosen])
        parts = self.node[chosen], kind, self.logp[chosen], self.seen_before[chosen], self.earlier[chosen]
        return PrefixDraws(*parts, self.spread, int(kind.size - np.unique(kind).size), self.level)


def _rank(groups: Ints) -> Ints:
    """Number of earlier equal entries, for each entry."""
    order = np.argsort(groups, kind="stable")
    ordered = groups[order]
    start = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    rank = np.empty(groups.size, dtype=np.int64)
    rank[order] = np.arange(groups.size) - np.repeat(start, np.diff(np.concatenate([start, [groups.size]])))
    return rank


def _collect(node: Ints, token: Ints, logp: Floats, level: str) -> PrefixDraws:
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
    return PrefixDraws(node, kind, smooth, _rank(kind), _rank(node), spread, repeats, level)


def token_draws(arrays: PositionArrays, source: str, model: str) -> PrefixDraws | None:
    """Tokens that `source` drew at shared prefixes, with the log-probabilities of `model`; None without token columns.

    Rows whose token lists differ in length are left out (another check reports them), as are those with infinities.
    """
    ids, logp = arrays.lists("token_ids"), arrays.lists(f"token_logp_{model}")
    if ids is None or logp is None:
        return None
    rows = np.flatnonzero((arrays.is_base == (source == "base")) & (ids.lengths == logp.lengths))
    lengths, live, node, shift = ids.lengths[rows], np.arange(rows.size), arrays.position[rows].copy(), 0
    events: list[tuple[Ints, Ints, Floats]] = []
    for depth in range(int(lengths.max(initial=0))):
        going = lengths[live] > depth
        live, node = live[going], node[going]
        _, inverse, counts = np.unique(node, return_inverse=True, return_counts=True)
        shared = counts[inverse.ravel()] >= 2
        live, node = live[shared], node[shared]
        if live.size == 0:
            break
        token = ids.values[ids.offsets[rows[live]] + depth].astype(np.int64)
        events.append((node + shift, token, logp.values[logp.offsets[rows[live]] + depth]))
        shift += int(node.max()) + 1
        node = pair_codes(node, token)
    if not events:
        return None
    nodes, tokens, logps = (np.concatenate(parts) for parts in zip(*events, strict=True))
    finite = np.isfinite(logps)
    return _collect(nodes[finite], tokens[finite], logps[finite], "token")


def step_draws(arrays: PositionArrays, source: str, model: str) -> PrefixDraws:
    """Whole steps that `source` drew, with the log-probabilities of `model`: one node for each position."""
    code, _ = arrays.same_steps
    rows = np.flatnonzero(arrays.is_base == (source == "base"))
    logp = arrays.floats(f"logp_{model}")[rows]
    finite = np.isfinite(logp)
    rows = rows[finite]
    return _collect(arrays.position[rows], code[rows], logp[finite], "step")
