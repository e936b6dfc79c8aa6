"""Pools collected part by part: crashes at every file operation, kills, resumption, and refusal of other settings."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from gsi_theory.errors import InputError
from llm_check.logs.pools.pool import read_pool
from llm_check.models.collecting.parts import first_difference, open_parts
from llm_check.models.collecting.trajectories import REFERENCE, Trajectory, collect_parts
from llm_check.models.decoding.method_table import METHODS
from llm_check.models.decoding.positions import Position, Prompt
from llm_check.models.decoding.random_streams import Purpose
from tests.benches.pool_kills import kill_repeatedly
from tests.llm_check.logs.toy_pool import RECORD, job
from tests.llm_check.models.toy_engine import STEPS, TOKENS, ToyEngine, ToyReward

SMALL: dict[str, Any] = {"prompts": tuple(Prompt(f"p{i}", (1 + i, 2)) for i in range(5)), "steps": 3, "batch": 2}


def collected(folder: Path, record: dict[str, Any] = RECORD, **changes: Any) -> bytes:
    out = folder / "pool.parquet"
    collect_parts(out, job(**(SMALL | changes)), record)
    assert [path.name for path in folder.iterdir()] == ["pool.parquet"]
    return out.read_bytes()


class Crash(BaseException):
    """What no handler of the program catches."""


@pytest.mark.parametrize("operation", ["replace", "fsync", "unlink"])
def test_a_crash_at_any_file_operation_leaves_nothing_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    """The k-th call of the operation dies, before or after it took place, for every k; the next run ends alike."""
    (tmp_path / "whole").mkdir()
    few = SMALL | {"prompts": SMALL["prompts"][:3], "steps": 2}
    expected = collected(tmp_path / "whole", **few)
    real, crashes = getattr(os, operation), 0
    for after in (False, True):
        for k in range(200):
            folder = tmp_path / f"{after}-{k}"
            folder.mkdir()
            calls = iter(range(10_000))

            def dying(*args: Any, k: int = k, after: bool = after, calls: Any = calls, **kwargs: Any) -> Any:
                if (last := next(calls) == k) and not after:
                    if operation == "fsync" and stat.S_ISREG(os.fstat(args[0]).st_mode):
                        os.ftruncate(args[0], os.fstat(args[0]).st_size // 2)  # what was not synced may be lost
                    raise Crash
                result = real(*args, **kwargs)
                if last:
                    raise Crash
                return result

            monkeypatch.setattr(os, operation, dying)
            try:
                collect_parts(folder / "pool.parquet", job(**few), RECORD)
            except Crash:
                crashes += 1
                out = folder / "pool.parquet"
                assert not out.exists() or out.read_bytes() == expected
            else:
                break
            finally:
                monkeypatch.setattr(os, operation, real)
            assert collected(folder, **few) == expected
        else:
            pytest.fail("the operation never ran out")
    assert crashes >= 8


def test_five_kills(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGKILL of real processes at random moments; `python -m tests.benches.pool_kills` does it with `gsi pool`."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[4]))

    def start(out: Path) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-m", "tests.llm_check.logs.toy_pool", str(out)])

    phases = kill_repeatedly(start, tmp_path, 5, np.random.default_rng(4))
    assert sum(phases.values()) == 5


def test_an_interrupted_run_does_not_compute_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: Counter[str] = Counter()
    real = ToyEngine.sample

    def counted(self: ToyEngine, prefixes: Any, n: int, streams: Any, rule: Any) -> Any:
        calls[self.name] += 1
        if calls["draft"] == limit:
            raise KeyboardInterrupt
        return real(self, prefixes, n, streams, rule)

    monkeypatch.setattr(ToyEngine, "sample", counted)
    limit = 8
    with pytest.raises(KeyboardInterrupt):
        collect_parts(tmp_path / "pool.parquet", job(**SMALL), RECORD)
    limit, first = 10_000, calls["base"]
    resumed = collected(tmp_path)
    total = calls["base"]
    assert first > 0
    calls.clear()
    (tmp_path / "whole").mkdir()
    assert collected(tmp_path / "whole") == resumed
    assert calls["base"] == total  # the part that was cut had not reached the base


def test_the_pool_holds_every_candidate_of_its_streams(tmp_path: Path) -> None:
    """An oracle from the streams alone: no row dropped, no seed shifted, paths as the reference says."""
    reference = {f"p{i}": [[3, 3, 3], [2, 2], [5, 5]][: 1 + i % 3] for i in range(5)}
    collected(tmp_path, trajectory=Trajectory(REFERENCE, job().trajectory.scheme, reference))
    pool = read_pool(tmp_path / "pool.parquet")
    assert pool.keys() == [
        (f"p{i}", step) for block in ((0, 1), (2, 3), (4,)) for step in range(3) for i in block if step < 1 + i % 3
    ]
    rewards = ToyReward()
    for prompt_id, step in pool.keys():  # noqa: SIM118
        prompt = next(p for p in SMALL["prompts"] if p.prompt_id == prompt_id)
        place = Position(prompt, tuple(tuple(s) for s in reference[prompt_id][:step]))
        laws = {name: ToyEngine(name).law(place.prefix) for name in ("draft", "base")}
        for source, n, purpose in (("draft", 20, Purpose.DRAFT), ("base", 10, Purpose.BASE)):
            u = place.stream(3, purpose).generator().random(n)
            drawn = [int((np.cumsum(np.exp(laws[source])) <= x).sum()) for x in u]
            ids = [[int(t) for t in TOKENS[min(k, STEPS - 1)] if t >= 0] for k in drawn]
            assert pool.column(prompt_id, step, source, "token_ids") == ids
            for name, law in laws.items():
                np.testing.assert_array_equal(pool.column(prompt_id, step, source, f"logp_{name}"), law[drawn])
            expected = rewards.score([place] * n, ids)
            np.testing.assert_array_equal(pool.column(prompt_id, step, source, "reward"), expected)
            assert pool.column(prompt_id, step, source, "sampling_temperature").tolist() == [1.0] * n  # type: ignore[union-attr]


def test_paths_of_a_method_are_not_the_pools_candidates(tmp_path: Path) -> None:
    """The path of "base" is a base sample with a stream of its own: it may not be the pool's candidate 0."""
    trajectory = Trajectory("base", METHODS["base"].scheme(2.0, 3, None))
    collected(tmp_path, trajectory=trajectory, prompts=job().prompts)
    pool = read_pool(tmp_path / "pool.parquet")
    shares = []
    for prompt in job().prompts:
        if (prompt.prompt_id, 1) not in pool.arrays.names:
            continue
        first = pool.column(prompt.prompt_id, 0, "base", "token_ids")[0]
        law = ToyEngine("draft").law((*prompt.ids, *first))
        k = [row[0] - 1 for row in pool.column(prompt.prompt_id, 1, "draft", "token_ids")]
        shares.append(np.array_equal(pool.column(prompt.prompt_id, 1, "draft", "logp_draft"), law[k]))
    assert len(shares) > 20
    assert np.mean(shares) < 0.5


