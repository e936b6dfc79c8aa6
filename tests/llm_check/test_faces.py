"""`llm_check` exports what its commands do as functions: the same answers, imported when asked for."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import llm_check
from gsi_theory import InputError
from gsi_theory.cli import main
from gsi_theory.runs.json_output import SCHEMAS
from llm_check.logs.pools.pool import Pool, write_pool
from tests.plants.pool_faults import Sampling, TokenWorld

ROOT = Path(llm_check.__file__).parent
PUBLIC = ("read_log", "read_pool", "doctor", "predict", "plan", "curve", "decode")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("faces") / "pool.parquet"
    plain = Sampling()
    write_pool(path, TokenWorld(positions=12).columns(1, 16, plain, plain), {"seed": 1})
    return path


def _answer(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, arguments: Sequence[str]) -> object:
    monkeypatch.setattr(sys, "argv", ["gsi", *arguments, "--json"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert not stop.value.code
    return json.loads(capsys.readouterr().out)


def test_faces_answer_what_the_commands_answer(
    path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("doctor", "predict", "plan"):
        record = getattr(llm_check, name)(path).record()
        assert record["schema"] == SCHEMAS[name]
        # numbers of sums may differ in their last digit: they round as their place in memory has it
        assert _close(_answer(capsys, monkeypatch, [name, str(path)]), json.loads(json.dumps(record)))


def _close(left: object, right: object) -> bool:
    if isinstance(left, float) and isinstance(right, float):
        return left == pytest.approx(right, rel=1e-9, abs=1e-12)
    if isinstance(left, dict) and isinstance(right, dict):
        return list(left) == list(right) and all(_close(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_close, left, right))
    return left == right


def test_a_pool_serves_as_well_as_its_path(path: Path) -> None:
    pool = llm_check.read_pool(path)
    assert isinstance(pool, Pool)
    few = {"betas": (2.0,), "ns": (1, 4)}
    assert _close(llm_check.predict(pool, **few).record(), llm_check.predict(str(path), **few).record())
    assert llm_check.doctor(pool, beta=2.0).coverage["beta"] == 2.0
    with pytest.raises(InputError, match="no log at"):
        llm_check.plan(path.with_name("absent.parquet"))


@pytest.mark.parametrize("code", ["import llm_check", "import llm_check.logs", "import llm_check; dir(llm_check)"])
def test_importing_costs_nothing_heavy(code: str) -> None:
    heavy = ("torch", "numba", "scipy", "pyarrow", "typer")
    script = f"import sys; {code}; sys.exit(', '.join(set({heavy}) & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_logs_need_no_torch(path: Path) -> None:
    calls = "; ".join(f"llm_check.{name}({str(path)!r})" for name in ("doctor", "predict", "plan"))
    script = f"import sys, llm_check; {calls}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True).returncode == 0


def test_no_module_bears_the_name_of_a_face() -> None:
    names = {path.stem for path in ROOT.rglob("*.py")} | {path.name for path in ROOT.rglob("*") if path.is_dir()}
    assert not names & set(PUBLIC)
    assert set(llm_check.__all__) <= {*PUBLIC, "moved"} and set(llm_check.__all__) <= set(dir(llm_check))
    with pytest.raises(AttributeError, match="no attribute 'prophesy'"):
        _ = llm_check.prophesy


@pytest.mark.parametrize("name", [name for name in llm_check.__all__ if name != "moved"])
def test_every_face_is_there(name: str) -> None:
    assert callable(getattr(llm_check, name)) and getattr(llm_check, name).__doc__


def test_a_face_answers_beside_the_module_that_bore_its_name(path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        old = importlib.import_module("llm_check.predict")
    assert old.predict_pool is importlib.import_module("llm_check.logs.prediction").predict_pool
    assert llm_check.predict(path, betas=(2.0,), ns=(1,)).positions == 12


def test_pools_carry_their_schema_and_older_and_later_ones_are_known(path: Path, tmp_path: Path) -> None:
    key = b"gsi_pool_schema"
    table = pq.read_table(path)
    assert table.schema.metadata[key] == str(SCHEMAS["pool"]).encode()
    assert llm_check.read_pool(path).metadata == {"seed": 1}
    older, later = tmp_path / "older.parquet", tmp_path / "later.parquet"
    metadata = dict(table.schema.metadata)
    pq.write_table(table.replace_schema_metadata({k: v for k, v in metadata.items() if k != key}), older)
    assert llm_check.read_pool(older).metadata == {"seed": 1}
    pq.write_table(table.replace_schema_metadata(metadata | {key: b"99"}), later)
    with pytest.raises(InputError, match='format "99", this version reads 1 to 1'):
        llm_check.read_pool(later)
