"""The GPU bench at tiny shapes on a CPU: it runs the same code, and its floors count what the models have."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM
from typer.testing import CliRunner

from gsi_theory.runs.artifact import read_artifact
from llm_check.models.world import World, load_world
from tests.benches.gpu import PAPER, SHAPES, Rates, _floors, app
from tests.benches.gpu_correctness import compared, failures


@pytest.fixture(autouse=True)
def no_real_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GSI_CACHE", str(tmp_path / "cache"))


def test_the_small_form_writes_an_artifact(tmp_path: Path) -> None:
    out = tmp_path / "lm_gpu.json"
    result = CliRunner().invoke(app, ["--device", "cpu", "--small", "--repeats", "2", "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert "no GPU was used" in result.output
    found = read_artifact(out, "lm_gpu")
    assert (found.summary["gpu"], found.summary["passed"], found.summary["dtype"]) == (False, True, "float32")
    rows = found.tables["correctness"]
    checks = [("draft", c) for c in ("law", "scores", "drawn", "draws")]
    checks += [("base", c) for _, c in checks] + [("reward", "rewards"), ("pair", "solutions")]
    assert list(zip(rows["model"], rows["check"], strict=True)) == checks
    parts = found.tables["parts"]
    assert parts["part"] == ["draft_draws", "base_draws", "base_scores", "prm_judges"]
    times = zip(parts["fastest"], parts["seconds"], parts["slowest"], strict=True)
    assert all(0 < low <= middle <= high for low, middle, high in times)
    assert all(fraction > 0 for fraction in parts["fraction_of_floor"])
    seconds = dict(zip(parts["part"], parts["seconds"], strict=True))
    floors = dict(zip(parts["part"], parts["floor"], strict=True))
    assert found.summary["soft_bon_base_floor_seconds_per_step"] == floors["base_draws"] + floors["prm_judges"]
    fallback = seconds["base_draws"] + seconds["prm_judges"]
    wanted = seconds["draft_draws"] + seconds["base_scores"] + seconds["prm_judges"] + 0.18 * fallback
    assert found.summary["gsi_seconds_per_step"] == pytest.approx(wanted)
    assert found.summary["soft_bon_base_seconds_per_step"] == pytest.approx(fallback)
    assert found.summary["drawn_against_scored"] < 1e-4 and found.summary["rates"] == "measured on cpu"
    assert "paper" not in result.output and PAPER["gsi"] == 0.72  # tiny shapes are not compared with the paper


def test_a_device_that_scores_wrongly_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Log-probabilities a little off on "the other device": the script says what is wrong, and ends with 1."""
    loaded = []

    def load(*arguments: Any, **options: Any) -> World:
        world = load_world(*arguments, **options)
        loaded.append(world)
        if "device" not in options:
            return world
        right = type(world.base).score
        off = type("Off", (type(world.base),), {"score": lambda self, *given: right(self, *given) + 1e-2})
        return replace(world, base=off(world.base.model, world.base.tokenizer, world.base.contract, world.base.forward))

    monkeypatch.setattr("tests.benches.gpu_correctness.load_world", load)
    rows = compared("cpu", True, 0)
    assert {text.rsplit(" ", 1)[0] for text in failures(rows)} == {"base scores", "base drawn"} and len(loaded) == 2


@pytest.mark.parametrize(("option", "value"), [("--shapes", "huge"), ("--device", "warp"), ("--dtype", "int8")])
def test_bad_options_exit_with_2_and_write_nothing(option: str, value: str, tmp_path: Path) -> None:
    out = tmp_path / "lm_gpu.json"
    options = {"--device": "cpu", "--shapes": "tiny", "--dtype": "float32", "--out": str(out)} | {option: value}
    result = CliRunner().invoke(app, [part for pair in options.items() for part in pair])
    assert result.exit_code == 2 and value in result.output and not out.exists()


def test_floors_count_the_weights_of_the_models() -> None:
    work = SHAPES["qwen2.5-math"]
    with torch.device("meta"):
        models = [AutoModelForCausalLM.from_config(shape.config(4096)) for shape in (work.draft, work.base)]
    for model, shape in zip(models, (work.draft, work.base), strict=True):
        matrices = sum(p.numel() for name, p in model.model.layers.named_parameters() if p.dim() == 2)
        assert shape.body_weights == matrices
        assert shape.hidden * shape.vocabulary == model.get_output_embeddings().weight.numel()
    floors = _floors(work, Rates(3.35e12, 989e12, "by hand"), 2)
    # 64 times the 15.2 GB of a 7B model less its input embeddings (1.1 GB), at 3.35 TB/s, and a little for the cache.
    assert floors["base_draws"] == pytest.approx(64 * 14.14e9 / 3.35e12, rel=0.02)
    # 1088 tokens through 6.53e9 weights of the layers at 2 operations each, 989 TFLOP/s, and a little for attention.
    assert floors["prm_judges"] == pytest.approx(1088 * 2 * 6.53e9 / 989e12, rel=0.06)
