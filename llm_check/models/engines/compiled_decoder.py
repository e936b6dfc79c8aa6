"""The lean forward as one compiled loop, for small models in float32 on a CPU: their time goes to starting operations,
not to arithmetic, and here one call does them all (BLAS for the matrices, loops for the rest).

Same contract and shapes as `llm_check.models.engines.lean_decoder.LeanDecoder.hidden`, which it is compared with before
use. Its loops run on one core, so it is only for models of hidden size up to `WIDEST`; weights are copied, transposed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

from llm_check.models.engines.lean_decoder import LeanDecoder

__all__ = ["WIDEST", "CompiledDecoder", "compiled_decoder"]

WIDEST = 256

Array = NDArray[np.float32]
# Sums may be reordered, so that they use vector instructions; infinities and NaN stay what they are.
_FAST = {"reassoc", "contract", "nsz"}


@njit(cache=True, fastmath=_FAST)
def _rms(x: Array, weight: Array, eps: float, out: Array) -> None:
    """out = x / sqrt(mean(x²) + eps) · weight, by rows (M, d)."""
    rows, width = x.shape
    for i in range(rows):
        total = np.float32(0.0)
        for j in range(width):
            total += x[i, j] * x[i, j]
        scale = np.float32(1.0 / np.sqrt(total / width + eps))
        for j in range(width):
            out[i, j] = x[i, j] * scale * weight[j]


@njit(cache=True, fastmath=_FAST)
def _norm_and_rotate(mixed: Array, both: int, norms: Array, normed: bool, eps: float, cos: Array, sin: Array) -> None:
    """Queries and keys mixed[:, :both] (M, H + K, D), normed by `norms` (H + K, D) if `normed`, and rotated."""
    rows, _, width = mixed.shape
    half = width // 2
    for i in range(rows):
        for h in range(both):
            head = mixed[i, h]
            if normed:
                total = np.float32(0.0)
                for j in range(width):
                    total += head[j] * head[j]
                scale = np.float32(1.0 / np.sqrt(total / width + eps))
                for j in range(width):
                    head[j] = head[j] * scale * norms[h, j]
            for j in range(half):
                low, high = head[j], head[j + half]
                head[j] = low * cos[i, j] + high * sin[i, j]
                head[j + half] = high * cos[i, j + half] + low * sin[i, j + half]


@njit(cache=True, fastmath=_FAST)
def _attend(mixed: Array, heads: int, seen: Array, bias: Array, weight: Array, out: Array) -> None:
    """out (R N, H, D): attention of queries mixed[:, :heads] over seen (2, R, K, C, D), columns with bias (R, N, C) 0.

    `weight` (C,) is scratch.
    """
    rows, new, columns = bias.shape
    width = mixed.shape[2]
    groups = heads // seen.shape[2]
    scale = np.float32(1.0 / np.sqrt(width))
    for r in range(rows):
        for i in range(new):
            for h in range(heads):
                query = mixed[r * new + i, h]
                keys, values = seen[0, r, h // groups], seen[1, r, h // groups]
                top = np.float32(-np.inf)
                for c in range(columns):
                    if bias[r, i, c] == 0.0:
                        total = np.float32(0.0)
                        for j in range(width):
                            total += query[j] * keys[c, j]
                        weight[c] = total * scale
                        top = max(top, weight[c])
                result = out[r * new + i, h]
                result[:] = 0.0
                mass = np.float32(0.0)
                for c in range(columns):
                    if bias[r, i, c] == 0.0:
                        share = np.exp(weight[c] - top)
                        mass += share
                        for j in range(width):
                            result[j] += share * values[c, j]
                for j in range(width):
                    result[j] /= mass


@njit(cache=True, fastmath=_FAST)
def _hidden(
    x: Array,
    weights: tuple[Array, ...],
    heads: int,
    kv_heads: int,
    normed: bool,
    eps: float,
    cos: Array,
    sin: Array,
    bias: Array,
    kv: Array,
    at: int,
) -> Array:
    """Hidden states (M, d) of embeddings x (M, d), which is overwritten."""
    norm, qkv, qkv_bias, norms, out, out_bias, mlp_norm, gate_up, gate_up_bias, down, down_bias, last = weights
    rows, new, columns = bias.shape
    count, size = x.shape
    width, both = cos.shape[1], heads + kv_heads
    inner = down.shape[1]
    h = np.empty((count, size), np.float32)
    mixed = np.empty((count, qkv.shape[2]), np.float32)
    found = np.empty((count, heads * width), np.float32)
    wide = np.empty((count, 2 * inner), np.float32)
    acted = np.empty((count, inner), np.float32)
    scratch = np.empty(columns, np.float32)
    for layer in range(len(qkv)):
        _rms(x, norm[layer], eps, h)
        np.dot(h, qkv[layer], mixed)
        mixed += qkv_bias[layer]
        split = mixed.reshape(count, both + kv_heads, width)
        _norm_and_rotate(split, both, norms[layer], normed, eps, cos, sin)
        for r in range(rows):
            for i in range(new):
                for k in range(kv_heads):
                    kv[layer, 0, r, k, at + i] = split[r * new + i, heads + k]
                    kv[layer, 1, r, k, at + i] = split[r * new + i, both + k]
        _attend(split, heads, kv[layer], bias, scratch, found.reshape(count, heads, width))
        np.dot(found, out[layer], h)
        x += h + out_bias[layer]
        _rms(x, mlp_norm[layer], eps, h)
        np.dot(h, gate_up[layer], wide)
        wide += gate_up_bias[layer]
        for i in range(count):
            for j in range(inner):
                gate = wide[i, j]
                acted[i, j] = gate / (np.float32(1.0) + np.exp(-gate)) * wide[i, inner + j]
        np.dot(acted, down[layer], h)
        x += h + down_bias[layer]
    _rms(x, last, eps, h)
    return h


@dataclass(frozen=True)
class CompiledDecoder:
    """The weights of a `LeanDecoder` stacked over layers, for the compiled loop."""

    embed: Array
    weights: tuple[Array, ...]
    heads: int
    kv_heads: int
    normed: bool
    eps: float
    cos: Array
    sin: Array

    def hidden(self, tokens: Tensor, positions: Tensor, bias: Tensor, kv: Tensor, at: int) -> Tensor:
        """Hidden states (R, N, d); see `LeanDecoder.hidden`."""
        ids, places = tokens.numpy().reshape(-1), positions.numpy().reshape(-1)
        found = _hidden(
            self.embed[ids],
            self.weights,
            self.heads,
            self.kv_heads,
            self.normed,
            self.eps,
            self.cos[places],
            self.sin[places],
            bias.numpy()[:, 0],
            kv.numpy(),
            at,
        )
        return torch.from_numpy(found).view(*tokens.shape, -1)


def compiled_decoder(lean: LeanDecoder) -> CompiledDecoder:
    """The compiled form of a lean decoder; the caller sees to it that it is small, in float32 and on the CPU."""

    def stacked(name: str, transposed: bool = False, missing: tuple[int, ...] = ()) -> Array:
        parts = [getattr(layer, name) for layer in lean.layers]
        found = [np.zeros(missing) if part is None else part.numpy() for part in parts]
        return np.stack([np.ascontiguousarray(part.T if transposed else part, np.float32) for part in found])

    first: Any = lean.layers[0]
    size = first.norm.shape[0]
    weights = (
        stacked("norm"),
        stacked("qkv", True),
        stacked("qkv_bias", missing=(len(first.qkv),)),
        stacked("head_norm", missing=(1, 1)),
        stacked("out", True),
        stacked("out_bias", missing=(size,)),
        stacked("mlp_norm"),
        stacked("gate_up", True),
        stacked("gate_up_bias", missing=(len(first.gate_up),)),
        stacked("down", True),
        stacked("down_bias", missing=(size,)),
        lean.norm.numpy(),
    )
    return CompiledDecoder(
        lean.embed.numpy(),
        weights,
        lean.heads,
        lean.kv_heads,
        first.head_norm is not None,
        lean.eps,
        lean.cos.numpy(),
        lean.sin.numpy(),
    )