def test_batches_change_no_candidate(tmp_path: Path) -> None:
    tables = []
    for batch in (1, 2, 5):
        (tmp_path / str(batch)).mkdir()
        collected(tmp_path / str(batch), batch=batch)
        table = read_pool(tmp_path / str(batch) / "pool.parquet").table
        keys = [(name, "ascending") for name in ("prompt_id", "step", "source", "candidate")]
        tables.append(table.sort_by(keys).to_pydict())
    assert tables[0] == tables[1] == tables[2]


def test_text_is_left_out_on_request(tmp_path: Path) -> None:
    collected(tmp_path, text=False)
    assert "text" not in read_pool(tmp_path / "pool.parquet").table.column_names


@pytest.mark.parametrize("unfinished", [True, False])
def test_other_settings_are_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unfinished: bool) -> None:
    record = {"seed": 3, "draft": {"model": "a", "sampling_temperature": 1.0}, "command": "one"}
    if unfinished:
        with monkeypatch.context() as patch, pytest.raises(Crash):
            patch.setattr(ToyReward, "score", lambda *_: (_ for _ in ()).throw(Crash()))
            collect_parts(tmp_path / "pool.parquet", job(**SMALL), record)
    else:
        collected(tmp_path, record)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.parquet")}
    other = {**record, "draft": {"model": "a", "sampling_temperature": 0.7}}
    message = r"begun with draft\.sampling_temperature = 1\.0, this run has 0\.7"
    with pytest.raises(InputError, match=message):
        collect_parts(tmp_path / "pool.parquet", job(**SMALL), other)
    with pytest.raises(InputError, match=r"begun with commit = None, this run has 'c'"):
        collect_parts(tmp_path / "pool.parquet", job(**SMALL), {**record, "commit": "c"})
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.parquet")} == before
    collect_parts(tmp_path / "pool.parquet", job(**SMALL), {**record, "command": "two"})


