"""`gsi law FILE --certify` as a user meets it: what is printed, the JSON field, exit status 1 for a wrong float."""

from __future__ import annotations

import json
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from gsi_theory.runs import command_law

GOOD = '{"draft": [0.5, 0.3, 0.2], "base": [0.2, 0.3, 0.5], "reward": [0.1, 0.6, 0.9]}'
NAMES = {"law", "p_accept", "expected_reward", "tilted_reward_mean", "kl", "tv", "chi2"}


def gsi(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gsi_theory.cli", *arguments], capture_output=True, text=True, timeout=120
    )


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "instance.json"
    path.write_text(GOOD)
    return path


def test_printed_certificate(good: Path) -> None:
    done = gsi("law", str(good), "--beta", "5", "--n", "8", "--threshold", "0.6", "--certify")
    assert done.returncode == 0, done.stderr
    assert "0.97952270969195490962" in done.stdout  # p_accept to 20 digits
    assert "law[2]" in done.stdout
    assert "OUTSIDE" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 110


def test_json_adds_one_field(good: Path) -> None:
    options = ("law", str(good), "--beta", "0.1", "--n", "8", "--json")
    plain, certified = (json.loads(gsi(*options, *extra).stdout) for extra in ((), ("--certify",)))
    bounds = certified.pop("certified")
    assert certified == plain
    assert set(bounds) == NAMES
    for name in NAMES - {"law"}:
        lower, upper = Fraction(bounds[name]["lower"]), Fraction(bounds[name]["upper"])
        assert lower <= upper
        assert upper - lower <= Fraction(1, 10**20)
        assert abs(float(lower) - plain[name]) < 1e-12
    assert len(bounds["law"]) == 3


def test_the_decimals_of_file_and_options_are_exact(tmp_path: Path) -> None:
    """β = 0 with equal policies: E r = 0.1·0.7 + 0.9·0.2 exactly, which no float64 input gives."""
    path = tmp_path / "even.json"
    path.write_text('{"draft": [0.7, 0.2, 0.1], "base": [0.7, 0.2, 0.1], "reward": [0.1, 0.9, 0]}')
    bounds = json.loads(gsi("law", str(path), "--beta", "0", "--certify", "--json").stdout)["certified"]
    assert (
        Fraction(bounds["expected_reward"]["lower"]) <= Fraction(1, 4) <= Fraction(bounds["expected_reward"]["upper"])
    )
    assert bounds["kl"] == {"lower": "0", "upper": bounds["kl"]["upper"]}
    assert float(bounds["kl"]["upper"]) < 1e-50


def test_infinity(tmp_path: Path) -> None:
    path = tmp_path / "gap.json"
    path.write_text('{"draft": [1, 0], "base": [0.5, 0.5], "reward": [0, 1]}')
    done = gsi("law", str(path), "--certify", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["certified"]["chi2"] == {"lower": "inf", "upper": "inf"}


def test_a_wrong_float_is_reported_with_exit_one(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = command_law.gsi_law

    def wrong(instance, scheme):
        law = right(instance, scheme)
        moved = np.array(law.log_prob) + np.array([1e-9, 0.0, -1e-9])
        return type(law)(**{**vars(law), "log_prob": moved})

    monkeypatch.setattr(command_law, "gsi_law", wrong)
    done = CliRunner().invoke(command_law.app, [str(good), "--certify"])
    assert done.exit_code == 1
    assert "OUTSIDE its error" in done.output
    assert "gsi law: law: the total variation is" in done.output
    assert CliRunner().invoke(command_law.app, [str(good)]).exit_code == 0


def test_large_instances_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "large.json"
    path.write_text(json.dumps({"draft": [1 / 256] * 256, "base": [1 / 256] * 256, "reward": [0] * 256}))
    done = gsi("law", str(path), "--certify")
    assert done.returncode == 2
    assert "K = 256 with --certify" in done.stderr
    assert "Traceback" not in done.stderr


def test_bad_numbers_stay_one_clear_line(good: Path) -> None:
    assert "'abc' is not a number" in gsi("law", str(good), "--beta", "abc", "--certify").stderr
    done = gsi("law", str(good), "--threshold", "nan", "--certify")
    assert done.returncode == 2
    assert "threshold nan" in done.stderr
