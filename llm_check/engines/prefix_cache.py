"""Tensor level of the transformers engine: a key-value cache held as plain tensors, grown, gathered, never mutated.

A `PrefixCache` holds R rows. Row i has encoded some tokens, at the columns where `mask[i]` is true: left padding and
the holes that ragged steps leave are false columns, never attended to, and positions are always given explicitly, so
neither moves a log-probability. `log_probs[i]` (float64, nats) is the law of the next token: nothing is recomputed
to score or sample the first token of a step.

`DynamicCache` of transformers v5 grows and repeats in place, so each forward gets a fresh one around our tensors,
which it replaces (torch.cat) rather than writes to; a cache is therefore safe to share between calls.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers.cache_utils import DynamicCache, DynamicLayer

__all__ = [
    "Chooser",
    "PrefixCache",
    "choose_tokens",
    "descend",
    "empty_cache",
    "forward",
    "gather_rows",
    "grow",
    "score_rows",
]

# A float64 block of this many numbers is 256 MiB: the bound on any (rows, vocabulary) temporary.
_BLOCK = 1 << 25

# choose(depth, candidates, node of each candidate, log_probs of the nodes (U, V)) -> (tokens, which go on)
Chooser = Callable[[int, NDArray[np.int64], NDArray[np.int64], Tensor], tuple[NDArray[np.int64], NDArray[np.bool_]]]


@dataclass(frozen=True)
class PrefixCache:
    """R encoded prefixes: per layer keys and values (R, heads, L, head_dim), `mask` (R, L), `lengths` (R,) tokens
    encoded (= position of the next token), `log_probs` (R, V) float64 nats of the next token."""

    layers: tuple[tuple[Tensor, Tensor], ...]
    mask: Tensor
    lengths: Tensor
    log_probs: Tensor

    @property
    def rows(self) -> int:
        """Number of prefixes."""
        return int(self.mask.shape[0])


def empty_cache(rows: int, vocabulary: int, device: torch.device) -> PrefixCache:
    """A cache of `rows` prefixes of no tokens; its `log_probs` mean nothing until it is grown."""
    return PrefixCache(
        (),
        torch.zeros((rows, 0), dtype=torch.bool, device=device),
        torch.zeros(rows, dtype=torch.int64, device=device),
        torch.zeros((rows, vocabulary), dtype=torch.float64, device=device),
    )


def gather_rows(cache: PrefixCache, rows: Tensor, compact: bool = False) -> PrefixCache:
    """The rows `rows` (repeats allowed) as a cache of their own; `compact` drops columns that no row attends to."""
    mask = cache.mask.index_select(0, rows)
    layers = tuple((k.index_select(0, rows), v.index_select(0, rows)) for k, v in cache.layers)
    if compact and not bool((used := mask.any(dim=0)).all()):
        columns = used.nonzero()[:, 0]
        mask = mask.index_select(1, columns)
        layers = tuple((k.index_select(2, columns), v.index_select(2, columns)) for k, v in layers)
    return PrefixCache(layers, mask, cache.lengths.index_select(0, rows), cache.log_probs.index_select(0, rows))


def forward(model: Any, cache: PrefixCache, tokens: Tensor, valid: Tensor, keep: int) -> tuple[Tensor, Any]:
    """Logits (R, keep or T, V) of `tokens` (R, T) after `cache`, and the grown cache; `valid` marks real tokens."""
    rows, width = tokens.shape
    past = DynamicCache()
    for keys, values in cache.layers:
        layer = DynamicLayer()
        layer.lazy_initialization(keys, values)
        layer.keys, layer.values = keys, values
        past.layers.append(layer)
    positions = (cache.lengths[:, None] + valid.cumsum(dim=1) - 1).clamp_min(0)
    own = torch.ones((width, width), dtype=torch.bool, device=tokens.device).tril()
    # A padded query keeps itself: a row of the mask without a true entry would make softmax return NaN.
    new = (own & valid[:, None, :]) | torch.eye(width, dtype=torch.bool, device=tokens.device)
    mask = torch.cat([cache.mask[:, None, :].expand(rows, width, -1), new], dim=2)[:, None]
    out = model(
        input_ids=tokens,
        attention_mask=mask,
        position_ids=positions,
        past_key_values=past,
        use_cache=True,
        logits_to_keep=keep,
    )
    return out.logits, out.past_key_values


@torch.inference_mode()
def grow(model: Any, cache: PrefixCache, tokens: Tensor, valid: Tensor) -> PrefixCache:
    """`cache` with `tokens` (R, T) encoded after it; `valid` (R, T) is false on padding, which must be at the left."""
    logits, past = forward(model, cache, tokens, valid, keep=1)
    return PrefixCache(
        tuple((layer.keys, layer.values) for layer in past.layers),
        torch.cat([cache.mask, valid], dim=1),
        cache.lengths + valid.sum(dim=1),
        torch.log_softmax(logits[:, -1].double(), dim=-1),
    )


def _gathered_log_softmax(logits: Tensor, tokens: Tensor) -> Tensor:
    """float64 log-softmax of `logits` (M, V) at `tokens` (M,), in blocks of bounded memory."""
    block = max(1, _BLOCK // logits.shape[-1])
    parts = []
    for part, ids in zip(logits.split(block), tokens.split(block), strict=True):
        wide = part.double()
        parts.append(wide.gather(1, ids[:, None])[:, 0] - torch.logsumexp(wide, dim=1))
    return torch.cat(parts)


@torch.inference_mode()
def score_rows(model: Any, cache: PrefixCache, rows: Tensor, tokens: Tensor, valid: Tensor) -> Tensor:
    """Log-probabilities (M, T) of the steps `tokens` (M, T), right-padded, step i after prefix `rows[i]`.

    The first token is read off the cache; the others take one forward of all but the last step token.
    """
    first = cache.log_probs[rows, tokens[:, 0]][:, None]
    if tokens.shape[1] == 1:
        return first * valid
    logits, _ = forward(model, gather_rows(cache, rows), tokens[:, :-1], valid[:, :-1], keep=0)
    rest = _gathered_log_softmax(logits.flatten(0, 1), tokens[:, 1:].flatten()).view(len(rows), -1)
    return torch.where(valid, torch.cat([first, rest], dim=1), 0.0)


def choose_tokens(
    log_probs: Tensor, node: NDArray[np.int64], uniforms: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Inverse-CDF draws: candidate i, at node `node[i]`, takes the first token whose float64 CDF exceeds
    `uniforms[i]` in [0, 1). Returns tokens and their log-probabilities (nats). A token of mass zero is never drawn."""
    cdf = log_probs.exp().cumsum(dim=1)
    cdf = cdf / cdf[:, -1:]
    block = max(1, _BLOCK // log_probs.shape[1])
    tokens, logp = [], []
    for start in range(0, len(node), block):
        at = torch.as_tensor(node[start : start + block], device=log_probs.device)
        u = torch.as_tensor(uniforms[start : start + block], device=log_probs.device)
        drawn = torch.searchsorted(cdf[at], u[:, None], right=True)[:, 0]
        tokens.append(drawn.cpu().numpy())
        logp.append(log_probs[at, drawn].cpu().numpy())
    return np.concatenate(tokens), np.concatenate(logp)


@torch.inference_mode()
def descend(model: Any, cache: PrefixCache, row_of: NDArray[np.int64], choose: Chooser, max_rows: int) -> None:
    """Walk many candidates (candidate i starts at prefix `row_of[i]`) down the trie of their tokens.

    At each depth `choose` gives every candidate its token; candidates that agree so far are one node, and only
    distinct nodes are encoded, at most `max_rows` in a forward. Depth first over such groups, so that memory is
    bounded by depth times `max_rows` rows of cache whatever the number of candidates.
    """
    stack = [(0, cache, np.arange(len(row_of)), row_of)]
    while stack:
        depth, at, candidates, node = stack.pop()
        tokens, goes_on = choose(depth, candidates, node, at.log_probs)
        if not goes_on.any():
            continue
        width = at.log_probs.shape[1]
        keys, child = np.unique(node[goes_on] * width + tokens[goes_on], return_inverse=True)
        candidates = candidates[goes_on]
        for start in range(0, len(keys), max_rows):
            part = keys[start : start + max_rows]
            parents = torch.as_tensor(part // width, device=at.mask.device)
            ids = torch.as_tensor(part % width, device=at.mask.device)[:, None]
            inside = (child >= start) & (child < start + max_rows)
            grown = grow(model, gather_rows(at, parents), ids, torch.ones_like(ids, dtype=torch.bool))
            stack.append((depth + 1, grown, candidates[inside], child[inside] - start))
