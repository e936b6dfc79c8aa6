"""Prefixes of a transformers model: keys and values encoded once, kept from step to step, shared by all candidates.

A `PrefixCache` holds R rows. Tokens that were given but not yet encoded are `pending`: they are encoded together with
the first candidates that need them, so that growing a prefix and scoring after it take one forward. Encoded tokens are
the columns where `mask` is true; left padding and the holes of ragged steps are false columns, never attended to, and
positions are always given explicitly, so neither moves a log-probability.

The buffer's columns beyond the encoded ones are scratch for candidates. A row's encoded columns never change: a longer
prefix copies them into a buffer of its own, so caches are safe to share. Masks and positions live on the host (NumPy).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from llm_check.models.engines.forward import Forward

__all__ = ["PrefixCache", "empty_cache", "encode", "extended", "selected"]


@dataclass
class PrefixCache:
    """R prefixes.

    forward: the model that encodes
    kv: keys and values (layers, 2, R, K, capacity, D)
    owned: whether the scratch columns of `kv` are this cache's own
    mask: encoded columns that a row attends to (R, L)
    lengths: tokens given, pending ones included (R,)
    pending, real: tokens not yet encoded, padded at the left, and which of them are tokens (R, P)
    root: logits of the next token (R, V); None until the pending tokens are encoded
    """

    forward: Forward
    kv: Tensor
    owned: bool
    mask: NDArray[np.bool_]
    lengths: NDArray[np.int64]
    pending: NDArray[np.int64]
    real: NDArray[np.bool_]
    root: Tensor | None = None

    @property
    def rows(self) -> int:
        """Number of prefixes."""
        return len(self.lengths)

    @property
    def logits(self) -> Tensor:
        """Logits (R, V) of the next token."""
        if self.root is None:
            encode(self, None, None, None, 0)
        assert self.root is not None
        return self.root

    def reserve(self, columns: int) -> None:
        """Make room for `columns` beyond those encoded, in a buffer whose scratch is this cache's own."""
        used = self.mask.shape[1]
        capacity = self.kv.shape[4]
        if self.owned and capacity >= used + columns:
            return
        if self.owned:  # it grew while in use: leave room for more
            columns = max(columns, 2 * (capacity - used))
        kv = self.forward.buffer(self.rows, used + columns)
        kv[..., :used, :] = self.kv[..., :used, :]
        self.kv, self.owned = kv, True


def empty_cache(forward: Forward, rows: int) -> PrefixCache:
    """A cache of `rows` prefixes of no tokens; extend it before use."""
    return PrefixCache(
        forward,
        forward.buffer(rows, 0),
        True,
        np.zeros((rows, 0), bool),
        np.zeros(rows, np.int64),
        np.zeros((rows, 0), np.int64),
        np.zeros((rows, 0), bool),
    )


def extended(cache: PrefixCache, tokens: NDArray[np.int64], real: NDArray[np.bool_]) -> PrefixCache:
    """`cache` with `tokens` (R, P) after it, where `real`; padding must be at the left. Nothing is computed yet, unless
    the cache still has pending tokens of its own."""
    if cache.pending.shape[1]:
        _ = cache.logits
    lengths = cache.lengths + real.sum(axis=1)
    return PrefixCache(cache.forward, cache.kv, False, cache.mask, lengths, tokens, real)


def selected(cache: PrefixCache, rows: NDArray[np.int64]) -> PrefixCache:
    """The rows `rows` (repeats allowed) as a cache of their own, without columns that no row attends to."""
    mask = cache.mask[rows]
    used = np.asarray(mask.any(axis=0))
    if np.array_equal(rows, np.arange(cache.rows)) and used.all():
        kv = cache.kv
    else:
        kv = cache.kv[..., : len(used), :].index_select(2, torch.from_numpy(rows).to(cache.kv.device))
        if not used.all():
            kv = kv.index_select(4, torch.from_numpy(np.flatnonzero(used)).to(kv.device))
    root = None if cache.root is None else cache.root[torch.from_numpy(rows).to(cache.root.device)]
    return PrefixCache(
        cache.forward, kv, False, mask[:, used], cache.lengths[rows], cache.pending[rows], cache.real[rows], root
    )


def _seen(cache: PrefixCache, sees: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
    """What the P pending tokens and N nodes see (R, P + N, L + P + W) of the encoded tokens, the pending ones and the
    tree's W columns; `sees` (R, N, W). A padded token sees itself: softmax over nothing would be NaN."""
    used, pending = cache.mask.shape[1], cache.pending.shape[1]
    nodes, width = (0, 0) if sees is None else sees.shape[1:]
    seen = np.zeros((cache.rows, pending + nodes, used + pending + width), dtype=bool)
    seen[:, :, :used] = cache.mask[:, None]
    if pending:
        own = seen[:, :pending, used : used + pending]
        own[:] = np.tri(pending, dtype=bool) & cache.real[:, None]
        own[:, np.arange(pending), np.arange(pending)] = True
        seen[:, pending:, used : used + pending] = cache.real[:, None]
    if sees is not None:
        seen[:, pending:, used + pending :] = sees
    return seen


@torch.inference_mode()
def encode(
    cache: PrefixCache,
    tokens: NDArray[np.int64] | None,
    depth: NDArray[np.int64] | None,
    sees: NDArray[np.bool_] | None,
    room: int,
    head: bool = True,
) -> Tensor:
    """Encode the pending tokens, and the tree nodes `tokens` (R, N) at `depth` (R, N) after the prefix; returns
    features of the nodes (R, N, ...), hidden states if not `head`, to be read by `Forward.logits`.

    `sees` (R, N, W): the columns of the tree each node sees, its own among the last N of them; earlier nodes' columns
    are those that earlier calls wrote. `room`: columns the tree may need in all, at least W.
    """
    forward = cache.forward
    used, pending = cache.mask.shape[1], cache.pending.shape[1]
    nodes, width = (0, 0) if sees is None else sees.shape[1:]
    cache.reserve(pending + max(room, width))
    before = cache.lengths - cache.real.sum(axis=1)
    positions = before[:, None] + np.maximum(np.cumsum(cache.real, axis=1) - 1, 0)
    ids = cache.pending
    if tokens is not None and depth is not None:
        # Missing nodes of a short row may lie beyond the context; nobody sees them.
        below = np.minimum(cache.lengths[:, None] + depth, forward.context - 1)
        positions, ids = np.concatenate([positions, below], axis=1), np.concatenate([ids, tokens], axis=1)
    seen = torch.from_numpy(_seen(cache, sees)).to(forward.device)[:, None]
    bias = torch.zeros(seen.shape, dtype=forward.dtype, device=forward.device).masked_fill_(~seen, -torch.inf)
    keep = nodes + (pending > 0)
    given = (
        torch.from_numpy(ids).to(forward.device),
        torch.from_numpy(positions).to(forward.device),
        bias,
    )
    at = used + width - nodes  # the tree's earlier columns come first; there are none while tokens are pending
    read = forward.features(*given, cache.kv, at, keep) if head else forward.hidden(*given, cache.kv, at)
    features = read[:, -keep:]
    if pending:
        cache.mask = np.concatenate([cache.mask, cache.real], axis=1)
        cache.pending, cache.real = cache.pending[:, :0], cache.real[:, :0]
        cache.root = forward.logits(features[:, 0]) if head else features[:, 0]
        features = features[:, 1:]
    return features
