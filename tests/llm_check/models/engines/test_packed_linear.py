"""Packed layers against the plain product, in float64 and for any number of rows; small ones are left alone."""

from __future__ import annotations

import pytest
import torch

from llm_check.models.engines.packed_linear import Linear, packed_linear


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("biased", [True, False])
@torch.inference_mode()
def test_products_of_a_packed_layer(dtype: torch.dtype, biased: bool) -> None:
    """Each within the roundings of a sum of 600 terms; x + y W in one rounding more at most."""
    draw = torch.Generator().manual_seed(0)
    weight = torch.randn(520, 600, generator=draw).to(dtype)
    bias = torch.randn(520, generator=draw).to(dtype) if biased else None
    layer = packed_linear(weight, bias)
    exact_weight, exact_bias = weight.double(), 0.0 if bias is None else bias.double()
    for rows in (1, 3, 32, 200):
        y, x = torch.randn(rows, 600, generator=draw).to(dtype), torch.randn(rows, 520, generator=draw).to(dtype)
        exact = y.double() @ exact_weight.t() + exact_bias
        size = exact.abs() + x.abs() + (0.0 if bias is None else bias.abs())
        allowed = 60.0 * torch.finfo(torch.float32).eps * 600**0.5 + torch.finfo(dtype).eps * size
        assert torch.all((layer(y).double() - exact).abs() <= allowed)
        assert torch.all((layer(y[None])[0].double() - exact).abs() <= allowed)
        assert torch.all((layer.added(x, y).double() - exact - x.double()).abs() <= 2.0 * allowed)
        plain = Linear(weight, bias)
        assert torch.all((plain.added(x, y).double() - exact - x.double()).abs() <= 2.0 * allowed)


def test_small_layers_and_other_dtypes_are_not_packed() -> None:
    assert packed_linear(torch.ones(64, 256, dtype=torch.bfloat16)).packed is None
    assert packed_linear(torch.ones(520, 600)).packed is None
    supported = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    assert (packed_linear(torch.ones(520, 600, dtype=torch.bfloat16)).packed is not None) == supported


@torch.inference_mode()
def test_a_packed_product_has_the_same_bits() -> None:
    draw = torch.Generator().manual_seed(1)
    weight = torch.randn(520, 600, generator=draw).to(torch.bfloat16)
    for rows in (1, 32, 200):
        x = torch.randn(rows, 600, generator=draw).to(torch.bfloat16)
        assert torch.equal(packed_linear(weight)(x), Linear(weight)(x))
