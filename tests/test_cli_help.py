"""Help, completion, interruptions and wrong names of every command, as a newcomer meets them at 80 columns."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gsi_theory.cli import COMMANDS, load_command, main
from llm_check.models.tiny import checkpoint_path

# What takes seconds to import and no help needs.
HEAVY = (
    "torch", "transformers", "tokenizers", "datasets", "numba", "pyarrow", "matplotlib", "scipy.stats", "arviz_stats",
    "pandas",
)  # fmt: skip


def said(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    shown = capsys.readouterr()
    return int(str(stopped.value.code or 0)), shown.out, shown.err


def test_no_help_imports_what_is_slow() -> None:
    program = f"""
import contextlib, io, sys
from gsi_theory.cli import COMMANDS, main
for name in COMMANDS:
    with contextlib.redirect_stdout(io.StringIO()) as shown, contextlib.suppress(SystemExit):
        main([*name.split(), "--help"])
    assert "Usage: gsi " + name in shown.getvalue(), name
    found = [module for module in {HEAVY!r} if module in sys.modules]
    assert not found, (name, found)
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)


def test_a_list_of_members_imports_no_models() -> None:
    program = """
import contextlib, io, sys
from gsi_theory.cli import main
for name, member in (("check", "lm_law"), ("simulate", "coverage"), ("refute", "M12a")):
    with contextlib.redirect_stdout(io.StringIO()) as shown, contextlib.suppress(SystemExit):
        main([name])
    assert member in shown.getvalue(), name
    assert not {"torch", "transformers", "datasets"} & set(sys.modules), name
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_fits_80_columns_and_groups_its_options(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    code, text, _ = said([*name.split(), "--help"], capsys)
    assert code == 0
    assert max(map(len, text.splitlines())) <= 80
    assert "range>" not in text and "list[" not in text and "<float>" not in text  # the type of the source
    options = [p for p in load_command(name).params if p.param_type_name == "option" and p.name != "help"]
    assert all(p.help for p in options)
    assert len(options) <= 3 or len({getattr(p, "rich_help_panel", None) for p in options}) >= 2
    # Paragraphs are filled: a line ends before the next word would go beyond the width.
    about = text.split("╭")[0].splitlines()
    for line, after in itertools.pairwise(about):
        if line.strip() and after.strip() and not line.strip().startswith("Usage"):
            assert len(line.rstrip()) + len(after.split()[0]) >= 78, line


def test_usage_fits_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    _, text, _ = said([], capsys)
    assert max(map(len, text.splitlines())) <= 80
    assert all(f"  {name}" in text for name in COMMANDS)


COMPLETED = {
    "gsi re": {"report", "refute"},
    "gsi refute M12-g": {"M12-gated-kl", "M12-gated-reward"},
    "gsi refute --m": {"--mutants"},
    "gsi simulate cov": {"coverage"},
    "gsi check lm_s": {"lm_speed", "lm_seconds", "lm_study"},
    "gsi decode --method rsd": {"rsd", "rsd_sigmoid"},
    "gsi decode --task gsm": {"gsm8k"},
    "gsi pool out.parquet --path ref": {"reference"},
    "gsi law FILE --rule ": {"softmax", "race", "max"},
}


@pytest.mark.parametrize("line", COMPLETED)
def test_what_a_shell_is_offered(
    line: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_GSI_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(len(line.split(" ")) - 1))
    code, text, _ = said([], capsys)
    assert code == 0
    assert set(text.split()) == COMPLETED[line]


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_bash_completes_by_the_script_that_is_shown(tmp_path: Path) -> None:
    command = tmp_path / "gsi"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m gsi_theory.cli "$@"\n')
    command.chmod(0o755)
    script = (
        f'PATH={tmp_path}:$PATH; eval "$(gsi --show-completion bash)"; complete -p gsi; '
        'COMP_WORDS=(gsi refute M9-r); COMP_CWORD=2; _gsi_completion gsi; echo "<${COMPREPLY[@]}>"'
    )
    environment = os.environ | {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    done = subprocess.run(
        ["bash", "--norc", "-ec", script], capture_output=True, text=True, timeout=120, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert "-F _gsi_completion gsi" in done.stdout and "<M9-reject>" in done.stdout


def interrupting(*_: object, **__: object) -> None:
    signal.raise_signal(signal.SIGINT)


# command -> what is replaced by a Ctrl-C, and arguments
LONG: dict[str, tuple[str, Callable[[Path], list[str]]]] = {
    "simulate": ("sims.command_simulate.simulate", lambda at: ["uniform_race", "--out", str(at)]),
    "audit": ("sims.command_audit.audit", lambda at: ["--out", str(at)]),
    "report": ("sims.command_simulate.simulate", lambda at: ["--out", str(at)]),
    "refute": ("gsi_theory.runs.command_refute.refute", lambda at: ["M10", "--out", str(at / "card.txt")]),
    "check": ("llm_check.models.world.load_world", lambda at: ["lm_law", "--out", str(at)]),
    "decode": ("llm_check.models.decoding.decoded_task.load_world", lambda at: ["--out", str(at / "record.json")]),
    "pool": ("llm_check.models.collecting.collected_task.load_world", lambda at: [str(at / "pool.parquet")]),
    "import": ("llm_check.logs.formats.log_import.import_log", lambda at: ["LOG", "--out", str(at / "o.parquet")]),
    "doctor": ("llm_check.logs.pools.diagnosis.read_either", lambda at: [str(at / "pool.parquet")]),
    "curve": ("llm_check.logs.curves.draw_source.read_log_file", lambda at: [str(at / "log.parquet")]),
    "predict": ("llm_check.logs.mean_prediction.read_pool", lambda at: [str(at / "pool.parquet")]),
    "plan": ("llm_check.logs.log.read_either", lambda at: [str(at / "pool.parquet")]),
    "conform": ("gsi_theory.runs.command_conform.load_callable", lambda at: ["mine.py:f", "--method", "gsi"]),
    "conform lm": ("llm_check.models.conforming.lm_bench.load_engine", lambda at: [str(checkpoint_path("base"))]),
    "law": ("gsi_theory.runs.command_law.read_instance", lambda at: [str(at / "instance.json")]),
    "models": ("llm_check.models.real.preparation.prepare", lambda at: ["smollm2", "--cache", str(at / "cache")]),
    "figures": ("figures.report.build_report", lambda at: ["--out", str(at)]),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_an_interrupted_command_says_what_to_do_next(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    place, arguments = LONG[name]
    monkeypatch.setattr(place, interrupting)
    code, _, errors = said([*name.split(), *arguments(tmp_path)], capsys)
    assert code == 130
    assert errors.strip().splitlines()[-1].startswith(f"gsi {name}: interrupted: ")
    assert "same command again" in errors and "Traceback" not in errors
    goes_on = name in ("simulate", "audit", "report", "pool", "check", "decode", "models")
    assert ("goes on from here" in errors) == goes_on
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


WRONG = {
    ("rfute",): "'refute'",
    ("refute", "m12A"): "'M12a'",
    ("simulate", "exact_vs_cm"): "'exact_vs_mc'",
    ("simulate", "uniform_race", "--set", "betta=2"): "'beta'",
    ("simulate", "uniform_race", "--profile", "fulll"): "'full'",
    ("check", "lm_laws"): "'lm_law'",
    ("check", "lm_law", "--set", "drows=3"): "'draws'",
    ("audit", "--set", "familes=easy"): "'families'",
    ("models", "smolm2"): "'smollm2'",
    ("decode", "--method", "gsi_rac"): "'gsi_race'",
    ("decode", "--task", "gsm9k"): "'gsm8k'",
    ("decode", "--template", "chet"): "'chat'",
    ("law", "INSTANCE", "--rule", "sofmax"): "'softmax'",
    ("law", "INSTANCE", "--threshold", "0.5", "--gate", "scor"): "'score'",
    ("plan", "INSTANCE", "--cost", "flop"): "'flops'",
    ("plan", "INSTANCE", "--device", "h10"): "'h100'",
}


@pytest.mark.parametrize("arguments", WRONG)
def test_a_wrong_name_is_one_line_with_the_nearest(
    arguments: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "INSTANCE").write_text('{"draft": [0.5, 0.5], "base": [0.2, 0.8], "reward": [0, 1]}')
    code, _, errors = said(list(arguments), capsys)
    assert code == 2
    line = errors.strip().splitlines()
    assert len(line) == 1 and "did you mean" in line[0]
    assert WRONG[arguments] in line[0].split("did you mean")[1].split(")")[0]


def test_an_option_of_one_value_is_given_once(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = said(["curve", "log.jsonl", "--n", "1", "--n=4"], capsys)
    assert (code, out) == (2, "")
    assert err == "gsi curve: --n is given 2 times: give it once\n"
    for repeatable in ("--map", "--fact"):
        assert "times" not in said(["import", "log.jsonl", repeatable, "a=b", repeatable, "c=d"], capsys)[2]
