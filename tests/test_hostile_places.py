"""Files that are no plain files, and names and contents that would break a message or a terminal, through `gsi law`."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from gsi_theory.cli import main

GOOD = '{"draft": [0.5, 0.5], "base": [0.4, 0.6], "reward": [0, 1]}'


def call(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int | str | None, str, str]:
    """(status, standard output, standard error); anything but SystemExit, and any warning, fails the test."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    said = capsys.readouterr()
    return ended.value.code, said.out, said.err


def refused(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = call(arguments, capsys)
    assert (code, out) == (2, "") and err.count("\n") == 1 and len(err) < 2200, err
    assert words in err


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/full", "/dev/null"])
def test_a_device_is_no_instance_and_none_is_read_without_end(device: str, capsys: pytest.CaptureFixture[str]) -> None:
    refused(["law", device], f"{device} is a device: give an instance file", capsys)
    refused(["law", device, "--certify"], f"{device} is a device: give an instance file", capsys)


@pytest.mark.parametrize("options", [[], ["--certify"]])
def test_a_pipe_is_read_once(options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain, pipe = tmp_path / "i.json", tmp_path / "pipe"
    plain.write_text(GOOD)
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=(GOOD,), daemon=True)
    writer.start()
    assert call(["law", str(pipe), "--json", *options], capsys) == call(["law", str(plain), "--json", *options], capsys)
    writer.join()


@pytest.mark.parametrize("name", ["[bold]", "[", "a[/]b", "[/bold]", "[red]x[/blue]"])
def test_brackets_in_a_name_are_no_markup(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / f"{name.replace('/', '')}.json"
    if "/" in name:  # the folder ends in "[", and the name begins with "bold]"
        path = tmp_path / f"{name.partition('/')[0]}/{name.partition('/')[2].replace('/', '')}.json"
        path.parent.mkdir(parents=True)
    path.write_text(GOOD)
    code, out, _ = call(["law", str(path)], capsys)
    assert code == 0 and str(path) in out.replace("\n", "")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"draft": [1e308, 1e308], "base": [0.5, 0.5], "reward": [1, 1]}', "draft sums to inf"),
        ('{"draft": [0.5, 0.5], "base": [1e308, 1e308], "reward": [1, 1]}', "base sums to inf"),
        ('{"draft": [1], "base": [1], "reward": [1], "' + "k" * 100_000 + '": 1}', "give exactly draft, base, reward"),
        (
            '{"draft": [1], "base": [1], "reward": [1], ' + ", ".join(f'"k{i}": 1' for i in range(5000)) + "}",
            "give exactly draft, base, reward",
        ),
    ],
)
def test_one_short_line_ending_in_the_cure(
    text: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "i.json"
    path.write_text(text)
    refused(["law", str(path)], words, capsys)


def test_exponents_beyond_exact_numbers_are_refused_with_their_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "i.json"
    for exponent in ("-99999999999999999999", "-999999999999"):
        path.write_text(GOOD.replace("1]", f"1e{exponent}]"))
        refused(["law", str(path), "--certify"], f"{path}: ", capsys)


def test_too_many_candidates_to_certify_are_refused_before_the_law_is_computed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, many = tmp_path / "i.json", [1 / 256] * 256
    path.write_text(f'{{"draft": {many}, "base": {many}, "reward": {[0] * 256}}}')
    monkeypatch.setattr("gsi_theory.runs.command_law.gsi_law", lambda *_: pytest.fail("computed"))
    refused(["law", str(path), "--certify"], "K = 256 with --certify", capsys)


def test_utf32_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "i.json"
    for encoding in ("utf-32", "utf-32-be", "utf-16"):
        path.write_bytes(("\ufeff" if encoding.endswith("be") else "").encode(encoding) + GOOD.encode(encoding))
        refused(["law", str(path)], "UTF-16 or UTF-32 text: save it as UTF-8", capsys)


def process(line: str, folder: Path, **environment: str) -> tuple[int, str, str]:
    """(status, standard output, standard error) of a shell's line, in which GSI is the command."""
    code = f"import sys; sys.path[:0] = {sys.path!r}; from gsi_theory.cli import main; main()"
    (folder / "run.py").write_text(code)
    (folder / "i.json").write_text(GOOD)
    line = line.replace("GSI", f"{sys.executable} {folder / 'run.py'}")
    done = subprocess.run(
        line, shell=True, cwd=folder, capture_output=True, text=True, timeout=60, env={**os.environ, **environment}
    )
    assert "Traceback" not in done.stderr and "Warning" not in done.stderr, done.stderr
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("rest", ["--help", "--version", "law --help", "law i.json"])
def test_a_full_or_closed_standard_output_is_one_line(rest: str, tmp_path: Path) -> None:
    code, _, err = process(f"GSI {rest} > /dev/full", tmp_path)
    assert code == 2 and err.count("\n") == 1 and "cannot write the output (No space left on device)" in err
    code, _, err = process(f"GSI {rest} >&-", tmp_path)
    assert (code, err) == (2, "gsi: standard output is closed: give one, or send it to /dev/null\n")


def test_closed_standard_input_and_error_change_no_status(tmp_path: Path) -> None:
    assert process("GSI law i.json <&-", tmp_path)[0] == 0
    assert process("GSI law none.json 2>&-", tmp_path) == (2, "", "")


def test_the_list_of_commands_in_ascii(tmp_path: Path) -> None:
    code, out, _ = process("GSI --help", tmp_path, PYTHONIOENCODING="ascii")
    assert code == 0 and "\\u03b2" in out


@pytest.mark.parametrize("columns", ["0", "1", "20", "-5", "abc", "9" * 30])
def test_a_terminal_of_strange_width_shows_all_numbers(
    columns: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "i.json"
    path.write_text('{"draft": [0.123, 0.877], "base": [0.4, 0.6], "reward": [0, 1]}')
    monkeypatch.setenv("COLUMNS", columns)
    code, out, _ = call(["law", str(path)], capsys)
    assert code == 0 and "0.123" in out and "0.877" in out and "…" not in out
