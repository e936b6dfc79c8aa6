"""Hostile pools and instance files through the commands: a right answer or one clear line, status 2, and no more."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gsi_theory.cli import main

Rows = list[dict[str, Any]]


def rows(sources: tuple[str, ...] = ("draft", "base"), prompts: int = 2, n: int = 24) -> Rows:
    """A clean pool of 2 prompts: log-probabilities and rewards without ties."""
    rng = np.random.default_rng(5)
    made = []
    for p in range(prompts):
        for source in sources:
            for k in range(n):
                logp = -2.0 - 3.0 * rng.random()
                made.append({
                    "prompt_id": f"p{p}", "step": 0, "source": source, "candidate": k, "logp_draft": logp,
                    "logp_base": logp + 0.2 * rng.standard_normal() - 0.02, "reward": rng.random(),
                })  # fmt: skip
    return made


def call(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """(status, standard output, standard error); anything but SystemExit, and any warning, fails the test."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    said = capsys.readouterr()
    assert isinstance(ended.value.code, int)
    return ended.value.code, said.out, said.err


def file(folder: Path, made: Rows) -> str:
    path = folder / "pool.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in made))
    return str(path)


def refused(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = call(arguments, capsys)
    assert (code, out) == (2, "") and err.count("\n") == 1, err
    assert re.search(words, err), err
    assert not re.search(r"\bnan\b|\bNone\b", err), err


def all_rows(field: str, value: Any) -> Callable[[Rows], Any]:
    def change(made: Rows) -> None:
        for row in made:
            row[field] = value

    return change


# field, JSON text of the value on every row, words of the one line
VALUES = [
    ("reward", "1e308", r"line 1, reward = 1e\+308: .*within ±1e\+100"),
    ("reward", "-1e308", r"line 1, reward = -1e\+308"),
    ("reward", '"0.5"', r'line 1, reward = "0.5": write it as double; 96 of 96'),
    ("reward", "true", r"line 1, reward = true: write it as double"),
    ("reward", "null", r"line 1, reward = null"),
    ("reward", "NaN", r"line 1, reward = NaN"),
    ("reward", "1" * 400, r"line 1, reward = 1+\.\.\.: write it as double"),
    ("reward", "1" * 5001, r"line 1, an integer of thousands of digits.*; 96 of 96"),
    ("reward", "[" * 100_000 + "]" * 100_000, r"line 1, nested too deep.*; 96 of 96"),
    ("gold_reward", "NaN", r"line 1, gold_reward = NaN: give a finite reward"),
    ("gold_reward", "-Infinity", r"line 1, gold_reward = -Infinity: give a finite reward"),
    ("gold_reward", "1e308", r"line 1, gold_reward = 1e\+308: .*within ±1e\+100"),
    ("token_ids", "[1, null]", r"line 1, token_ids = \[1, null\]: give an id, 0 or more, for each token"),
    ("token_ids", "[-5]", r"line 1, token_ids = \[-5\]: give an id"),
    ("token_logp_draft", "[-1, NaN]", r"line 1, token_logp_draft = \[-1.0, NaN\]: .* for each token"),
    ("token_logp_base", "[null]", r"line 1, token_logp_base = \[null\]: .* for each token"),
    ("token_logp_base", "[-1, 2]", r"line 1, token_logp_base = \[-1.0, 2.0\]: .* at most 0"),
    ("token_logp_draft", "[-1e308]", r"line 1, token_logp_draft = \[-1e\+308\]: no token is below -1e\+09"),
    ("token_logp_draft", "[-Infinity]", r"line 1, token_logp_draft = .*: the model drew this token"),
    ("logp_base", "-1e308", r"line 1, logp_base = -1e\+308: no step is below -1e\+09"),
    ("logp_base", "false", r"line 1, logp_base = false"),
    ("logp_draft", '"-1"', r'line 1, logp_draft = "-1"'),
    ("step", "0.5", r"line 1, step = 0.5: write it as int32"),
    ("step", "false", r"line 1, step = false: write it as int32"),
    ("step", '"0"', r'line 1, step = "0": write it as int32'),
    ("candidate", "0.25", r"line 1, candidate = 0.25: write it as int32"),
    ("prompt_id", "7", r"line 1, prompt_id = 7: write it as string"),
    ("prompt_id", '"\\ud800"', r"line 1, a lone surrogate \\ud800"),
    ("text", '"a\\udfffb"', r"line 1, a lone surrogate \\udfff"),
    ("more", '"\\ud800"', r"line 1, a lone surrogate \\ud800"),
    ("correct", "1", r"line 1, correct = 1: write it as bool"),
    ("n_tokens", "2.5", r"line 1, n_tokens = 2.5"),
    ("token_ids", "[1, true]", r"line 1, token_ids = \[1, true\]"),
    ("token_logp_draft", '[-1, "-2"]', r"line 1, token_logp_draft = "),
    ("sampling_temperature", "-1", r"line 1, sampling_temperature = -1.0: .*above 0"),
    ("sampling_temperature", "0", r"line 1, sampling_temperature = 0.0"),
    ("sampling_temperature", "NaN", r"line 1, sampling_temperature = NaN"),
    ("sampling_temperature", "Infinity", r"line 1, sampling_temperature = Infinity"),
]


# of them, those that gsi import says otherwise, or ("") casts and takes
IMPORTED = {
    ("reward", '"0.5"'): "",
    ("reward", "true"): "",
    ("reward", "null"): r"lacks the column\(s\) reward",
    ("reward", "NaN"): r"lacks the column\(s\) reward",
    ("gold_reward", "NaN"): "",
    ("gold_reward", "-Infinity"): "",
    ("logp_base", "false"): "",
    ("logp_draft", '"-1"'): "",
    ("step", '"0"'): "",
    ("prompt_id", "7"): "candidate = 0: already used at line 1: number the draws",
    ("token_logp_draft", '[-1, "-2"]'): "",
    ("correct", "1"): "",
}


@pytest.mark.parametrize("command", ["doctor", "import"])
@pytest.mark.parametrize(("field", "text", "words"), VALUES, ids=[f"{f}={t[:12]}" for f, t, _ in VALUES])
def test_values_that_no_pool_holds(
    command: str, field: str, text: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = rows()
    all_rows(field, "VALUE")(made)
    path = Path(file(tmp_path, made))
    path.write_text(path.read_text().replace('"VALUE"', text))
    if command == "import":
        # the first bad line stops an import, so nothing is said of those like it
        out = tmp_path / "out.parquet"
        words = IMPORTED.get((field, text), words).partition("; 96")[0]
        if words:
            refused(["import", str(path), "--out", str(out)], words, capsys)
        else:
            assert call(["import", str(path), "--out", str(out)], capsys)[0] == 0
            return
        assert not out.exists()
    else:
        refused(["doctor", str(path)], words, capsys)
        refused(["doctor", str(path), "--json"], words, capsys)


def test_keys_that_stand_twice_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = Path(file(tmp_path, rows()))
    path.write_text(path.read_text().replace('"reward"', '"reward": 0.5, "reward"'))
    refused(["doctor", str(path)], r'line 1, the key "reward" stands twice', capsys)


def test_whole_numbers_with_a_point_are_whole_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = Path(file(tmp_path, rows()))
    _, plain, _ = call(["doctor", str(path), "--json"], capsys)
    path.write_text(path.read_text().replace('"step": 0,', '"step": 0.0,'))
    assert call(["doctor", str(path), "--json"], capsys)[1] == plain


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("reward", pa.array(["0.5"] * 96)),
        ("reward", pa.array([True] * 96)),
        ("step", pa.array(["0"] * 96)),
        ("step", pa.array([False] * 96)),
        ("step", pa.array([0.5] * 96)),
        ("correct", pa.array(["true"] * 96)),
        ("prompt_id", pa.array([1] * 96)),
        ("token_ids", pa.array([["1"]] * 96)),
    ],
)
def test_columns_of_another_type_are_refused(
    field: str, values: pa.Array, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = rows()
    columns: dict[str, Any] = {name: [row[name] for row in made] for name in made[0]}
    pq.write_table(pa.table(columns | {field: values}), tmp_path / "p.parquet")
    refused(["doctor", str(tmp_path / "p.parquet")], f"column {field}: .*not ", capsys)


def test_marks_of_byte_order_are_read_and_other_encodings_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path(file(tmp_path, rows()))
    text = path.read_text()
    _, plain, _ = call(["doctor", str(path), "--json"], capsys)
    path.write_bytes(text.encode("utf-8-sig"))
    assert call(["doctor", str(path), "--json"], capsys)[1] == plain
    path.write_bytes(text.encode("utf-16"))
    refused(["doctor", str(path)], "is UTF-16 or UTF-32 text: save it as UTF-8", capsys)
    path.write_bytes(text.encode() + b'{"prompt_id": "\xff"}\n')
    refused(["doctor", str(path)], "line 97: not UTF-8 text", capsys)


@pytest.mark.parametrize("gap", [-8e8, -5000.0, -900.0, -400.0, 400.0, 900.0])
def test_ratios_beyond_floats_are_answered(gap: float, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = rows()
    for row in made[::5]:
        row["logp_base"] = min(row["logp_base"] + gap, -0.5) if gap < 0 else row["logp_base"]
        row["logp_draft"] = row["logp_draft"] - gap if gap > 0 else row["logp_draft"]
    path = file(tmp_path, made)
    code, out, err = call(["doctor", path, "--json"], capsys)
    record = json.loads(out)
    assert code == 0 and not re.search(r"\bnan\b", out + err, re.IGNORECASE)
    if abs(gap) >= 400.0:
        assert not record["valid"] and "context_mismatch" in [finding["id"] for finding in record["findings"]]
    code, out, err = call(["doctor", path], capsys)
    assert code == 0 and "nan" not in out + err


def test_a_mean_ratio_that_chance_does_not_reach_is_no_law(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One row of -9999 among few: the mean ratio is within five of its errors of 1, yet beyond Markov's bound: it is
    no number to print."""
    made = rows(("draft",), prompts=1, n=10)
    made[3]["logp_draft"] = -9999.0
    record = json.loads(call(["doctor", file(tmp_path, made), "--json"], capsys)[1])
    assert not record["valid"] and record["ratio_mean"] is None and record["ratio_mean_se"] is None
    assert [finding["id"] for finding in record["findings"]] == ["sentinel_log_probs"]


def test_tokens_that_the_other_model_cannot_draw_are_no_fault(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """-inf for a token that the other model drew: no warning from sums of infinities, and the rest is judged."""
    made = rows()
    for i, row in enumerate(made):
        row["token_ids"] = [i // 4, 2]
        for model in ("draft", "base"):
            half = row[f"logp_{model}"] / 2
            row[f"token_logp_{model}"] = [half, half if row["source"] == model else -np.inf]
        row["logp_base" if row["source"] == "draft" else "logp_draft"] = -np.inf
    code, out, err = call(["doctor", file(tmp_path, made), "--json"], capsys)
    assert code == 0 and "Warning" not in err and json.loads(out)["left_out"]["rows"] == 0


def test_a_plan_of_ratios_of_a_billion_nats(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every ratio 9.9e8: masses are normalized near the largest, not at 1e9 nats, where a float holds 1e-7."""
    made = rows()
    for row in made:
        row["logp_draft"], row["logp_base"] = -9.9e8, -1e-9
    code, out, err = call(["plan", file(tmp_path, made), "--json"], capsys)
    assert code == 0 and "NaN" not in out, err


@pytest.mark.parametrize("source", ["draft", "base"])
def test_pools_of_one_source_are_answered(source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = file(tmp_path, rows((source,)))
    code, out, _ = call(["doctor", path], capsys)
    absent = {"draft": "π_S/π_B over base", "base": "π_B/π_S over drafts"}[source]
    assert code == 0 and re.findall("mean ratio (.*?) +0 draws", out) == [absent]
    record = json.loads(call(["doctor", path, "--json"], capsys)[1])
    assert (record["ratio_mean"] is None) == (source == "base")
    assert any("0 drafts" in line for line in record["untested"]) == (source == "base")


def test_steps_that_one_model_cannot_draw_are_answered(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = rows()
    for row in made[::2]:
        row["logp_base" if row["source"] == "draft" else "logp_draft"] = float("-inf")
        row["reward"] = 1.0
    code, out, err = call(["doctor", file(tmp_path, made)], capsys)
    assert code == 0 and "nan" not in out + err


def test_a_recorded_temperature_is_spoken_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for temperature, expected in ((1.0, []), (0.7, ["recorded_temperature"])):
        made = rows()
        all_rows("sampling_temperature", temperature)(made)
        record = json.loads(call(["doctor", file(tmp_path, made), "--json"], capsys)[1])
        assert [finding["id"] for finding in record["findings"]] == expected and record["valid"] == (not expected)


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        ("nan", "1", "--reward-range NaN 1.0: give the lowest and the highest"),
        ("0", "nan", "--reward-range 0.0 NaN"),
        ("1", "0", "--reward-range 1.0 0.0: give the lowest reward, then the highest"),
        ("1", "1", "--reward-range 1.0 1.0"),
        ("0", "0.5", r"line \d+, reward = .*outside the stated range \[0, 0.5\]"),
    ],
)
def test_ranges_of_the_reward(
    low: str, high: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["import", file(tmp_path, rows()), "--out", str(tmp_path / "o.parquet"), "--reward-range", low, high]
    refused(arguments, words, capsys)


@pytest.mark.parametrize("stated", [{"low": "a"}, {"low": True}, {"low": 1, "high": 0}, {"low": float("nan")}])
def test_a_range_in_provenance_is_checked(
    stated: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = rows()
    table = pa.table({name: [row[name] for row in made] for name in made[0]})
    meta = {b"gsi_pool": json.dumps({"reward": stated}).encode()}
    pq.write_table(table.replace_schema_metadata(meta), tmp_path / "p.parquet")
    refused(["doctor", str(tmp_path / "p.parquet")], "p.parquet, provenance, range of the reward", capsys)


def test_beta_is_bounded_by_what_floats_hold(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = rows()
    made[0]["reward"] = 50.0
    refused(["doctor", file(tmp_path, made), "--beta", "1e299"], r"beta = 1e\+299 times reward\[0\] = 50", capsys)


# text of an instance file, words of the one line
INSTANCES = [
    ('{"draft": [0.5, 0.5], "base": [0.5, 0.5], "reward": [true, 1]}', r"reward\[0\] = true: give a number"),
    ('{"draft": [0.5, 0.5], "base": [0.5, 0.5], "reward": [0, "1"]}', r'reward\[1\] = "1": .*without quotes'),
    ('{"draft": [0.5, 0.5], "base": [0.5, null], "reward": [0, 1]}', r"base\[1\] = null: give a number"),
    ('{"draft": [[0.5], 0.5], "base": [0.5, 0.5], "reward": [0, 1]}', r"draft\[0\] = \[0.5\]"),
    ('{"draft": [0.5, 0.5], "base": [0.5, 0.5], "reward": [0, NaN]}', r"reward\[1\] = NaN"),
    ('{"draft": [0.5, 0.5], "base": [0.5, 0.5], "reward": [0, 1e999]}', r"reward\[1\] = Infinity"),
    (
        '{"draft": [0.5, 0.5], "base": [0.5, 0.5], "reward": [0, 1' + "0" * 400 + "]}",
        r"reward\[1\] = 10+\.\.\.: .*finite",
    ),
    ('{"draft": [0.5, 0.5], "base": [0.5, 0.5], "reward": [0, 1' + "0" * 5000 + "]}", "thousands of digits"),
    ('{"draft": [0.5, 0.5], "base": [0.5, 0.5], "reward": ' + "[" * 10**5 + "]" * 10**5 + "}", "nested too deep"),
    ('{"draft": [1], "draft": [1], "base": [1], "reward": [0]}', 'the key "draft" stands twice'),
    ('{"draft": [1], "base": [1], "reward": [0], "\\ud800": 1}', "lone surrogate"),
    ('{"draft": [1], "base": [1], "reward": {"a": 1}}', r'reward is \{"a": 1\}'),
    ('{"draft": [0.5, 0.5], "base": [0.5, 0.5], "reward": [1e308, -1e308]}', r"beta = 2 times reward\[0\] = 1e\+308"),
]


@pytest.mark.parametrize(("text", "words"), INSTANCES, ids=[words for _, words in INSTANCES])
@pytest.mark.parametrize("certify", [False, True])
def test_instance_files(
    text: str, words: str, certify: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "i.json"
    path.write_text(text)
    refused(["law", str(path), "--beta", "2", "--json", *(["--certify"] if certify else [])], words, capsys)


@pytest.mark.parametrize(
    "options",
    [
        ["--beta", "1e308"],
        ["--beta", "1e299", "--rule", "race", "--gate", "score", "--threshold", "1e308"],
        ["--beta", "1e299", "--threshold", "-1e308"],
        ["--beta", "1e-308", "--threshold", "1e308"],
        ["--beta", "0", "--rule", "max", "--threshold", "inf"],
    ],
)
@pytest.mark.parametrize("reward", ["[0, 1]", "[0, 1e308]", "[-1e308, 1e308]"])
def test_numbers_at_the_ends_of_floats(
    options: list[str], reward: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "i.json"
    path.write_text('{"draft": [0.5, 0.5], "base": [0.4, 0.6], "reward": ' + reward + "}")
    code, out, err = call(["law", str(path), "--json", *options], capsys)
    if code == 2:
        assert re.fullmatch(r"gsi law: (beta = .* times reward|log_weight)\[\d\] = .*\n", err)
    else:
        assert code == 0 and "nan" not in out.lower()
        assert sum(json.loads(out)["law"]) == pytest.approx(1.0, abs=1e-12)
    assert call(["law", str(path), *options], capsys)[0] == code


def test_instance_files_may_begin_with_a_mark(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, text = tmp_path / "i.json", '{"draft": [0.5, 0.5], "base": [0.4, 0.6], "reward": [0, 1]}'
    path.write_text(text)
    plain = call(["law", str(path), "--json", "--certify"], capsys)
    path.write_bytes(text.encode("utf-8-sig"))
    assert call(["law", str(path), "--json", "--certify"], capsys) == plain
    path.write_bytes(text.encode("utf-16"))
    refused(["law", str(path)], "UTF-16", capsys)


# options that would have no effect beside one another, and words of the one line
IDLE = [
    (["law", "FILE", "--n-base", "2"], "--n-base would have no effect without --threshold"),
    (["law", "FILE", "--gate", "tilted_reward"], "--gate would have no effect without --threshold"),
    (["refute", "M14", "--mutants", "--latex", "x"], "--latex would have no effect with --mutants"),
    (["simulate", "--seed", "1"], "--seed would have no effect without an experiment"),
    (["check", "--seed", "1"], "--seed would have no effect without a check"),
    (["pool", "o.parquet", "--import", "FILE", "--map", "a=b"], "a command of its own now: gsi import .* --map a=b"),
    (["decode", "--method", "base", "--threshold", "1"], "--threshold would have no effect with base"),
]


@pytest.mark.parametrize(("arguments", "words"), IDLE, ids=[words for _, words in IDLE])
def test_options_without_effect_are_refused(
    arguments: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refused([a if a != "FILE" else file(tmp_path, rows()) for a in arguments], words, capsys)


# bad usage: one line that names the value and where help is
USAGE = [
    (["law"], "gsi law: Missing argument 'FILE': gsi law --help"),
    (["law", "x.json", "--betta", "1"], "--betta.*gsi law --help"),
    (["law", "x.json", "--n", "many"], "'many'.*gsi law --help"),
    (["law", "x.json", "--beta", "many"], "'many' is not a number"),
    (["doctor", "a", "b"], "b.*gsi doctor --help"),
    (["pool", "o.parquet", "--candidates", "0"], "--candidates.*0.*gsi pool --help"),
    (["nothing"], "no command 'nothing'"),
]


@pytest.mark.parametrize(("arguments", "words"), USAGE, ids=[" ".join(a) for a, _ in USAGE])
def test_bad_usage_is_one_line(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    refused(arguments, words, capsys)
