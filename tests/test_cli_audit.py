"""`gsi audit` as a user meets it: a table, JSON, exit status, one clear line for bad input."""

from __future__ import annotations

import dataclasses
import json
import re

import numpy as np
import pytest

from gsi_theory.claims import CLAIMS
from gsi_theory.claims.softmax_bounds import kl_chi2
from gsi_theory.cli import main
from gsi_theory.runs.artifact import read_artifact
from sims import command_audit

SMALL = ("--workers", "1", "--set", "instances=4", "--set", "families=few", "--set", "claims=M7-tv,M11-chi2,M12a,M12b")


def gsi(capsys, *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    said = capsys.readouterr()
    return int(ended.value.code or 0), said.out, said.err


def test_json_has_the_promised_fields(capsys, tmp_path) -> None:
    code, out, _ = gsi(capsys, "audit", *SMALL, "--out", str(tmp_path), "--json")
    assert code == 0
    claims = {claim["id"]: claim for claim in json.loads(out)["claims"]}
    assert set(claims) == {"M7-tv", "M11-chi2", "M12a", "M12b"}
    for claim in claims.values():
        assert {"id", "outcome", "expected", "tightness", "vacuous_share"} <= set(claim)
        assert claim["outcome"] == claim["expected"] == ("REFUTED" if claim["id"] == "M12a" else "HOLDS")
        assert ("certificate" in claim) == (claim["id"] == "M12a")
    assert claims["M7-tv"]["tightness"] is None and 0.9 < claims["M11-chi2"]["tightness"] <= 1.0
    certificate = claims["M12a"]["certificate"]
    assert certificate["outcome"] == "REFUTED" and len(certificate["draft"]) == 2
    assert float(certificate["lhs"][0]) > float(certificate["rhs"][1])
    assert claims["M12b"]["first_n"].keys() == {"1", "5", "20"}


def test_table_fits_the_terminal(capsys, tmp_path, monkeypatch) -> None:
    """And says where a claim is tightest if there is room; every abbreviation has its words."""
    code, _, _ = gsi(capsys, "audit", *SMALL, "--out", str(tmp_path))
    assert code == 0
    for width in (80, 100, 140):
        monkeypatch.setenv("COLUMNS", str(width))
        command_audit._print(read_artifact(tmp_path / "audit.json"), tmp_path / "audit.json")
        out = capsys.readouterr().out
        lines = out.splitlines()
        assert max(len(line) for line in lines if not line.startswith("wrote")) <= width
        assert any(line.startswith("M12a") and "REFUTED" in line for line in lines)
        assert ("(family, β, n)" in out) == (width >= 100)
        words = " ".join(out.split())
        assert "M12a refuted by ball arithmetic" in words and "4 claims" in words
        assert all(f"{name}: " in words for name in ("judged", "vacuous", "open", "tight", "half inform", "REFUTED!"))


def test_a_refuted_claim_that_should_hold_exits_with_one(capsys, tmp_path, monkeypatch) -> None:
    wrong = dataclasses.replace(
        CLAIMS["M11-chi2"], sides=lambda f: dataclasses.replace(kl_chi2(f), rhs=np.log1p(f.chi2 / (2 * f.n)))
    )
    monkeypatch.setitem(CLAIMS, "M11-chi2", wrong)
    code, out, _ = gsi(capsys, "audit", *SMALL, "--out", str(tmp_path))
    assert code == 1 and re.search("^M11-chi2 +REFUTED!", out, re.MULTILINE)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--set", "claims=M99"), "'M99'"),
        (("--set", "instances"), "give key=value"),
        (("--set", "workers=2"), "--workers"),
        (("--set", "blocks=0"), "blocks"),
    ],
)
def test_bad_input_is_one_line_and_exits_with_two(capsys, tmp_path, arguments, words) -> None:
    code, _, err = gsi(capsys, "audit", "--out", str(tmp_path), *arguments)
    assert code == 2 and words in err and "Traceback" not in err
    assert len([line for line in err.strip().splitlines() if line.startswith("gsi")]) == 1
