"""x Wᵀ + b of few rows in float32 on a processor, as (W xᵀ)ᵀ: the same sums, for which BLAS has faster kernels.

`python -m tests.benches.linear` shows both ways by rows. A single row, many rows, half precision and graphics cards are
left to torch's own `linear`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["linear", "linear_add"]

_MOST = 64  # rows; beyond them both ways take about the same time


def _is_turned(x: Tensor) -> bool:
    return x.device.type == "cpu" and x.dtype == torch.float32 and 2 <= len(x) <= _MOST


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x Wᵀ (+ b) (M, N) of x (M, K) and weight (N, K). Its columns may be what is contiguous."""
    if not _is_turned(x):
        return F.linear(x, weight, bias)
    product = torch.mm(weight, x.t()).t()
    return product if bias is None else product.add_(bias)


def linear_add(x: Tensor, y: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x + y Wᵀ (+ b) (M, N) of x (M, N), y (M, K) and weight (N, K)."""
    if _is_turned(y):
        return x + linear(y, weight, bias)
    return torch.addmm(x if bias is None else x + bias, y, weight.t())
