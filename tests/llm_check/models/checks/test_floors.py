"""What a step costs at least: counted by hand, against weights of known shapes, and against a step that was timed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from llm_check.models.checks.floors import Rates, Size, distinct_prefixes, floor_rows, measured_rates, size_of


def test_prefixes_are_counted_once() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        tokens = rng.integers(0, 3, size=(6, 4))
        ends = rng.integers(1, 5, size=6)
        tokens[np.arange(4) >= ends[:, None]] = -1
        steps = [tuple(row[row >= 0].tolist()) for row in tokens]
        assert distinct_prefixes(tokens) == len({step[:t] for step in steps for t in range(1, len(step))})
    assert distinct_prefixes(np.array([[5], [6]])) == 0


@pytest.mark.parametrize("tied", [True, False])
def test_parameters_are_those_of_the_layers_and_of_the_head(tied: bool) -> None:
    config = LlamaConfig(
        vocab_size=40, hidden_size=16, intermediate_size=24, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=2, tie_word_embeddings=tied,
    )  # fmt: skip
    size = size_of(LlamaForCausalLM(config).to(torch.bfloat16))
    layer = 16 * 16 * 2 + 2 * 16 * 8 + 3 * 16 * 24
    assert size == Size(3.0 * layer, 40.0 * 16, 40, 2, 4.0 * 3 * 16)


def test_a_step_by_hand() -> None:
    """Two steps of two tokens that begin alike: one prefix, and the law before it: two laws, 1 + 2 tokens read."""
    draft, base = Size(100.0, 30.0, 10, 2, 4.0), Size(1000.0, 30.0, 10, 2, 8.0)
    rows = floor_rows(draft, base, np.array([[1, 2], [1, 3]]), 9, 2, Rates(1e3, 1e2, 1e1))
    assert [row["part"].partition(": ")[0] for row in rows] == ["draft"] * 4 + ["base"] * 4
    layers, attention, head, softmax = rows[:4]
    assert (layers["operations"], layers["bytes"]) == (600.0, 400.0) and layers["seconds"] == 4.0
    assert attention["operations"] == 4.0 * 10 * 3 and attention["seconds"] == pytest.approx(0.12)
    assert (head["operations"], head["bytes"], head["seconds"]) == (120.0, 120.0, 1.2)
    assert (softmax["operations"], softmax["bytes"], softmax["seconds"]) == (20.0, 40.0, 2.0)
    assert rows[4]["bytes"] == 2000.0 and rows[4]["seconds"] == 20.0  # the base goes through its weights once


def test_rates_are_those_of_this_machine() -> None:
    rates = measured_rates(torch.float32, 1000, torch.device("cpu"))
    assert all(1e6 < rate < 1e16 for rate in rates)
