"""Writing files: whole or not at all, through links, devices and FIFOs, and bad places in one line."""

from __future__ import annotations

import ast
import json
import os
import resource
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gsi_theory import InputError
from gsi_theory.cli import main
from gsi_theory.runs.artifact import read_artifact, write_artifact, write_parquet_artifact
from gsi_theory.runs.journal import Journal, journal_path
from gsi_theory.runs.output import atomic_write_bytes, atomic_write_files, require_writable, stage

RECORD = {"command": "gsi x", "seed": 0, "versions": {"python": "3"}, "commit": "abc"}
BIG = b"x" * 50_000


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file of this process grows beyond `size` bytes, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_links_are_followed_and_stay_links(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    target, link, chain = tmp_path / "real" / "file", tmp_path / "link", tmp_path / "chain"
    link.symlink_to(Path("real") / "file")
    chain.symlink_to(link)
    for content in (b"made through a link that leads to nothing yet", b"written again"):
        require_writable(chain)
        atomic_write_bytes(chain, content)
        assert target.read_bytes() == content and not target.is_symlink()
        assert link.is_symlink() and chain.is_symlink()
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["chain", "file", "link", "real"]


def test_a_loop_of_links_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    for act in (require_writable, lambda path: atomic_write_bytes(path, b"x")):
        with pytest.raises(InputError, match=r"cannot write .*levels of symbolic links"):
            act(tmp_path / "a")
    assert (tmp_path / "a").is_symlink()


def test_a_fifo_is_written_through(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    require_writable(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    try:
        atomic_write_bytes(fifo, BIG)
        taken = os.read(reader, 2 * len(BIG))
    finally:
        os.close(reader)
    assert taken == BIG
    assert stat.S_ISFIFO(fifo.stat().st_mode) and os.listdir(tmp_path) == ["fifo"]


def test_a_device_is_written_to_and_stays_one(tmp_path: Path) -> None:
    # by a link, so that a writer that replaces what it finds replaces the link
    full, null = tmp_path / "full", tmp_path / "null"
    full.symlink_to("/dev/full")
    null.symlink_to("/dev/null")
    atomic_write_bytes(null, BIG)
    with pytest.raises(InputError, match=r"cannot write .*full \(No space left on device\): free space"):
        atomic_write_bytes(full, BIG)
    with pytest.raises(InputError, match="no regular file"), stage(full):
        pass
    assert full.is_symlink() and null.is_symlink()
    assert all(stat.S_ISCHR(os.stat(p).st_mode) for p in ("/dev/full", "/dev/null"))
    assert sorted(os.listdir(tmp_path)) == ["full", "null"]


def test_no_journal_lies_beside_a_device(tmp_path: Path) -> None:
    null = tmp_path / "null"
    null.symlink_to("/dev/null")
    assert journal_path(null) is None and journal_path(tmp_path / "new") == tmp_path / "new.journal.jsonl"
    Journal(journal_path(null), {}).add({("a",): 1})
    assert os.listdir(tmp_path) == ["null"]
    journal = Journal(journal_path(tmp_path / "new"), {})
    with largest_file(60), pytest.raises(InputError, match=r"cannot write .*new\.journal\.jsonl \(File too large\)"):
        journal.add({("a",): "x" * 100})


@pytest.mark.parametrize("place", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_standard_output_is_written_in_turn(place: str, tmp_path: Path) -> None:
    code = (
        "from gsi_theory.runs.output import atomic_write_text\n"
        f"print('before'); atomic_write_text({place!r}, 'content\\n'); print('after')"
    )
    piped = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert piped.stdout == "before\ncontent\nafter\n"
    file = tmp_path / "file"
    with file.open("w") as stream:
        subprocess.run([sys.executable, "-c", code], stdout=stream, timeout=60, check=True)
    assert file.read_text() == "before\ncontent\nafter\n"


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        (".", "Is a directory"),
        ("folder", "Is a directory"),
        ("file/below", "Not a directory"),
        ("file/far/below", "Not a directory"),
        ("n" * 300, "File name too long"),
        ("/proc/none", "No such file"),
        ("/sys/none", ""),
        ("null\0character", "null character"),
    ],
)
def test_bad_places_are_refused_in_one_line(place: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_bytes(b"old")
    for act in (require_writable, lambda path: atomic_write_bytes(path, b"x")):
        with pytest.raises(InputError, match=f"cannot write .*{reason}") as caught:
            act(tmp_path / place)
        assert "\n" not in str(caught.value)
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"] and (tmp_path / "file").read_bytes() == b"old"


def test_nothing_is_left_of_a_file_that_does_not_fit(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(b"old")
    writers: list[Callable[[], Any]] = [
        lambda: atomic_write_bytes(one, BIG),
        lambda: atomic_write_files({one: b"new", two: BIG}),
        lambda: atomic_write_files({two: BIG, one: b"new"}),
    ]
    for writer in writers:
        with largest_file(10_000), pytest.raises(InputError, match=r"cannot write .*\(File too large\)"):
            writer()
        assert os.listdir(tmp_path) == ["one"] and one.read_bytes() == b"old"


def test_an_artifact_that_does_not_fit_leaves_the_old_one_whole(tmp_path: Path) -> None:
    path, rng = tmp_path / "x.json", np.random.default_rng(0)
    small, large = {"a": {"v": [1.0]}, "b": {"v": [2.0]}}, {"a": {"v": [3.0]}, "b": {"v": rng.random(10_000)}}
    for write in (write_artifact, write_parquet_artifact):
        write(path, "x", RECORD, {}, small)
        names = sorted(os.listdir(tmp_path))
        with largest_file(10_000), pytest.raises(InputError, match="File too large"):
            write(path, "x", RECORD, {}, large)
        assert read_artifact(path, "x").tables == small and sorted(os.listdir(tmp_path)) == names


def test_an_artifact_is_written_and_read_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    link, tables = tmp_path / "link.json", {"a": {"v": [1.0]}}
    link.symlink_to(tmp_path / "real" / "x.json")
    write_parquet_artifact(link, "x", RECORD, {}, tables)
    assert link.is_symlink()
    assert read_artifact(link, "x").tables == read_artifact(tmp_path / "real" / "x.json", "x").tables == tables


def test_modes_are_the_old_files_or_the_umasks(tmp_path: Path) -> None:
    private, fresh = tmp_path / "private", tmp_path / "fresh"
    private.write_bytes(b"old")
    private.chmod(0o600)
    mask = os.umask(0o027)
    try:
        atomic_write_files({private: b"new", fresh: b"new"})
    finally:
        os.umask(mask)
    assert [stat.S_IMODE(p.stat().st_mode) for p in (private, fresh)] == [0o600, 0o640]


@pytest.mark.skipif(os.geteuid() == 0, reason="everything may be written by root")
def test_a_protected_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"old")
    file.chmod(0o444)
    with pytest.raises(InputError, match="Permission denied"):
        atomic_write_bytes(file, b"new")
    assert file.read_bytes() == b"old"


def _log(folder: Path) -> str:
    """A JSONL log of a small pool."""
    log = folder / "log.jsonl"
    keys = [(source, k) for source in ("draft", "base") for k in range(20)]
    log.write_text("".join(
        json.dumps({"prompt_id": "p", "step": 0, "source": source, "candidate": k,
                    "logp_draft": -1.0 - (7 * k) % 20 / 7, "logp_base": -1.0 - k / 5,
                    "reward": (3 * k) % 20 / 20}) + "\n"
        for source, k in keys
    ))  # fmt: skip
    return str(log)


COMMANDS = {
    "refute --out": lambda out, log: ["refute", "M14", "--seconds", "0.1", "--out", out],
    "refute --latex": lambda out, log: ["refute", "M14", "--seconds", "0.1", "--latex", out],
    "import": lambda out, log: ["import", log, "--out", out + ".parquet"],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_commands_write_through_links_and_refuse_a_full_disk(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log, suffix = _log(tmp_path), ".parquet" if name == "import" else ""
    real, link, full = (tmp_path / (stem + suffix) for stem in ("real", "link", "full"))
    link.symlink_to(real)
    full.symlink_to("/dev/full")
    for out, status in ((link, 0), (full, 2)):
        with pytest.raises(SystemExit) as ended:
            main(COMMANDS[name](str(out).removesuffix(suffix), log))
        said = capsys.readouterr().err
        assert ended.value.code == status, said
        assert out.is_symlink()
        if status:
            assert "No space left on device" in said and len(said.strip().splitlines()) == 1
    whole = real.read_bytes()
    assert whole
    with largest_file(20), pytest.raises(SystemExit) as ended:
        main(COMMANDS[name](str(link).removesuffix(suffix), log))
    said = capsys.readouterr().err
    assert ended.value.code == 2 and "File too large" in said and len(said.strip().splitlines()) == 1
    assert real.read_bytes() == whole
    assert sorted(os.listdir(tmp_path)) == sorted(["log.jsonl", *(p.name for p in (real, link, full))])


def test_standard_output_on_a_full_disk_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "instance.json"
    file.write_text('{"draft": [0.5, 0.5], "base": [0.5, 0.5], "reward": [0, 1]}')
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "gsi_theory.cli", "law", str(file), "--json"],
            stdout=full, stderr=subprocess.PIPE, text=True, timeout=60,
        )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr == "gsi law: cannot write the output (No space left on device): free space, or raise the limit\n"


# What may open files for writing itself, and why.
OWN = {
    "gsi_theory/runs/output.py": "the mechanism",
    "gsi_theory/cli.py": "opens the null device for streams that are closed",
    "gsi_theory/runs/journal.py": "appends lines to a journal",
    "llm_check/models/collecting/parts.py": "holds a lock file",
    "llm_check/models/real/fetching.py": "takes a file out of a wheel, under another name until it is whole",
    "llm_check/models/real/preparation.py": "converts into a folder that takes its place by one rename",
    "llm_check/models/rewards/state_head.py": "writes into a temporary folder, and from there by the mechanism",
    "llm_check/models/tiny/train.py": "writes into a temporary folder, and from there by the mechanism",
}
WRITERS = {"write_text", "write_bytes", "replace", "rename", "save_file", "mkstemp", "NamedTemporaryFile", "savez"}


def _writes(call: ast.Call) -> bool:
    function = call.func
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    if name == "open":
        modes = [a.value for a in [*call.args, *(k.value for k in call.keywords)] if isinstance(a, ast.Constant)]
        return any(isinstance(mode, str) and set(mode) <= set("rwxabt+") and set(mode) & set("wxa+") for mode in modes)
    if name in ("replace", "rename"):
        return isinstance(function, ast.Attribute) and getattr(function.value, "id", "") == "os"
    return name in WRITERS


def test_files_are_written_in_one_way_only() -> None:
    root = Path(__file__).resolve().parents[3]
    found = set()
    for package in ("gsi_theory", "sims", "llm_check", "figures"):
        for path in (root / package).rglob("*.py"):
            calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
            if any(_writes(call) for call in calls):
                found.add(path.relative_to(root).as_posix())
    assert found <= set(OWN), f"write by gsi_theory.runs.output: {sorted(found - set(OWN))}"
