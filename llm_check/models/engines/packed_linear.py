"""A linear layer whose large weights oneDNN holds in its own order: on a CPU it would reorder them anew in every call.

For a few rows, as in drawing, that reordering takes as long as the product. In bfloat16 only: the results are the same
bits. In float32 the order of the sums would be another, and log-probabilities of a draft twice as far from those of
float64 (2e-4 nats of SmolLM2 in place of 6e-5). The layout is held beside the weight itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["Linear", "packed_linear"]

_LEAST = 1 << 18  # numbers of a weight below which the reordering costs nothing
_ROWS = 32  # for which oneDNN chooses the order; any other number is served too


@dataclass(frozen=True)
class Linear:
    """weight (out, in) and bias (out,), and the weight in oneDNN's order where that is used."""

    weight: Tensor
    bias: Tensor | None = None
    packed: Tensor | None = None

    def __call__(self, x: Tensor) -> Tensor:
        """x Wᵀ + b of x (..., in)."""
        if self.packed is None:
            return F.linear(x, self.weight, self.bias)
        result: Tensor = torch.ops.mkldnn._linear_pointwise(x, self.packed, self.bias, "none", [], "")
        return result

    def added(self, x: Tensor, y: Tensor) -> Tensor:
        """x + y Wᵀ + b of x (M, out), y (M, in), in one kernel."""
        if self.packed is None:
            return torch.addmm(x if self.bias is None else x + self.bias, y, self.weight.t())
        result: Tensor = torch.ops.mkldnn._linear_pointwise.binary(y, x, self.packed, self.bias, "add")
        return result


def packed_linear(weight: Tensor, bias: Tensor | None = None) -> Linear:
    """The layer x Wᵀ + b of weight (out, in) and bias (out,), packed where that is faster and torch can do it."""
    fit = weight.device.type == "cpu" and weight.numel() >= _LEAST and weight.dtype == torch.bfloat16
    known = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_reorder_linear_weight")
    if not (fit and known and torch.ops.mkldnn._is_mkldnn_bf16_supported()):
        return Linear(weight, bias)
    return Linear(weight, bias, torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), _ROWS))