def test_strangers_at_the_place_of_the_pool_are_refused(tmp_path: Path) -> None:
    out = tmp_path / "pool.parquet"
    out.write_bytes(b"mine")
    with pytest.raises(InputError, match="is no pool"):
        collect_parts(out, job(**SMALL), RECORD)
    pq.write_table(read_back(tmp_path), out)
    with pytest.raises(InputError, match="says nothing of its settings"):
        collect_parts(out, job(**SMALL), RECORD)
    with pytest.raises(InputError, match=r"written as \.parquet"):
        collect_parts(tmp_path / "pool.jsonl", job(**SMALL), RECORD)
    with open_parts(tmp_path / "p.parquet", RECORD), pytest.raises(InputError, match="another process is collecting"):
        collect_parts(tmp_path / "p.parquet", job(**SMALL), RECORD)


def read_back(folder: Path) -> Any:
    (folder / "one").mkdir()
    collected(folder / "one")
    return pq.read_table(folder / "one" / "pool.parquet").replace_schema_metadata(None)


def test_rows_that_no_pool_may_hold_are_never_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ToyReward, "score", lambda self, places, steps: np.full(len(steps), 1.5))
    with pytest.raises(InputError, match=r"prompt 'p0', step 0, draft candidate 0: reward = 1\.5: outside"):
        collect_parts(tmp_path / "pool.parquet", job(**SMALL), RECORD)
    assert not list(tmp_path.rglob("*.parquet"))


def test_bad_collections_are_refused() -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"steps": 0}, "give at least 1"),
        ({"prompts": ()}, "0 prompts"),
        ({"prompts": (Prompt("a", (1,)), Prompt("a", (2,)))}, "prompt 1 has the id 'a'"),
        ({"prompts": (Prompt("a", ()),)}, "prompt 'a' is empty"),
        ({"trajectory": Trajectory("best", job().trajectory.scheme)}, "path 'best'"),
    ]
    for changes, message in cases:
        with pytest.raises(InputError, match=message):
            job(**changes)


def test_the_first_difference_is_named() -> None:
    assert first_difference({"a": 1, "b": {"c": [1]}}, {"b": {"c": [1]}, "a": 1}) is None
    assert first_difference({"a": 1, "b": {"c": [1]}}, {"a": 1, "b": {"c": [2]}}) == ("b.c", [1], [2])
    assert first_difference({"a": 1}, {"a": 1, "z": None, "y": 2}) == ("y", None, 2)


def test_a_finished_pool_is_left_alone(tmp_path: Path) -> None:
    collected(tmp_path)
    stamp = (tmp_path / "pool.parquet").stat().st_mtime_ns
    shutil.copytree(tmp_path, tmp_path / "pool.parquet.parts")  # as left by a kill while parts were removed
    collected(tmp_path)
    assert (tmp_path / "pool.parquet").stat().st_mtime_ns == stamp


def test_a_pool_is_collected_through_a_link_and_not_into_a_device(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "linked").mkdir()
    link = tmp_path / "linked" / "pool.parquet"
    link.symlink_to(tmp_path / "real" / "pool.parquet")
    few = SMALL | {"prompts": SMALL["prompts"][:2], "steps": 1}
    through = collected(tmp_path / "linked", **few)
    assert link.is_symlink() and [path.name for path in (tmp_path / "real").iterdir()] == ["pool.parquet"]
    assert collected(tmp_path / "real", **few) == through  # it is finished already
    link.unlink()
    link.symlink_to("/dev/null")
    with pytest.raises(InputError, match="no regular file"):
        collect_parts(link, job(**few), RECORD)
    assert link.is_symlink() and [path.name for path in link.parent.iterdir()] == ["pool.parquet"]
