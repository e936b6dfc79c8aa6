"""Rounding a base to a draft, on a tiny random Llama, against a slow loop; and what names a draft."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from gsi_theory.errors import InputError
from llm_check.models.real.drafts import DRAFTS, Quantization, named_quantization, quantize


def tiny_llama() -> Any:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=40, hidden_size=24, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=64, tie_word_embeddings=True,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


def rounded(row: list[float], bits: int, group: int) -> list[float]:
    out = []
    for start in range(0, len(row), group):
        part = row[start : start + group]
        low, high = min(part), max(part)
        levels = [low + (high - low) * k / (2**bits - 1) for k in range(2**bits)]
        out += [min(levels, key=lambda level, x=x: abs(level - x)) for x in part]  # type: ignore[misc]
    return out


@pytest.mark.parametrize(("bits", "group"), [(3, 8), (4, 24), (1, 12)])
def test_every_group_is_rounded_to_its_nearest_level_and_the_rest_is_kept(bits: int, group: int) -> None:
    before, model = tiny_llama(), tiny_llama()
    quantize(model, Quantization("x", bits, group), "x")
    old = dict(before.named_parameters())
    changed = 0
    for name, weight in model.named_parameters():
        if weight.dim() == 2 and "embed" not in name:
            wanted = [rounded(row, bits, group) for row in old[name].double().tolist()]
            np.testing.assert_allclose(weight.detach().numpy(), wanted, atol=2e-7)
            assert all(len(set(row[:group])) <= 2**bits for row in weight.tolist())
            changed += 1
        else:
            assert torch.equal(weight, old[name])
    assert changed == 14 and model.lm_head.weight is model.model.embed_tokens.weight


def test_a_group_of_equal_numbers_stays() -> None:
    model = tiny_llama()
    layer = model.model.layers[0].mlp.up_proj
    with torch.no_grad():
        layer.weight.fill_(0.5)
    quantize(model, Quantization("x", 3, 8), "x")
    assert torch.equal(layer.weight, torch.full_like(layer.weight, 0.5))


def test_groups_that_do_not_divide_a_layer_are_refused_and_nothing_is_rounded() -> None:
    model = tiny_llama()
    with pytest.raises(InputError, match=r"'smollm2:4/16'.*16 do not divide the 24 inputs of model.layers.0"):
        quantize(model, Quantization("4/16", 4, 16), "smollm2:4/16")
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), tiny_llama().parameters(), strict=True))


def test_names_of_drafts() -> None:
    assert {name: (d.bits, d.group) for name, d in DRAFTS.items()} == {
        "weak": (3, 32), "medium": (4, 192), "strong": (5, 192), "near": (6, 192),
    }  # fmt: skip
    assert named_quantization("4/192", "m") is DRAFTS["medium"]  # one draft, one name
    assert named_quantization("4/64", "m") == Quantization("4/64", 4, 64)
    for name, word in {"medum": "medium", "": "weak", "0/32": "1 to 8", "9/32": "1 to 8", "4/1": "at least 2"}.items():
        with pytest.raises(InputError, match=f"'m:.*{word}"):
            named_quantization(name, f"m:{name}")


def test_names_of_real_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from llm_check.models.engines.load_engine import load_engine
    from llm_check.models.real.model_cache import cache_folder, real_name

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GSI_CACHE", str(tmp_path / "cache"))
    assert str(real_name("smollm2")) == "smollm2" and str(real_name("smollm2:5/192")) == "smollm2:strong"
    assert real_name("models/smollm2") is None and real_name("transformers:smollm2") is None
    for spec in ("smollm2", "smollm2:weak"):
        with pytest.raises(
            InputError, match=f"{spec}: SmolLM2-135M-Instruct is not in .*cache: run gsi models smollm2"
        ):
            load_engine(spec)
    assert not (tmp_path / "cache").exists()  # nothing is made, or downloaded
    (tmp_path / "smollm2").mkdir()
    assert real_name("smollm2") is None  # a folder that exists is a folder
    monkeypatch.delenv("GSI_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "gsi"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "gsi" and cache_folder(tmp_path) == tmp_path
