"""`llm_check.curve` and `gsi curve`: what they answer, of which logs, in which words; and what they refuse."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import llm_check
from gsi_theory.cli import main
from gsi_theory.errors import InputError
from llm_check.logs.curves.curve_words import turning_words
from llm_check.logs.curves.log_curves import curve, default_ns
from llm_check.logs.log import write_log
from tests.llm_check.logs.curves.test_prompt_curves import draws, table

CURVE = {"selector", "beta", "value", "mean", "se_prompts", "se_fixed", "low", "high"}


def _file(path: Path, rows: list[dict[str, Any]], **facts: Any) -> Path:
    write_log(path, table(rows), {"facts": facts} if facts else {})
    return path


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return _file(tmp_path / "log.parquet", draws(9, 8, 1), iid=True)


def said(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop, warnings.catch_warnings():
        warnings.simplefilter("error")
        main(["curve", *map(str, arguments)])
    shown = capsys.readouterr()
    return int(str(stop.value.code or 0)), shown.out, shown.err


def test_the_answer_has_the_fields_of_the_design(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, text, _ = said(capsys, log, "--beta", "1,1,2", "--json")
    record = json.loads(text)
    assert code == 0 and record["schema"] == 1 and record["n"] == list(range(1, 9)) and record["prompts"] == 9
    fields = {"n", "selector", "value", "estimate", "low", "high", "guaranteed_low", "guaranteed_high", "reason"}
    assert {one["n"] for one in record["beyond"]} == {16, 32} and all(set(one) == fields for one in record["beyond"])
    assert record["iid"] is True and record["against"] is None
    assert all(set(entry) >= CURVE and len(entry["mean"]) == 8 for entry in record["curves"])
    names = [(entry["selector"], entry["beta"], entry["value"]) for entry in record["curves"]]
    soft = [(s, b, v) for s in ("soft_best_of_n", "race") for b in (1.0, 2.0) for v in ("reward", "correct")]
    votes = [(s, None, "correct") for s in ("majority", "weighted_majority", "pass_at_k")]
    assert names == [("best_of_n", None, "reward"), ("best_of_n", None, "correct"), *soft, *votes]
    assert [entry["selector"] for entry in record["curves"] if entry["needs_key"]] == ["pass_at_k"]
    assert record == json.loads(json.dumps(llm_check.curve(log, betas=(1, 2)).record()))


def test_n_of_one_is_the_mean_for_every_selector(log: Path) -> None:
    rows = llm_check.read_log(log).table.to_pylist()
    means = {name: np.mean([row[name] for row in rows]) for name in ("reward", "correct")}
    for line in curve(log).lines:
        assert line.bands.mean[0] == pytest.approx(means[line.key.value], abs=1e-12)


def test_the_text_fits_and_says_how_draws_were_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    rows = [{**row, "reward": 1e4 * row["reward"] - 1} for row in draws(6, 40, 2)]
    words = {
        None: "nobody said how these were drawn",
        False: "not independent draws (beam search)",
        True: "under each mean its standard error",
    }
    for iid, part in words.items():
        facts = {} if iid is None else {"iid": iid, "how": "beam search"}
        path = _file(tmp_path / f"{iid}.parquet", rows, **facts)
        code, text, _ = said(capsys, path, "--n", "1,2,40", "--select", "best_of_n,majority,pass_at_k")
        assert code == 0 and part in " ".join(text.split()) and max(map(len, text.splitlines())) <= 80
        assert "nan" not in text and "…" not in text
        assert ("nothing is recommended" in " ".join(text.split())) == (iid is False)


def test_ragged_logs_say_who_speaks_and_show_the_same_prompts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = draws(6, 16, 3) + [{**row, "prompt_id": "short" + row["prompt_id"]} for row in draws(3, 4, 4)]
    path = _file(tmp_path / "l.parquet", rows)
    record = curve(path, select=["best_of_n"]).record()
    entry = record["curves"][0]
    assert entry["speaking"] == [9] * 4 + [6] * 12
    assert record["same_prompts"]["prompts"] == 6 and record["same_prompts"]["n"] == record["n"]
    whole = curve(_file(tmp_path / "w.parquet", rows[: 6 * 16]), select=["best_of_n"]).record()
    assert record["same_prompts"]["curves"] == whole["curves"] and whole["same_prompts"] is None
    assert record["over_optimization"][0]["prompts"] == 6
    text = " ".join(said(capsys, path, "--select", "best_of_n")[1].split())
    assert "the prompts with so many draws speak: 6 from n = 5" in text and "over the same 6 prompts" in text


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([{**row, "candidate": 0} for row in draws(5, 1, 5)], "5 prompts with 1 draw: it shows no error of its own"),
        (draws(1, 6, 5), "means over 1 prompt"),
        ([{**row, "reward": 0.5, "correct": True, "answer": "a"} for row in draws(4, 4, 5)], "4 prompts"),
        ([{**row, "answer": None} for row in draws(4, 4, 5)], "4 prompts"),
        ([{**row, "correct": None if row["candidate"] else True} for row in draws(4, 4, 5)], "4 prompts with draws"),
        ([{k: v for k, v in row.items() if k not in ("reward", "answer")} for row in draws(4, 4, 5)], "pass@k needs"),
        ([{k: row[k] for k in ("prompt_id", "candidate", "reward")} for row in draws(4, 4, 5)], "4 prompts"),
        ([{**row, "reward": 1e90 * (row["reward"] - 1)} for row in draws(4, 4, 5)], "some rewards are below 0"),
    ],
)  # fmt: skip
def test_hard_logs_are_answered_without_nan_or_warning(
    rows: list[dict[str, Any]], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = _file(tmp_path / "l.parquet", rows)
    code, text, _ = said(capsys, path, "--beta", "0,1000000")
    assert code == 0 and words in " ".join(text.split()) and "nan" not in text and "inf" not in text
    code, text, _ = said(capsys, path, "--beta", "0,1000000", "--json", "--against", path)
    record = json.loads(text)
    assert code == 0 and "NaN" not in text and "inf" not in text.lower()
    for entry in record["against"]["curves"]:
        assert all(value in (None, 0.0) for value in entry["difference"])


def test_a_reward_that_is_the_grade_is_labelled(tmp_path: Path) -> None:
    path = _file(tmp_path / "l.parquet", draws(4, 4, 6), reward_is_grade=True)
    curves = curve(path)
    assert curves.record()["reward_is_grade"] is True
    assert "the reward is a bench's grade: choosing by it needs the answer key" in curves.notes
    by_reward = [line for line in curves.record()["curves"] if line["selector"] in ("best_of_n", "weighted_majority")]
    assert all(line["needs_key"] for line in by_reward)


def test_a_pool_of_two_models_is_two_logs(tmp_path: Path) -> None:
    rows = [
        {**row, "step": 0, "source": source, "logp_draft": -1.0, "logp_base": -1.0, "reward": row["reward"] + shift}
        for source, shift in (("draft", 0.0), ("base", 1.0))
        for row in draws(4, 5, 7)
    ]
    path = tmp_path / "pool.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    low, high = (curve(path, source=source, select=["best_of_n"]).lines[0].bands.mean for source in ("draft", "base"))
    assert np.allclose(high - low, 1.0)
    with pytest.raises(InputError, match="pool of two models: give --source draft or --source base"):
        curve(path)
    with pytest.raises(InputError, match="did you mean 'draft'"):
        curve(path, source="drafts")


def test_two_logs_are_compared_prompt_by_prompt(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = draws(12, 8, 8)
    better = [{**row, "correct": row["correct"] or row["candidate"] % 2 == 0} for row in rows]
    stranger = [{**row, "prompt_id": "other"} for row in rows[:8]]
    one, two = _file(tmp_path / "a.parquet", better), _file(tmp_path / "b.parquet", rows[8:] + stranger)
    curves = curve(one, against=two, select=["pass_at_k"])
    paired = curves.against
    assert paired is not None and (paired.prompts, paired.left_out) == (11, (1, 1))
    own = curve(_file(tmp_path / "c.parquet", better[8:]), select=["pass_at_k"]).lines[0].bands.mean
    other = curve(_file(tmp_path / "d.parquet", rows[8:]), select=["pass_at_k"]).lines[0].bands.mean
    assert np.allclose(paired.lines[0].bands.mean, own - other)
    assert paired.lines[0].bands.low[0] > 0
    text = " ".join(said(capsys, one, "--against", two, "--select", "pass_at_k")[1].split())
    assert "11 shared prompts (1 and 1 of theirs left out)" in text and "the first is ahead at n = 1, 2" in text
    with pytest.raises(InputError, match="the logs share no prompt_id"):
        curve(one, against=_file(tmp_path / "e.parquet", stranger))


def test_over_optimization_is_found_where_gold_falls(tmp_path: Path) -> None:
    """The reward's favorite draw is wrong in every prompt, and rare: the more draws, the surer it is picked."""
    rows = [
        {"prompt_id": f"p{p}", "candidate": k, "reward": 9.0 if k == 0 else ((k * 7 + p) % 16) / 16}
        | {"correct": k != 0 and (k * 7 + p) % 16 > 6}
        for p in range(30)
        for k in range(16)
    ]
    curves = curve(_file(tmp_path / "l.parquet", rows))
    turn = curves.turnings[0].turn
    assert turn.turns and 1 < turn.peak < 16 and 0 < turn.low < turn.fall < turn.high
    assert f"from its largest at n = {turn.peak} correct falls by" in turning_words(curves.turnings[0])
    honest = curve(_file(tmp_path / "h.parquet", [r for r in rows if r["candidate"]]), ns=(1, 2, 4, 8))
    assert not honest.turnings[0].turn.turns


