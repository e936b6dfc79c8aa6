"""Linear layers turned over are linear layers, whatever the rows, the dtype and the layout of what comes in."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from llm_check.models.engines.linear import linear, linear_add
from llm_check.models.engines.next_token import drawn_tokens, log_softmax


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("rows", [1, 2, 3, 64, 65])
@pytest.mark.parametrize("has_bias", [False, True])
def test_both_ways_give_the_sums(rows: int, dtype: torch.dtype, has_bias: bool) -> None:
    rng = np.random.default_rng(rows)
    x, y, weight, bias = (
        torch.from_numpy(rng.normal(size=shape)).to(dtype) for shape in ((rows, 7), (rows, 40), (7, 40), (7,))
    )
    wide = y.double() @ weight.double().t() + (bias.double() if has_bias else 0.0)
    close = 40.0 * 4.0 * torch.finfo(dtype).eps
    for given in (y, y.t().contiguous().t()):
        found = linear(given, weight, bias if has_bias else None)
        assert found.shape == (rows, 7) and found.dtype == dtype
        assert float((found.double() - wide).abs().max()) <= close
        added = linear_add(x, given, weight, bias if has_bias else None)
        assert float((added.double() - wide - x.double()).abs().max()) <= close


def test_logits_in_columns_are_one_law() -> None:
    rng = np.random.default_rng(2)
    logits = torch.from_numpy(rng.normal(size=(5, 90)).astype(np.float32))
    turned = logits.t().contiguous().t()
    before = turned.clone()
    at, uniforms = torch.tensor([4, 0, 2]), torch.from_numpy(rng.random(3))
    assert torch.equal(log_softmax(turned, 0.7), log_softmax(logits, 0.7))
    assert torch.equal(turned, before)
    for ours, theirs in zip(
        drawn_tokens(turned, at, uniforms, 0.7), drawn_tokens(logits, at, uniforms, 0.7), strict=True
    ):
        assert torch.equal(ours, theirs)
    wide = logits.double()
    log_softmax(wide, 0.7)
    assert torch.equal(wide, logits.double())
