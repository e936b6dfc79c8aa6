"""The command line as a user meets it: output, JSON, exit status, and one clear line for bad input."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gsi_theory.cli import COMMANDS, main

GOOD = '{"draft": [0.5, 0.3, 0.2], "base": [0.2, 0.3, 0.5], "reward": [0.1, 0.6, 0.9]}'


def gsi(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gsi_theory.cli", *arguments], capture_output=True, text=True, timeout=120
    )


def test_law_json_has_the_promised_fields(tmp_path) -> None:
    path = tmp_path / "instance.json"
    path.write_text(GOOD)
    done = gsi("law", str(path), "--beta", "5", "--n", "8", "--threshold", "0.5", "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    promised = {"tilted", "law", "p_accept", "expected_reward", "tilted_reward_mean", "kl", "tv", "chi2", "error"}
    assert promised <= set(answer)
    tilted = np.array([0.2, 0.3, 0.5]) * np.exp(5 * np.array([0.1, 0.6, 0.9]))
    assert np.allclose(answer["tilted"], tilted / tilted.sum(), atol=1e-14)
    assert sum(answer["law"]) == pytest.approx(1.0, abs=1e-13)
    assert answer["expected_reward"] == pytest.approx(float(np.dot(answer["law"], [0.1, 0.6, 0.9])))


def test_law_tells_what_is_uncovered(tmp_path) -> None:
    path = tmp_path / "instance.json"
    path.write_text('{"draft": [1, 0], "base": [0.5, 0.5], "reward": [0, 1]}')
    done = gsi("law", str(path))
    assert done.returncode == 0
    assert "uncovered" in done.stdout
    assert json.loads(gsi("law", str(path), "--json").stdout)["chi2"] == "inf"


BAD_FILES = {
    "not json": ('{"draft": [0.5,', "line 1, column"),
    "wrong type": ("[1, 2]", "holds [1, 2]"),
    "missing field": ('{"draft": [1], "base": [1]}', "fields: missing 'reward'"),
    "lengths": ('{"draft": [0.5, 0.5], "base": [1], "reward": [0, 1]}', "lengths differ"),
    "nan": ('{"draft": [0.5, 0.5], "base": [0.5, 0.5], "reward": [0, NaN]}', "reward[1] = NaN"),
    "negative": ('{"draft": [1.5, -0.5], "base": [0.5, 0.5], "reward": [0, 1]}', "draft[1] = -0.5"),
    "sum": ('{"draft": [0.5, 0.4], "base": [0.5, 0.5], "reward": [0, 1]}', "draft sums to 0.9"),
    "sum no float holds": ('{"draft": [1e308, 1e308], "base": [1, 0], "reward": [0, 1]}', "draft sums to inf"),
    "text": ('{"draft": ["a"], "base": [1], "reward": [0]}', 'draft[0] = "a": give a number, without quotes'),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_instance_files(case: str, tmp_path) -> None:
    text, words = BAD_FILES[case]
    path = tmp_path / "bad.json"
    path.write_text(text)
    done = gsi("law", str(path))
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert "bad.json" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--beta", "-1"), "beta = -1.0"),
        (("--beta", "nan"), "beta = nan"),
        (("--n", "0"), "n = 0"),
        (("--threshold", "nan"), "threshold nan"),
        (("--rule", "best"), "rule 'best'"),
        (("--gate", "score", "--threshold", "0.5"), "gate 'score'"),
    ],
)
def test_bad_options(arguments: tuple[str, ...], words: str, tmp_path) -> None:
    path = tmp_path / "instance.json"
    path.write_text(GOOD)
    done = gsi("law", str(path), *arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str) -> None:
    done = gsi(*name.split(), "--help")
    assert done.returncode == 0, done.stderr
    assert "Usage: gsi" in done.stdout


def test_unknown_command() -> None:
    done = gsi("laws")
    assert done.returncode == 2
    assert "no command 'laws'" in done.stderr


def test_pool_then_predict_then_a_truncated_file(tmp_path) -> None:
    """The shipped pair through files: a pool is collected, predicted from, and refused when cut short."""
    pool = tmp_path / "pool.parquet"
    done = gsi("pool", str(pool), "--problems", "2", "--candidates", "80", "--seed", "1")
    assert done.returncode == 0, done.stderr
    done = gsi("predict", str(pool), "--beta", "5", "--n", "1,4", "--threshold", "0.5", "--json")
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["predictions"]
    assert {(r["rule"], r["gate"], r["n"]) for r in rows} >= {("softmax", "none", 1), ("race", "score", 4)}
    cut = tmp_path / "cut.parquet"
    cut.write_bytes(pool.read_bytes()[:-100])
    done = gsi("predict", str(cut))
    assert done.returncode == 2
    assert "cut.parquet" in done.stderr
    assert "Traceback" not in done.stderr


def test_missing_checkpoint_and_other_vocabulary(tmp_path) -> None:
    from llm_check.models.tiny import checkpoint_path

    done = gsi("decode", "--draft", str(tmp_path / "nowhere"))
    assert done.returncode == 2
    assert "no model folder" in done.stderr
    other = tmp_path / "other"
    other.mkdir()
    for file in checkpoint_path("draft").iterdir():
        text = file.read_bytes()
        (other / file.name).write_bytes(text.replace(b'"+"', b'"*"') if file.name == "tokenizer.json" else text)
    done = gsi("decode", "--draft", str(other), "--problems", "1")
    assert done.returncode == 2
    assert "differ at id" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_message_is_one_line_whatever_it_quotes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Line ends of every kind, and what would drive the terminal or has no encoding, are escaped."""
    for name in ("a\nb", "a\rb", "a\u2028b", "a\x1b[31mb", "a\udcffb"):
        with pytest.raises(SystemExit) as stopped:
            main(["law", str(tmp_path / name)])
        assert stopped.value.code == 2
        said = capsys.readouterr().err
        assert len(said.splitlines()) == 1 and said.removesuffix("\n").isprintable()


def test_the_command_starts_before_slow_libraries_are_imported() -> None:
    """Ctrl-C in the first moments meets the guard of `main`, not an import."""
    code = "import sys, gsi_theory.cli; print([m for m in ('numpy', 'scipy', 'typer', 'torch') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
