"""Runs of several methods: the journal, its resumption byte for byte, what is counted, and the command itself."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gsi_theory.errors import InputError
from gsi_theory.runs.journal import Journal, journal_path
from gsi_theory.runs.json_output import plain
from llm_check.models.command_decode import app, shown
from llm_check.models.decoding.decoded_task import decode
from llm_check.models.decoding.solutions import SolutionRun, differences, solve_task, summary
from llm_check.models.grading.grading import Grade, GradeOutcome
from llm_check.models.world import World, load_world

COMMAND = ["--method", "gsi", "--method", "draft", "--problems", "24", "--n", "3", "--batch", "4", "--seed", "2"]


@pytest.fixture(scope="module")
def world() -> World:
    return load_world(limit=12, seed=2)


def run(out: Path, *more: str) -> dict[str, Any]:
    app([*COMMAND, *more, "--out", str(out)], standalone_mode=False)
    return json.loads(out.read_text())


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of the command in one go."""
    out = tmp_path_factory.mktemp("whole") / "out.json"
    run(out)
    return out


def solved(world: World, plan: SolutionRun, journal: Journal | None = None, grade: Any = None) -> list[dict[str, Any]]:
    return solve_task(
        plan, world.models, world.prompts(), world.rule, world.max_steps, grade or world.task.grade,
        journal or Journal(None, {}),
    )  # fmt: skip


def test_batches_change_no_solution(world: World) -> None:
    plans = [SolutionRun(("gsi", "first_passage"), 20.0, 3, 0.5, seed=1, batch=batch) for batch in (1, 5, 100)]
    one, five, all_at_once = (solved(world, plan) for plan in plans)
    for rows in (five, all_at_once):
        assert [row["text"] for row in rows] == [row["text"] for row in one]
        assert [row["steps"]["reward_calls"] for row in rows] == [row["steps"]["reward_calls"] for row in one]


def test_record_says_what_happened(whole: Path) -> None:
    record = json.loads(whole.read_text())
    assert not journal_path(whole).exists()
    gsi, draft = record["methods"]
    assert (gsi["method"], gsi["n"], draft["n"], gsi["problems"]) == ("gsi", 3, 1, 24)
    assert gsi["right"] + gsi["wrong"] + gsi["failed"] == 24
    assert gsi["accuracy_low"] < gsi["accuracy"] < gsi["accuracy_high"] or gsi["accuracy"] in (0.0, 1.0)
    own = [row for row in record["solutions"] if row["method"] == "gsi"]
    assert gsi["right"] == sum(row["text"].endswith("\\boxed{" + row["reference"] + "}") for row in own)
    steps = [row["steps"] for row in own]
    assert gsi["steps"] == sum(len(part["reward"]) for part in steps)
    accepted = [flag for part in steps for flag in part["accepted"]]
    assert gsi["acceptance_rate"] == pytest.approx(np.mean(accepted))
    assert gsi["draft_share"] == pytest.approx(gsi["acceptance_rate"])
    assert gsi["base_samples"] == 3 * (len(accepted) - sum(accepted))
    assert draft["acceptance_rate"] is None and own[0]["steps"]["winner_log_ratio"][0] is not None
    only = [row for row in record["solutions"] if row["method"] == "draft"]
    assert only[0]["steps"]["gate_value"][0] is None
    (pair,) = record["differences"]
    assert (pair["first"], pair["second"], pair["pairs"]) == ("gsi", "draft", 24)
    assert pair["difference"] == pytest.approx(gsi["accuracy"] - draft["accuracy"])
    assert "--method gsi --method draft" in record["provenance"]["command"]


