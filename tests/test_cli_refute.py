"""`gsi refute` as a user meets it: cards, JSON, files, exit status, and bad input."""

from __future__ import annotations

import json
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gsi_theory.claims import CLAIMS
from gsi_theory.cli import main
from gsi_theory.errors import InputError
from gsi_theory.runs import command_refute


def gsi(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gsi_theory.cli", *arguments], capture_output=True, text=True, timeout=200
    )


def test_card_of_a_refuted_claim_and_its_recheck(tmp_path: Path) -> None:
    tex, text = tmp_path / "card.tex", tmp_path / "card.txt"
    done = gsi("refute", "M12a", "--latex", str(tex), "--out", str(text))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("M12a: REFUTED") and "proved in ball arithmetic" in done.stdout
    assert text.read_text() == done.stdout
    assert r"\begin{array}" in tex.read_text()
    recheck = done.stdout.split("recheck\n")[1].split("\n\n")[0].replace("gsi ", f"{sys.executable} -m gsi_theory.cli ")
    shell = recheck.replace("  python -c", f"  {sys.executable} -c")
    again = subprocess.run(["bash", "-ec", shell], capture_output=True, text=True, cwd=tmp_path, timeout=200)
    assert again.returncode == 0, again.stderr
    assert "REFUTED" in again.stdout


def test_json_card() -> None:
    done = gsi("refute", "M12a", "--json", "--seed", "3")
    card = json.loads(done.stdout)
    assert card["id"] == "M12a" and card["outcome"] == card["expected"] == "REFUTED"
    ends = card["counterexample"]["certificate"]
    assert Fraction(ends["lhs"]["lower"]) > Fraction(ends["rhs"]["upper"])


def test_a_wrong_claim_suggests_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["refute", "M12d"])
    assert stopped.value.code == 2
    shown = capsys.readouterr().err
    assert "M12a" in shown and len(shown.splitlines()) == 1


def test_without_a_claim_they_are_listed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Id, what is expected, and the statement in letters that a terminal shows; nothing is cut at 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as stopped:
        main(["refute"])
    assert not stopped.value.code
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    assert "\\" not in shown
    heads = [line.split()[:2] for line in shown.splitlines() if line[:1] == "M"]
    assert heads == [[claim.id, str(claim.expected)] for claim in CLAIMS.values()]
    assert "KL(π‖P_n) ≤ log(1+χ²(π‖μ)/n)" in shown


def test_the_list_of_claims_as_json_and_outputs_that_need_a_claim(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["refute", "--json"])
    assert stopped.value.code == 0
    listed = {claim["id"]: claim["expected"] for claim in json.loads(capsys.readouterr().out)["claims"]}
    assert listed == {name: str(claim.expected) for name, claim in CLAIMS.items()}
    card = str(tmp_path / "card")
    for arguments in (["--out", card], ["--latex", card], ["M10", "--out", card, "--latex", card],
                      ["M10", "--mutants", "--latex", card]):  # fmt: skip
        with pytest.raises(SystemExit) as stopped:
            main(["refute", *arguments])
        assert stopped.value.code == 2
        said = capsys.readouterr()
        assert said.out == "" and said.err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_card_that_cannot_be_written_is_not_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: object) -> None:
        raise InputError("cannot write card: free space")

    monkeypatch.setattr(command_refute, "atomic_write_files", full)
    with pytest.raises(SystemExit) as stopped:
        main(["refute", "M20-fixed", "--seconds", "0.1", "--out", str(tmp_path / "card")])
    assert stopped.value.code == 2
    assert capsys.readouterr() == ("", "gsi refute: cannot write card: free space\n")


def test_exit_status_1_when_a_claim_that_should_hold_is_refuted(monkeypatch: pytest.MonkeyPatch) -> None:
    """M11 with half of its bound in place of the true claim."""
    own = CLAIMS["M11-chi2"]
    from dataclasses import replace

    wrong = replace(own, sides=lambda f: replace(own.sides(f), rhs=own.sides(f).rhs / 2.0))
    monkeypatch.setitem(command_refute.CLAIMS, "M11-chi2", wrong)
    done = CliRunner().invoke(command_refute.app, ["M11-chi2"])
    assert done.exit_code == 1
    assert "expected to hold: a finding" in done.output


def test_true_claim_gives_a_tightness_record() -> None:
    done = CliRunner().invoke(command_refute.app, ["M10", "--seconds", "5"])
    assert done.exit_code == 0
    assert "M10: not refuted" in done.output and "lhs/rhs" in done.output
    assert max(map(len, done.output.splitlines())) <= 80


OWN = """
from gsi_theory.claims import Claim
from gsi_theory.claims.assumptions import COVERED
from gsi_theory.claims.sides import Sides


def eighth(f):
    value, law = f.tv("softmax")
    return Sides(value, f.chi2 / (8 * f.n), law.error + 1e-12, 1.0)


def balls(f):
    return f.draft_excess("softmax").tv(), f.chi2 / (8 * f.scheme.n)


MINE = Claim("mine", r"TV(P_n,\\pi) \\le \\chi^2/(8n)", eighth, balls, (COVERED,))
BROKEN = Claim("broken", "x", lambda f: f.nothing)


def make():
    return MINE


def MIXED():
    return Claim("mixed", "x", (), eighth)
"""


@pytest.mark.parametrize("name", ["MINE", "make"])
def test_a_claim_of_ones_own_is_refuted_and_certified(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From FILE.py:NAME; the recheck on its card loads it from there."""
    (tmp_path / "mine.py").write_text(OWN)
    with pytest.raises(SystemExit) as stopped:
        main(["refute", f"{tmp_path / 'mine.py'}:{name}", "--json"])
    card = json.loads(capsys.readouterr().out)
    assert stopped.value.code == 1 and card["surprise"] and card["id"] == "mine"
    assert card["counterexample"]["certificate"]["outcome"] == "REFUTED"
    python = next(line for line in card["counterexample"]["recheck"] if line.startswith("python"))
    at = card["counterexample"]["recheck"].index(python)
    shell = "\n".join(card["counterexample"]["recheck"][at:]).replace("python -c", f"{sys.executable} -c", 1)
    done = subprocess.run(["bash", "-ec", shell], capture_output=True, text=True, timeout=200)
    assert "REFUTED" in done.stdout, done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["mine.py:BROKEN"],
            "mine.py:BROKEN: judging it raised AttributeError: 'Facts' object has no attribute 'nothing'",
        ),
        (["mine.py:MIXED"], "MIXED() raised InputError: claim mixed: sides (), assumptions"),
        (["mine.py:OURS"], "mine.py defines no OURS"),
        (["mine.py:COVERED"], "COVERED is an Assumption: it must be a Claim"),
        (["mine.py"], "names no Claim: write FILE.py:NAME"),
        (["none.py:MINE"], "no file none.py"),
        (["mine.py:MINE", "--mutants"], "tightens claims of the table"),
    ],
)
def test_what_is_wrong_with_a_claim_of_ones_own_is_one_line(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(OWN)
    with pytest.raises(SystemExit) as stopped:
        main(["refute", *arguments])
    told = capsys.readouterr().err
    assert stopped.value.code == 2 and message in told and told.count("\n") == 1
