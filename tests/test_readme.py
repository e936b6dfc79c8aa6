"""The README's example runs as printed, and what its comments promise is what it prints."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from llm_check.logs.pools.pool import write_pool
from tests.plants.pool_faults import Sampling, TokenWorld

README = Path(__file__).resolve().parents[1] / "README.md"


def test_example_runs_and_prints_what_it_says(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plain = Sampling()
    write_pool(tmp_path / "drafts.parquet", TokenWorld(positions=12).columns(0, 16, plain, plain), {})
    monkeypatch.chdir(tmp_path)  # where the pool that it reads is
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.S)
    assert blocks
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})
    printed = capsys.readouterr().out
    assert "HOLDS" in printed
    assert "REFUTED" in printed
    assert "the numbers belong to the draws: True" in printed


def test_pictures_and_files_it_names_exist() -> None:
    text = README.read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", text):
        assert (README.parent / target).exists(), target
