"""Mutants: sharper claims are refuted where the constant is needed, and a slack claim is called slack."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gsi_theory.claims import CLAIMS
from gsi_theory.refutation import tightened
from gsi_theory.refutation.refute import Round
from gsi_theory.refutation.search_space import Space, random_points
from gsi_theory.refutation.tightened import COLUMNS, SHARPER, judged, mutant_text, mutants_of, write_mutants
from gsi_theory.runs.artifact import read_artifact

SMALL = (Round("sample", 2, 256), Round("climb", 2, 32, 60), Round("climb", 2, 32, 60, telling=True))


@pytest.mark.parametrize("key", ["M10", "M11-chi2", "M17-dominance-tv"])
def test_general_mutants_are_refuted(key: str) -> None:
    found = {m.name: judged(m, rounds=SMALL) for m in mutants_of(CLAIMS[key])}
    assert found["scale"]["outcome"] == "REFUTED"
    assert set(found["scale"]) == set(COLUMNS)


def test_changed_sides_are_the_changes_they_name() -> None:
    """At one batch: scale is 0.9 of the bound, n + 1 the bound at n + 1, half the bound at half of beta."""
    space = Space(3)
    points = random_points(space, 64, np.random.default_rng(1))
    facts, k = space.facts(points), space.size
    later = points.copy()
    later[:, 3 * k + 1] = np.log(np.asarray(facts.n) + 1.0)
    chi2 = CLAIMS["M11-chi2"]
    found = {m.name: m.claim.judge(facts).rhs for m in mutants_of(chi2)}
    own = chi2.judge(facts).rhs
    says = own < chi2.judge(facts).trivial
    assert says.any() and not says.all()
    assert found["scale"][~says] == pytest.approx(own[~says], rel=1e-15)
    assert found["scale"][says] == pytest.approx(0.9 * own[says], rel=1e-12)
    assert found["n+1"][says] == pytest.approx(chi2.judge(space.facts(later)).rhs[says], rel=1e-9, abs=1e-15)
    some = says & (own > 1e-6)
    assert found["no 1"][some] == pytest.approx(np.log(np.expm1(own[some])), rel=1e-7, abs=1e-9)
    halved = points.copy()
    halved[:, 3 * k] -= np.log(2.0)
    sinh = CLAIMS["M13-sinh"]
    half = next(m for m in mutants_of(sinh) if m.name == "half")
    says = sinh.judge(facts).rhs < sinh.judge(facts).trivial
    expected = sinh.judge(space.facts(halved)).rhs
    assert half.claim.judge(facts).rhs[says] == pytest.approx(expected[says], rel=1e-9, abs=1e-15)
    assert half.claim.judge(facts).lhs == pytest.approx(sinh.judge(facts).lhs, rel=1e-12)


def test_mutants_tighten() -> None:
    """No mutant is weaker than its claim anywhere on a batch (n + 1 of a law's own distance aside)."""
    space = Space(3, lowest_reward=0.0)
    facts = space.facts(random_points(space, 64, np.random.default_rng(2)))
    for key in ("M10", "M11-mean", "M11-chi2", "M12b", "M12-osc", "M13-cv", "M13-sinh", "M17-tv"):
        own = CLAIMS[key].judge(facts).rhs
        for mutant in mutants_of(CLAIMS[key]):
            assert np.all(mutant.claim.judge(facts).rhs <= own + 1e-12 * (1.0 + np.abs(own))), (key, mutant.name)


def test_limits_and_false_claims_have_no_mutants() -> None:
    assert not mutants_of(CLAIMS["M18-kl"]) and not mutants_of(CLAIMS["M12a"])
    assert set(SHARPER) <= set(CLAIMS)


def test_artifact_is_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tightened, "QUICK", SMALL)
    calls: list[str] = []

    def quick(mutant, seed=0):
        calls.append(mutant.of)
        return judged(mutant, seed, SMALL[:1])

    monkeypatch.setattr(tightened, "judged", quick)
    path = tmp_path / "mutants.json"
    first = write_mutants(path, ["M10"], 0)
    both = write_mutants(path, ["M10", "M11-mean", "M18-kl"], 0)
    assert calls.count("M10") == len(first) and both[: len(first)] == first
    table = read_artifact(path, "mutants").tables["mutants"]
    assert set(table) == set(COLUMNS) and set(table["claim"]) == {"M10", "M11-mean"}
    assert "sharper claims refuted" in mutant_text(both)
    monkeypatch.setenv("COLUMNS", "80")
    wide = {"claim": "M17-dominance-zero-weights-kl", "change": "a constant " * 12}
    assert max(map(len, mutant_text([row | wide for row in both]).splitlines())) <= 80
    write_mutants(path, ["M10"], 1)  # another seed starts afresh
    assert calls.count("M10") == 2 * len(first)