def test_tokens_are_stated_or_counted(log: Path) -> None:
    mean = np.mean([row["n_tokens"] for row in llm_check.read_log(log).table.to_pylist()])
    counted, stated = curve(log, ns=(1, 4), select=["pass_at_k"]), curve(log, (1, 4), select=["pass_at_k"], tokens=7)
    assert counted.tokens == pytest.approx([mean, 4 * mean]) and stated.record()["tokens"] == [7.0, 28.0]


def test_default_ns() -> None:
    assert default_ns(3) == (1, 2, 3)
    assert default_ns(40) == (*range(1, 17), 20, 24, 28, 32, 40)
    assert default_ns(33)[-2:] == (32, 33) and default_ns(10_000)[-2:] == (8192, 10_000)
    assert len(default_ns(10_000)) == 16 + 4 * 9 + 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--n", "99"], "no prompt of log.parquet has more than 8 draws"),
        (["--n", "0"], "give whole numbers from 1"),
        (["--n", "x"], "--n 'x': give whole numbers"),
        (["--beta", "-1"], "beta -1.0: give numbers of at least 0"),
        (["--beta", "nan"], "beta nan"),
        (["--select", "best"], "did you mean 'best_of_n'"),
        (["--source", "draft"], "log of one model: --source draft is for pools of two"),
        (["--tokens", "0"], "tokens 0.0: give the tokens of a draw"),
        (["--against", "absent.parquet"], "absent.parquet"),
    ],
)
def test_bad_options_are_one_line(
    log: Path, options: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, error = said(capsys, log, *options)
    assert code == 2 and words in error and len(error.splitlines()) == 1


def test_n_beyond_the_draws_is_told_and_the_rest_answered(log: Path) -> None:
    curves = curve(log, ns=(1, 4, 64), select=["best_of_n"])
    assert curves.ns == (1, 4) and "n of 64: more than any prompt has draws" in curves.notes


def test_a_log_that_has_nothing_to_count_is_refused(tmp_path: Path) -> None:
    rows = [{k: row[k] for k in ("prompt_id", "candidate", "answer")} for row in draws(3, 4, 9)]
    path = _file(tmp_path / "l.parquet", rows)
    with pytest.raises(InputError, match="answer alone: a curve needs reward to choose by, or correct"):
        curve(path)
    rows = [{k: row[k] for k in ("prompt_id", "candidate", "correct")} for row in draws(3, 4, 9)]
    with pytest.raises(InputError, match="correct alone: majority needs answer and correct"):
        curve(_file(tmp_path / "m.parquet", rows), select=["majority"])


def test_the_page_has_its_figures_numbers_and_words(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = _file(tmp_path / "<b>other.parquet", draws(9, 8, 10))
    made = []
    for name in ("one", "two"):
        code, _, error = said(capsys, log, "--against", other, "--page", tmp_path / name, "--json")
        assert code == 0 and "wrote" in error
        made.append({path.name: path.read_bytes() for path in sorted((tmp_path / name).iterdir())})
    assert made[0] == made[1]
    names = ("curve.json", "curve.pdf", "curve.svg", "difference.pdf", "difference.svg", "index.html", "theory.html")
    assert tuple(made[0]) == names
    page = made[0]["index.html"].decode()
    assert page.count("<svg") == 4 and "<b>other" not in page and "nobody said" not in page
    assert "pass@k needs the answer key" in page.lower() and str(tmp_path) not in made[0]["curve.json"].decode()
