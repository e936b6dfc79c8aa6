"""Numbers that `gsi plan` refuses: one line that names value, place and cure, status 2, and no traceback."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from gsi_theory.cli import main
from llm_check.logs.pools.pool import write_pool
from tests.plants.pool_faults import Sampling, TokenWorld, drop_tokens

DEVICE = ["--device", "h100", "--cost", "seconds"]
CASES = [
    (["--step-tokens", "-5"], "--step-tokens -5: give"),
    (["--step-tokens", "0"], "--step-tokens 0: give"),
    (["--step-tokens", "nan"], "--step-tokens nan: give"),
    (["--step-tokens", "1e308"], "--step-tokens 1e+308: give"),
    (["--page", "/dev/null/page"], "cannot write /dev/null/page/pool_page.json (Not a directory)"),
    (["--step-tokens", "inf"], "--step-tokens inf: give"),
    (["--context", "-100000", *DEVICE], "--context -100000: give"),
    (["--context", "nan", *DEVICE], "--context nan: give"),
    (["--context", "1e308", *DEVICE], "exceed the range of numbers: give"),
    (["--models", "1e308,1,1"], "exceed the range of numbers: give"),
    (["--threshold", "nan"], "threshold values [nan]: give finite numbers"),
    (["--threshold", "0.5,inf"], "threshold values [0.5, inf]: give finite numbers"),
    (["--threshold=-inf"], "threshold values [-inf]: give finite numbers"),
    (["--threshold", "1e308"], "threshold values [1e+308]: give finite numbers"),
    (["--timings", "4,inf,1", *DEVICE], "draft timing inf s a token: give"),
    (["--timings", "nan,1,1", *DEVICE], "n = nan: give a whole number from 1"),
    (["--timings", "4.5,1,1", *DEVICE], "n = 4.5: give a whole number from 1"),
    (["--timings", "4,1,1"], "without --device: name the device"),
    (["--beta", "1e308"], "β values [1e+308]: a plan needs values above 0, from 1e-09 to 1e+09"),
    (["--beta", "5,1e-320"], "a plan needs values above 0, from 1e-09 to 1e+09"),
    (["--beta", "nan"], "β values [nan]: a plan needs values"),
    (["--reward-range", "1", "0"], "reward range 1 0: give two finite numbers, the smaller first"),
    (["--reward-range", "nan", "1"], "reward range nan 1: give two finite numbers"),
    (["--reward-range", "0", "inf"], "reward range 0 inf: give two finite numbers"),
    (["--reward-range", "0", "0.01"], "reward range 0 0.01: the pool holds a reward of"),
    (["--n", "1,1.5"], "--n '1,1.5': give whole numbers separated by commas"),
    (["--n", "1,"], "--n '1,': give whole numbers separated by commas"),
    (["--rule", "softmax,"], "--rule 'softmax,': give names separated by commas"),
    (["--timings", "4,x,1", *DEVICE], "--timings '4,x,1': give n, and seconds a token"),
    (["--tolerance", "nan"], "tolerance nan: give a share"),
]


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("refusals") / "pool.parquet"
    write_pool(path, drop_tokens(TokenWorld(4).columns(0, 8, Sampling(), Sampling())), {})
    return path


@pytest.mark.parametrize(("given", "said"), CASES, ids=[" ".join(given) for given, _ in CASES])
def test_refused(given: list[str], said: str, pool: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["plan", str(pool), *given])
    found = capsys.readouterr()
    assert ended.value.code == 2 and found.out == "" and "Traceback" not in found.err
    assert said in found.err.splitlines()[-1]


def test_the_largest_and_smallest_numbers_that_are_taken_give_a_plan(
    pool: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["plan", str(pool), "--beta", "1e-9,1e9", "--threshold", "-1e298,1e298", "--n", "1,4"])
    assert not ended.value.code and "Pareto front" in capsys.readouterr().out


@pytest.mark.parametrize("option", ["--min-gain", "--within"])
def test_a_goal_of_minus_zero_is_zero(option: str, pool: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["plan", str(pool), "--n", "1,2", "--beta", "1", f"{option}=-0.0"])
    out = capsys.readouterr().out
    assert not ended.value.code and not re.search(r"(by|within)\s+-0\b", out)


def _rows(**change: object) -> list[dict[str, object]]:
    """A sound pool of 4 prompts with some fields of the first row changed."""
    columns = drop_tokens(TokenWorld(4).columns(0, 8, Sampling(), Sampling()))
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    return [rows[0] | change, *rows[1:]]


@pytest.mark.parametrize(
    ("rows", "given", "said"),
    [
        (_rows(reward=1e99), [], "a plan needs |β r| + |ℓ| of at most 1e+12 nats: β = 20, |reward| up to 1e+99, |logp"),
        ([row for row in _rows() if row["source"] == "base"], [], "(of 4, 0 have drafts, 4 base candidates)"),
        ([row for row in _rows() if row["candidate"] == 0], ["--n", "1"], "of [1]: draw 2 candidates or more"),
        ([row for row in _rows() if int(str(row["candidate"])) < 5], ["--n", "4"], "of [4]: give n up to 2, or draw"),
    ],
    ids=["far reward", "base only", "one candidate", "five candidates"],
)
def test_pools_no_plan_can_rest_on(
    rows: list[dict[str, object]], given: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "pool.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    with pytest.raises(SystemExit) as ended:
        main(["plan", str(path), *given])
    found = capsys.readouterr()
    assert ended.value.code == 2 and found.out == "" and said in found.err.splitlines()[-1]
