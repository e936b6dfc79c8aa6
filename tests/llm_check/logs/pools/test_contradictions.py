"""No number that the doctor prints contradicts a bound beside it, and what was not fitted is not a result."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gsi_theory.cli import main
from llm_check.logs.pools.diagnosis import diagnose, doctor
from llm_check.logs.pools.pool import Pool, pool_from_columns, write_pool
from llm_check.logs.pools.step_coverage import coverage_record
from tests.llm_check.logs.pools.test_supports import normal_pool


def two_sources(draft: list[float], base: list[float]) -> Pool:
    """One position with these log-ratios."""
    rows = [("p", 0, "draft", i, -400.0, -400.0 + x, 0.5) for i, x in enumerate(draft)]
    rows += [("p", 0, "base", i, -400.0, -400.0 + x, 0.5) for i, x in enumerate(base)]
    names = ("prompt_id", "step", "source", "candidate", "logp_draft", "logp_base", "reward")
    return pool_from_columns({name: [row[i] for row in rows] for i, name in enumerate(names)})


nats = st.lists(st.floats(-40.0, 40.0), min_size=1, max_size=12)


@given(draft=nats, base=st.one_of(st.just([]), nats))
@settings(max_examples=60, deadline=None)
def test_bounds_bound_what_stands_beside_them(draft: list[float], base: list[float]) -> None:
    (step,) = coverage_record(two_sources(draft, base), 2.0)["steps"]
    chi2, sup = step["chi2"], step["largest_ratio"]
    assert 0.0 <= step["chi2_low"] <= chi2 * (1 + 1e-9) and chi2 <= (sup - 1.0) * (1 + 1e-9) + 1e-9
    assert step["renyi2"] == pytest.approx(np.log1p(chi2), abs=1e-9)
    assert step["kl_draft"] >= 0.0 and 0.0 <= (step["kl_base"] or 0.0) <= step["renyi2"] + 1e-9
    assert 1.0 <= step["ess"] <= len(draft)


def test_drafts_that_prove_more_than_the_base_draws_show() -> None:
    """The base draws' estimate of χ² is 0.3; the drafts' bound is above 10."""
    pool = two_sources([5.5] * 6 + [-4.0] * 6, [np.log(1.3)] * 8)
    (step,) = coverage_record(pool, 2.0)["steps"]
    assert step["chi2_low"] > 10.0 and step["chi2"] >= step["chi2_low"]


@pytest.mark.parametrize("drafts", [8, 24, 25, 40])
def test_a_tail_that_was_not_fitted_says_so(drafts: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_pool(tmp_path / "p.parquet", normal_pool(1.0, 1, drafts, 4).table, {})
    with pytest.raises(SystemExit):
        main(["doctor", str(tmp_path / "p.parquet"), "--json"])
    record = json.loads(capsys.readouterr().out)
    values = [record["supports"]["khat"], *(record["coverage"]["steps"][0][key] for key in ("khat", "tilted_khat"))]
    values += [record["coverage"]["positions"][0][of]["khat"] for of in ("ratio", "tilted")]
    assert all((value is None) == (drafts < 25) for value in values)
    with pytest.raises(SystemExit):
        main(["doctor", str(tmp_path / "p.parquet")])
    text = " ".join(capsys.readouterr().out.split())
    assert (f"not fitted ({drafts} draws)" in text) == (drafts < 25) and "inf" not in text


def test_kl_a_token_is_of_all_positions() -> None:
    rows = normal_pool(1.0, 30, 40, 40).table.to_pydict()
    rows["n_tokens"] = [10 if source == "draft" else 20 for source in rows["source"]]
    (step,) = coverage_record(pool_from_columns(rows), 2.0)["steps"]
    # E −ℓ = 1/2 under the draft and E ℓ = 1/2 under the base
    assert step["kl_draft_token"] == pytest.approx(0.05, abs=0.01)
    assert step["kl_base_token"] == pytest.approx(0.025, abs=0.005)


def _heavy(pool: Pool) -> dict[str, object] | None:
    return next((f.evidence for f in diagnose(pool).findings if f.id == "heavy_tail"), None)


def test_a_heavy_tail_shows_in_few_drafts_too() -> None:
    """Four prompts of 8 drafts: one draft in 32 has all the weight, or the base draws lie beyond every draft."""
    few = _heavy(normal_pool(5.0, 4, 8))
    assert few is not None and few["drafts"] == 32 and few["effective_drafts"] < 3.2  # type: ignore[operator]
    one = _heavy(normal_pool(5.0, 1, 12))
    assert one is not None and one["not_fitted_of"] == 12 and "khat" not in one
    beyond = _heavy(two_sources([0.0] * 20, [3.0] * 20))
    assert beyond is not None and beyond["base_draws_beyond_all_drafts"] == 1.0
    for light in (normal_pool(0.5, 4, 8), normal_pool(0.5, 4, 8, 8), normal_pool(1.0, 6, 32, 32)):
        assert _heavy(light) is None


def test_the_evidence_for_the_tail_says_what_was_not_fitted() -> None:
    found = doctor(normal_pool(1.0, 2, 12, 12)).record()["coverage"]["positions"]
    assert all(at["why"].startswith("no tail fitted (12 drafts)") for at in found)
