"""Parameters of a checkpoint, from the headers of its files; what has no model, and what is on a server."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from llm_check.models.collecting.provenance import checkpoint_parameters, reward_files
from llm_check.models.tiny import checkpoint_path


def _file(path: Path, shapes: dict[str, list[int]]) -> None:
    header = {name: {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]} for name, shape in shapes.items()}
    text = json.dumps(header | {"__metadata__": {"format": "pt"}}).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text)


def test_parameters_are_counted_over_all_files(tmp_path: Path) -> None:
    assert checkpoint_parameters(tmp_path) is None
    _file(tmp_path / "model-1.safetensors", {"a": [3, 5], "b": [7]})
    _file(tmp_path / "model-2.safetensors", {"c": [2, 2, 2], "scalar": []})
    assert checkpoint_parameters(tmp_path) == 15 + 7 + 8 + 1


def test_the_embedded_models_are_as_large_as_their_arrays() -> None:
    for model in ("draft", "base", "prm"):
        folder = checkpoint_path(model)
        arrays = [array for path in folder.glob("*.safetensors") for array in load_file(path).values()]
        assert checkpoint_parameters(folder) == sum(int(np.size(array)) for array in arrays) > 0
        assert reward_files(str(folder))["parameters"] == checkpoint_parameters(folder)


def test_a_reward_without_a_model_has_none_and_a_server_does_not_say() -> None:
    assert reward_files("verifiable")["parameters"] == 0
    assert reward_files("python:rewards.py:graded")["parameters"] == 0
    assert reward_files("http://localhost:8000")["parameters"] is None