def test_a_journal_cut_anywhere_ends_with_the_same_bytes(whole: Path, tmp_path: Path) -> None:
    out, content = tmp_path / "out.json", whole.read_bytes()
    kept: list[bytes] = []

    class Stop(Exception):
        pass

    def watch(self: Journal, results: Any, add: Any = Journal.add) -> None:
        add(self, results)
        kept.append(journal_path(out).read_bytes())
        if len(kept) == 9:
            raise Stop

    patched = pytest.MonkeyPatch()
    with patched.context() as patch, pytest.raises(Stop):
        patch.setattr(Journal, "add", watch)
        run(out)
    assert not out.exists()
    journal = kept[-1]
    assert journal.count(b"\n") == 1 + 9 * 4
    for cut in (len(journal), len(journal) - 1, len(journal) - 700, journal.index(b"\n") + 1):
        journal_path(out).write_bytes(journal[:cut])
        run(out)
        assert out.read_bytes() == content
        assert not journal_path(out).exists()


def interrupted(out: Path, content: bytes) -> bool:
    """Interrupt the real command once it has kept something; whether the interrupt came before its end."""
    started = subprocess.Popen(
        [sys.executable, "-m", "gsi_theory.cli", "decode", *COMMAND, "--out", str(out)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while started.poll() is None and not (
        journal_path(out).exists() and journal_path(out).read_bytes().count(b"\n") > 4
    ):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    if started.poll() is None:
        started.send_signal(signal.SIGINT)
    _, errors = started.communicate(timeout=60)
    if out.exists():
        assert out.read_bytes() == content
        return False
    assert started.returncode == 130, errors
    assert "interrupted: give the same command again, and it goes on from here" in errors
    return True


def test_an_interrupted_command_goes_on(whole: Path, tmp_path: Path) -> None:
    """A real interrupt of the real command; what it kept is not computed again."""
    # A busy machine may let the command end before the interrupt reaches it: then once more.
    content = whole.read_bytes()
    outs = (tmp_path / f"{attempt}.json" for attempt in range(5))
    out = next((out for out in outs if interrupted(out, content)), None)
    assert out is not None, "five commands were done before an interrupt reached them"
    run(out)
    assert out.read_bytes() == content


def test_a_journal_of_other_settings_is_never_mixed_in(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    Journal(journal_path(out), {"settings": "others"})
    with pytest.raises(InputError, match="holds unfinished results of other settings"):
        run(out)
    journal = Journal(tmp_path / "j", {"a": 1})
    journal.add({("gsi", "p"): {"x": float("nan"), "y": float("inf")}})
    assert Journal(tmp_path / "j", {"a": 1})["gsi", "p"] == {"x": None, "y": "inf"} == plain(journal["gsi", "p"])
    (tmp_path / "j").write_text((tmp_path / "j").read_text() + "no json\n")
    with pytest.raises(InputError, match="line 3 is no journal line"):
        Journal(tmp_path / "j", {"a": 1})


def test_failures_of_grading_count_neither_way(world: World) -> None:
    def grade(problems: Any, texts: Any) -> list[Grade]:
        verdicts = [GradeOutcome.FAILED if i % 3 == 0 else GradeOutcome.RIGHT for i in range(len(texts))]
        return [Grade(verdict, "gave up" if verdict is GradeOutcome.FAILED else "") for verdict in verdicts]

    plan = SolutionRun(("draft", "base"), 1.0, 1, None, batch=12)
    rows = solved(world, plan, grade=grade)
    found = summary("draft", plan, rows[:12], world.reward_model)
    assert (found["right"], found["wrong"], found["failed"], found["accuracy"]) == (8, 0, 4, 1.0)
    assert differences(plan.methods, rows)[0]["pairs"] == 8
    # no mean reward is outside the range of the rewards
    mean, free = found["solution_reward"], SimpleNamespace(low=-np.inf, high=np.inf)
    wide: Any = summary("draft", plan, rows[:12], free)  # type: ignore[arg-type]
    assert wide["solution_reward_low"] < mean - 1e-6 and mean + 1e-6 < wide["solution_reward_high"]
    narrow = summary("draft", plan, rows[:12], SimpleNamespace(low=mean - 1e-6, high=mean + 1e-6))  # type: ignore[arg-type]
    assert (narrow["solution_reward_low"], narrow["solution_reward_high"]) == (mean - 1e-6, mean + 1e-6)
    assert rows[0]["grade"] == "failed" and rows[0]["reason"] == "gave up"


def test_bad_plans_are_refused_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="method 'gsi' is given twice"):
        SolutionRun(("gsi", "gsi"), 1.0, 2, 0.5)
    with pytest.raises(InputError, match="batch = 0"):
        SolutionRun(("gsi",), 1.0, 2, 0.5, batch=0)
    for arguments, words in (
        (["--method", "best"], "method 'best'.*: use one of draft"),
        (["--beta", "-1"], "beta = -1.0"),
        (["--n", "0"], "n = 0"),
        (["--task", "summs"], "task 'summs'"),
        (["--step", "line"], "step 'line'"),
        (["--template", "xml"], "template 'xml'"),
        (["--draft", "/nowhere"], "/nowhere"),
        (["--dtype", "float7", "--problems", "1"], "float7"),
        (["--method", "drafters", "--problems", "1"], "give further drafters"),
        (["--out", str(tmp_path)], "Is a directory"),
    ):
        with pytest.raises(InputError, match=words.replace("[", r"\[")):
            app(arguments, standalone_mode=False)
    assert not list(tmp_path.iterdir())


def test_model_text_is_shown_without_markup_or_control_characters() -> None:
    assert shown("[red]a[/red]\x1b[31m\u202eb\n\nc\nd") == "\\[red]a\\[/red]\\x1b[31m\\u202eb · c d"


def test_steps_by_number_and_by_whole_answer(tmp_path: Path) -> None:
    record = run(tmp_path / "a.json", "--step", "answer", "--max-tokens", "24")
    assert record["settings"]["max_steps"] == 1
    assert all(len(row["step_ids"]) == 1 for row in record["solutions"])
    record = run(tmp_path / "b.json", "--step", "tokens:2")
    assert record["settings"]["max_steps"] == 12
    lengths = [len(step) for row in record["solutions"] for step in row["step_ids"][:-1]]
    assert set(lengths) == {2}


def test_a_method_of_ones_own_from_a_file(tmp_path: Path) -> None:
    """It is decoded, summarized and named as it was given; what it says is part of the record of the run."""
    mine = tmp_path / "mine.py"
    fields = "'mine', 'one base draw by the race', 'M6', '–', 'draft', rule='race', gate='tilted_reward', n_base=1"
    mine.write_text(f"from gsi_theory.methods import Method\nMINE = Method({fields})\nOTHER = 3\n")
    arguments = ["--n", "3", "--problems", "4", "--seed", "2", "--out", str(tmp_path / "out.json")]
    app(["--method", f"{mine}:MINE", *arguments], standalone_mode=False)
    record = json.loads((tmp_path / "out.json").read_text())
    (row,) = record["methods"]
    assert (row["method"], row["n"], row["n_base"]) == (f"{mine}:MINE", 3, 1) and row["acceptance_rate"] is not None
    assert record["settings"]["records"][f"{mine}:MINE"]["rule"] == "race"
    for name, words in (
        ("MIN", "defines no MIN (did you mean 'MINE'"),
        ("OTHER", "OTHER is an int: it must be a Method"),
    ):
        with pytest.raises(InputError, match=re.escape(words)):
            app(["--method", f"{mine}:{name}", *arguments], standalone_mode=False)


def test_the_function_returns_what_the_command_writes(whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    decoded = decode(("gsi", "draft"), n=3, problems=24, batch=4, seed=2, out=out)
    assert decoded.as_json() == out.read_text() == whole.read_text()
    one = decode("gsi", n=3, problems=24, batch=4, seed=2)
    assert one.solutions == decoded.solutions[:24] and one.differences == [] and one.warning == ""
