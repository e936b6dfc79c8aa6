"""How long a step may be (M44): prefixes of long steps are draws of short ones, against enumerated laws."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

import llm_check
from gsi_theory.cli import main
from gsi_theory.errors import InputError
from llm_check.logs.pools.diagnosis import doctor
from llm_check.logs.pools.pool import Pool, pool_from_columns, write_pool
from llm_check.logs.pools.prefixes import _khat, length_grid, length_rows, pool_at_length
from tests.plants.pool_faults import Columns, Sampling, TokenWorld, drop_tokens

PLAIN = Sampling()
SMALL = TokenWorld(positions=1, vocabulary=4, longest=5, spread=1.2, gap=0.9)


def _columns(n: int = 1500, seed: int = 1) -> Columns:
    return SMALL.columns(seed, n, PLAIN, PLAIN, steps=1)


def _models(seed: int) -> dict[str, tuple[np.ndarray, ...]]:
    """The tables of `TokenWorld.columns`, drawn as it draws them."""
    rng = np.random.default_rng([seed, 77])
    common, base = (SMALL._tables(rng, SMALL.spread) for _ in range(2))
    return {"draft": common, "base": tuple(a + SMALL.gap / SMALL.spread * b for a, b in zip(common, base, strict=True))}


def _law(seed: int, length: int) -> tuple[list[tuple[int, ...]], np.ndarray, np.ndarray]:
    """Every step of at most `length` tokens, with its log-probabilities under draft and base: token 0 ends it."""
    steps = [
        step
        for k in range(1, length + 1)
        for step in itertools.product(range(SMALL.vocabulary), repeat=k)
        if 0 not in step[:-1] and (k == length or step[-1] == 0)
    ]
    tokens = np.full((len(steps), SMALL.longest), -1)
    for row, step in enumerate(steps):
        tokens[row, : len(step)] = step
    place = np.zeros(len(steps), dtype=np.int64)
    draft, base = (SMALL._score(model, place, tokens).sum(axis=1) for model in _models(seed).values())
    assert np.exp(draft).sum() == pytest.approx(1.0) and np.exp(base).sum() == pytest.approx(1.0)
    return steps, draft, base


@pytest.mark.parametrize("length", [1, 2, 3, 5])
def test_prefixes_follow_the_law_of_the_shorter_step(length: int) -> None:
    steps, draft, base = _law(1, length)
    pool = pool_at_length(pool_from_columns(_columns()), length)
    rows = pool.table.to_pydict()
    known = {step: k for k, step in enumerate(steps)}
    at = np.array([known[tuple(ids)] for ids in rows["token_ids"]])
    np.testing.assert_allclose(rows["logp_draft"], draft[at], atol=1e-9)
    np.testing.assert_allclose(rows["logp_base"], base[at], atol=1e-9)
    assert rows["n_tokens"] == [len(steps[k]) for k in at]
    drawn = np.array(rows["source"]) == "draft"
    for chosen, law in ((drawn, draft), (~drawn, base)):
        share = np.bincount(at[chosen], minlength=len(steps)) / chosen.sum()
        assert np.abs(share - np.exp(law)).max() < 4.5 * np.sqrt(0.25 / chosen.sum())
    (row,) = length_rows(pool_from_columns(_columns()), [2.0], [length])
    ratio, mass = base - draft, np.exp(draft)
    kl, spread = float(mass @ -ratio), float(np.sqrt(mass @ ratio**2 - (mass @ ratio) ** 2))
    assert abs(row["kl"] - kl) < 4.0 * spread / np.sqrt(1500)
    backward = np.exp(base) @ ratio
    assert row["kl_base"] == pytest.approx(backward, abs=4.0 * np.sqrt(np.exp(base) @ (ratio - backward) ** 2 / 1500))
    chi2 = np.exp(base) @ np.exp(ratio) - 1.0
    errors = [
        np.sqrt(p @ (x - p @ x) ** 2 / 1500) for p, x in ((mass, np.exp(2 * ratio)), (np.exp(base), np.exp(ratio)))
    ]
    assert row["chi2"] == pytest.approx(chi2, abs=4.5 * max(errors))
    # the median of a law of atoms: half of the mass is at or below it, and at or above
    assert (
        mass[ratio <= row["median_log_ratio"] + 1e-9].sum() > 0.46 < mass[ratio >= row["median_log_ratio"] - 1e-9].sum()
    )


def test_a_long_pool_says_of_short_steps_what_fresh_pools_of_them_say() -> None:
    """At the same seed the first tokens of the drafts are the same draws, whatever the cap on length."""
    long = TokenWorld(8, gap=0.5).columns(3, 40, PLAIN, PLAIN)
    for length in (1, 3, 8):
        fresh = pool_from_columns(TokenWorld(8, gap=0.5, longest=length).columns(3, 40, PLAIN, PLAIN))
        prefix = pool_at_length(pool_from_columns(long), length)
        for position in fresh.arrays.names:
            one, other = (p.draft_candidates(*position).log_ratio for p in (fresh, prefix))
            np.testing.assert_allclose(one, other, atol=1e-9)
    assert prefix.table.num_rows == len(long["step"]), "duplicates and unfinished drafts are kept"


def test_the_whole_step_is_the_pool_and_shorter_ones_are_closer() -> None:
    pool = pool_from_columns(TokenWorld(10, gap=1.0).columns(2, 64, PLAIN, PLAIN))
    grid = length_grid(pool)
    assert grid[:4] == [1, 2, 4, 8] and grid[-1] == max(pool.table["n_tokens"].to_pylist())
    whole = pool_at_length(pool, grid[-1])
    np.testing.assert_array_equal(whole.arrays.log_ratio, pool.arrays.log_ratio)
    assert "text" in whole.table.column_names and whole.table["finish_reason"] == pool.table["finish_reason"]
    short = pool_at_length(pool, 2)
    assert "text" not in short.table.column_names and short.metadata["prefix_tokens"] == 2
    assert {len(ids) for ids in short.table["token_logp_base"].to_pylist()} <= {1, 2}
    rows = length_rows(pool, [5.0, 20.0])
    assert [row["tokens"] for row in rows] == grid and rows[0]["khat"] is None, "one token is nearly always tied"
    assert rows[0]["ess"] > rows[-1]["ess"] and rows[0]["kl"] < rows[-1]["kl"] and rows[0]["chi2"] < rows[-1]["chi2"]
    found = doctor(pool, lengths=True)
    assert found.supports is not None and found.lengths is not None
    usable = [row["tokens"] for row in found.lengths if row["n_max"] is not None]
    assert found.supports.length_max == max(usable, default=None)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (drop_tokens, "no token_logp_draft and no token_logp_base"),
        (lambda c: {k: v for k, v in c.items() if k != "token_logp_base"}, "no token_logp_base: log them"),
        (lambda c: c | {"token_logp_base": [v[:-1] for v in c["token_logp_base"]]}, "log the step's own tokens"),
    ],
)
def test_pools_without_the_numbers_are_refused_with_the_cure(change: object, said: str) -> None:
    pool = pool_from_columns(change(_columns(20)))  # type: ignore[operator]
    for call in (lambda: pool_at_length(pool, 2), lambda: llm_check.doctor(pool, lengths=True)):
        with pytest.raises(InputError, match=said):
            call()
    found = llm_check.doctor(pool)
    assert found.supports is not None and found.supports.length_max is None
    with pytest.raises(InputError, match="tokens = 0"):
        pool_at_length(pool_from_columns(_columns(20)), 0)


def _gsi(*given: str) -> int:
    with pytest.raises(SystemExit) as done:
        main(["doctor", *given])
    return int(done.value.code or 0)


def test_the_command_shows_and_draws_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pools: list[Pool] = [
        write_pool(tmp_path / f"{name}.parquet", TokenWorld(6, gap=gap).columns(1, 20, PLAIN, PLAIN), {})
        for name, gap in (("near", 0.3), ("far", 1.5))
    ]
    near, far, page = (str(tmp_path / name) for name in ("near.parquet", "far.parquet", "page"))
    assert _gsi(near, "--lengths", "--beside", far, "--page", page, "--json") == 0
    record = json.loads(capsys.readouterr().out)
    assert {"tokens", "kl", "chi2", "ess", "khat", "n_max"} <= set(record["lengths"][0])
    assert [row["tokens"] for row in record["lengths"]] == length_grid(pools[0])
    files = {path.name: path.read_bytes() for path in Path(page).iterdir()}
    assert set(files) == {"step_length.json", "step_length.svg", "step_length.pdf"}
    assert b"<svg" in files["step_length.svg"]
    table = json.loads(files["step_length.json"])["tables"]["lengths"]
    assert (
        list(dict.fromkeys(table["pool"])) == ["near", "far"]
        and str(tmp_path) not in files["step_length.json"].decode()
    )
    assert _gsi(near, "--lengths", "--beside", far, "--page", page) == 0
    assert {path.name: path.read_bytes() for path in Path(page).iterdir()} == files
    text = " ".join(capsys.readouterr().out.split())
    assert "as drafts of a step of that length (M44)" in text
    assert _gsi(near, "--page", page) == 2 and _gsi(near, "--lengths", "--beside", far) == 2


def test_two_pools_of_one_name_are_two_lines(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        write_pool(tmp_path / folder / "pool.parquet", TokenWorld(4).columns(1, 10, PLAIN, PLAIN), {})
    one, two = (str(tmp_path / folder / "pool.parquet") for folder in ("a", "b"))
    assert _gsi(one, "--lengths", "--beside", two, "--page", str(tmp_path / "page")) == 0
    record = json.loads((tmp_path / "page" / "step_length.json").read_text())
    assert record["summary"]["pools"] == ["pool", "pool (2)"]


def test_a_tail_is_fitted_where_half_of_the_ratios_differ() -> None:
    ratios = np.random.default_rng(0).normal(size=60)
    assert _khat(np.repeat(ratios, 2)) is not None and _khat(np.repeat(ratios, 2)[:-1]) is not None
    assert _khat(np.append(np.repeat(ratios, 2), ratios[0])) is None


def test_the_median_is_of_the_drafts() -> None:
    pool = pool_from_columns(_columns(6))
    (row,) = length_rows(pool, [2.0], [SMALL.longest])
    drafts = pool.arrays.log_ratio[~pool.arrays.is_base]
    assert row["median_log_ratio"] == pytest.approx(np.median(drafts), abs=1e-12) and row["drafts"] == drafts.size == 6
