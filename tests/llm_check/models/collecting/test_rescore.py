"""`gsi pool --rescore`: another reward on the rows of a pool, nothing drawn again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gsi_theory.cli import main
from llm_check import read_pool
from llm_check.logs.pools.pool import write_pool
from llm_check.logs.pools.prefixes import pool_at_length
from llm_check.models.tiny import checkpoint_path

REWARD = "def by_length(questions, solutions):\n    return [min(1.0, len(s[-1]) / 10) for s in solutions]\n"


def _gsi(*given: str) -> int:
    with pytest.raises(SystemExit) as done:
        main(["pool", *given])
    return int(done.value.code or 0)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two steps along the reference, and the reward file beside it."""
    folder = tmp_path_factory.mktemp("rescore")
    (folder / "reward.py").write_text(REWARD)
    sizes = ("--problems", "2", "--candidates", "12", "--base-candidates", "6", "--steps", "2")
    assert _gsi(str(folder / "pool.parquet"), *sizes, "--seed", "3") == 0
    return folder / "pool.parquet"


def test_the_same_reward_gives_the_same_numbers_and_nothing_else_changes(drawn: Path) -> None:
    assert _gsi(str(drawn), "--rescore", str(checkpoint_path("prm"))) == 0
    again, pool = read_pool(drawn.with_name("pool.rescored.parquet")), read_pool(drawn)
    assert again.table.drop_columns(["reward"]).equals(pool.table.drop_columns(["reward"]))
    rewards = [p.table["reward"].to_numpy() for p in (again, pool)]
    # float32, beside other candidates: 3e-6 was seen, single digits of rewards that differ by tenths
    np.testing.assert_allclose(*rewards, rtol=0, atol=1e-5)
    assert again.metadata["rescored"]["pool"] == "pool.parquet" and again.metadata["draft"] == pool.metadata["draft"]
    assert "--rescore" in again.metadata["command"] and str(drawn.parent) not in again.metadata["rescored"]["command"]


def test_another_reward_judges_every_row(drawn: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    spec = f"python:{drawn.parent / 'reward.py'}:by_length?low=0&high=1"
    assert _gsi(str(drawn), "--rescore", spec, "--to", str(out)) == 0
    table = read_pool(out).table
    texts = [text.removesuffix("}").strip() for text in table["text"].to_pylist()]
    lengths = [min(1.0, len(text) / 10) for text in texts]
    np.testing.assert_allclose(table["reward"].to_numpy(), lengths, atol=0.11)  # an end marker is a letter
    assert read_pool(out).metadata["reward"]["high"] == 1.0
    before = out.read_bytes()
    assert _gsi(str(drawn), "--rescore", spec, "--to", str(out)) == 0 and out.read_bytes() == before


def test_prefixes_are_judged_as_steps(drawn: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    spec = f"python:{drawn.parent / 'reward.py'}:by_length?low=0&high=1"
    assert _gsi(str(drawn), "--rescore", spec, "--tokens", "1", "--to", str(out)) == 0
    pool, cut = read_pool(out), pool_at_length(read_pool(drawn), 1)
    np.testing.assert_array_equal(pool.arrays.log_ratio, cut.arrays.log_ratio)
    assert set(pool.table["n_tokens"].to_pylist()) == {1}
    assert max(pool.table["reward"].to_pylist()) <= 0.1 and max(len(t) for t in pool.table["text"].to_pylist()) <= 2


def test_what_cannot_be_rescored_says_why_and_writes_nothing(
    drawn: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pool = read_pool(drawn)
    table, facts = pool.table, pool.metadata
    other = table.set_column(table.column_names.index("text"), "text", [["x"] * len(table)])
    cases = {
        "no token_ids and no text": (table.drop_columns(["token_ids", "text"]), facts, ()),
        "give --task": (table, {}, ()),
        "makes other prompts than those of the pool": (table, facts | {"prompts_sha256": "0"}, ()),
        "has no problem 'test-": (table, facts | {"seed": 4}, ()),
        "follows steps that the pool does not hold": (table, facts | {"path": "base"}, ()),
        "text is 'x'": (other, facts, ()),
        "would have no effect with --rescore": (table, facts, ("--candidates", "3")),
        "give the folder of the policies' tokenizer": (table, facts, ("--base", "http://nowhere")),
    }
    for said, (rows, provenance, options) in cases.items():
        source, out = tmp_path / "in.parquet", tmp_path / "out.parquet"
        write_pool(source, rows, provenance)
        assert _gsi(str(source), "--rescore", "verifiable", "--to", str(out), *options) == 2, said
        assert said in " ".join(capsys.readouterr().err.split()), said
        assert not out.exists()
    assert _gsi(str(drawn), "--tokens", "2") == 2


def test_texts_alone_will_do(drawn: Path, tmp_path: Path) -> None:
    pool = read_pool(drawn)
    source = tmp_path / "texts.parquet"
    lists = [name for name in pool.table.column_names if name.startswith("token_")]
    write_pool(source, pool.table.drop_columns(lists), pool.metadata)
    assert _gsi(str(source), "--rescore", str(checkpoint_path("prm"))) == 0
    again = read_pool(tmp_path / "texts.rescored.parquet")
    np.testing.assert_allclose(again.table["reward"].to_numpy(), pool.table["reward"].to_numpy(), atol=1e-5)
