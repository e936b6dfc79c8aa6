"""Memory of a step: refused before it is taken, grows with what takes it, and bounded in one forward."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from gsi_theory.cli import main
from gsi_theory.errors import InputError
from llm_check.models.decoding.random_streams import PositionStream
from llm_check.models.decoding.reasoning_steps import StepRule
from llm_check.models.engines import engine_memory
from llm_check.models.engines.engine_memory import require_step_memory, rows_at_once, step_bytes
from llm_check.models.engines.forward import Forward
from llm_check.models.engines.transformers_engine import TransformersEngine
from tests.llm_check.models.small_llama import save_pair, save_sums

RULE = StepRule(frozenset(), frozenset({2}), 16)


def smollm() -> Forward:
    """The shapes of a real model of 135 million parameters; nothing is computed."""
    config = SimpleNamespace(hidden_size=576, intermediate_size=1536)
    module: Any = SimpleNamespace(config=config)
    return Forward(module, module, None, None, "", (30, 3, 64), 8192, 49_152, torch.device("cpu"), torch.float32)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    folder = tmp_path_factory.mktemp("llama")
    return *save_pair(folder), save_sums(folder)


def test_a_step_of_a_real_model_is_estimated_as_measured() -> None:
    """32 candidates of 16 tokens after 106 of the prompt: a few hundred MB; 1,000 prompts: their keys and values."""
    forward = smollm()
    one = step_bytes(forward, 1, 106, 32, 16)
    assert 1e8 < one < 1e9
    assert step_bytes(forward, 1000, 106, 32, 16) > 1000 * 106 * 30 * 2 * 3 * 64 * 4
    assert step_bytes(forward, 1, 106, 64, 16) > one
    assert step_bytes(forward, 1, 106, 10_000, 16) < 20 * one  # worked off in parts
    assert 1 <= rows_at_once(forward, 106, 32, 16) < 10 < rows_at_once(replace(forward, vocabulary=16), 106, 2, 4)


def test_too_much_is_refused_with_value_place_and_cure(monkeypatch: pytest.MonkeyPatch, folders: Any) -> None:
    engine = TransformersEngine.load(folders[0])
    require_step_memory([engine], 4, 20, 8, RULE, "n = 8", "take fewer")
    monkeypatch.setattr("gsi_theory.arrays.memory.available_memory", lambda: 1e6)
    with pytest.raises(InputError, match=r"n = 8: 8 candidates of up to 16 tokens after 4 prefixes .* free"):
        require_step_memory([engine], 4, 20, 8, RULE, "n = 8", "take fewer")
    require_step_memory([SimpleNamespace()], 4, 20, 8, RULE, "n = 8", "take fewer")  # type: ignore[list-item]


@pytest.mark.parametrize("command", ["decode", "pool", "check"])
def test_commands_refuse_before_they_draw(
    command: str, monkeypatch: pytest.MonkeyPatch, folders: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    draft, base, task = folders
    line = {
        "decode": ["decode", "--n", "64"],
        "pool": ["pool", str(tmp_path / "p.parquet"), "--candidates", "500"],
        "check": ["check", "lm_prediction", "--set", "runs=500", "--out", str(tmp_path)],
    }[command]
    models = ["--draft", str(draft), "--base", str(base), "--task", f"jsonl:{task}", "--reward", "verifiable"]
    # Enough for the models' weights and tables, and for small arrays; not for a step.
    monkeypatch.setattr(engine_memory, "step_bytes", lambda *_: 1e15)
    with pytest.raises(SystemExit) as ended:
        main([*line, *models, "--step", "answer", "--max-tokens", "16"])
    said = " ".join(capsys.readouterr().err.split())
    assert ended.value.code == 2 and "of memory are needed" in said and "take fewer" in said
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_parts_of_bounded_memory_change_nothing(monkeypatch: pytest.MonkeyPatch, folders: Any) -> None:
    engine = TransformersEngine.load(folders[0])
    prompts = [[5 + i, 6, 7 + i] for i in range(5)]
    streams = [PositionStream(0, str(i), 0, 0) for i in range(5)]
    whole = engine.sample(engine.prefill(prompts), 6, streams, RULE)
    monkeypatch.setattr(engine_memory, "PART_BYTES", 1)  # one prompt at a time
    parts = engine.sample(engine.prefill(prompts), 6, streams, RULE)
    np.testing.assert_array_equal(whole.tokens, parts.tokens)
    np.testing.assert_allclose(whole.token_logp, parts.token_logp, atol=1e-4)
    beginnings = whole.tokens[0][:, :2]
    laws = engine.log_probs_after(engine.prefill(prompts[:1]), beginnings)
    for row, ids in zip(laws, beginnings.tolist(), strict=True):
        plain = engine.log_probs(engine.prefill([prompts[0] + ids]))[0]
        np.testing.assert_allclose(row, plain, atol=1e-4)
