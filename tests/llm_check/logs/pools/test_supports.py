"""What a pool's weights may be used for: the tests one by one, the verdict of the doctor, the bench that judges it."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import t as student

from gsi_theory.cli import main
from gsi_theory.errors import InputError
from gsi_theory.estimate import subset_mean
from llm_check.logs.pools.diagnosis import doctor
from llm_check.logs.pools.pool import Pool, pool_from_columns, write_pool
from llm_check.logs.pools.supports import effective_drafts, reward_bounds, support_cells, unsupported
from llm_check.logs.pools.verdict import pool_support
from tests.benches.supports import WORLDS, dealt, summarized, synthetic


def normal_pool(
    spread: float, prompts: int = 12, drafts: int = 64, base: int = 0, high: float = 1.0, down: bool = False
) -> Pool:
    """Normal log-ratios, rewards uniform on [0, high] (`down`: on [1 − high, 1]), drafts and base draws (of the exact
    tilt of the ratios)."""
    rng = np.random.default_rng(3)
    rows = []
    for prompt in range(prompts):
        for source, count, mean in (("draft", drafts, -0.5), ("base", base, 0.5)):
            for i in range(count):
                ratio = mean * spread**2 + spread * rng.normal()
                reward = high * rng.random()
                rows.append((f"p{prompt}", 0, source, i, -900.0, -900.0 + ratio, 1.0 - reward if down else reward))
    names = ("prompt_id", "step", "source", "candidate", "logp_draft", "logp_base", "reward")
    return pool_from_columns({name: [row[i] for row in rows] for i, name in enumerate(names)})


def _faults(pool: Pool, *ns: int) -> list[str]:
    return [cell.fault for cell in support_cells(pool, [5.0], ns)]


def test_each_test_refuses_what_it_is_for() -> None:
    assert _faults(normal_pool(0.5), 1, 2, 8, 32) == ["", "", "", ""]
    whole, beyond = _faults(normal_pool(0.5), 64, 65)
    assert whole == "" and "nothing can be said beyond the pool" in beyond
    assert "6 disjoint sets of n = 16 drafts" in _faults(normal_pool(0.5, 2, 62), 16)[0]
    assert "7 disjoint sets of n = 8 drafts" in _faults(normal_pool(0.5, 7, 8), 8)[0]
    assert "disjoint" not in _faults(normal_pool(0.5, 8, 8), 8)[0]
    (wide,) = _faults(normal_pool(0.5, 2, 16), 2)
    assert "wider than a tenth of its range of 1" in wide
    one = _faults(normal_pool(14.0), 1, 2)
    assert one[0] == "" and "effective drafts of 64 at half of the positions" in one[1]
    with pytest.raises(InputError, match="n = 0"):
        _faults(normal_pool(0.5), 0)


@pytest.mark.parametrize("down", [False, True])
def test_a_mean_within_two_sets_of_a_bound_is_refused(down: bool) -> None:
    """Rewards that are near a bound nearly always: no set may show what the others are."""
    sets = 12 * 64 // 2
    for away, refused in ((1.6, True), (2.4, False)):
        (fault,) = _faults(normal_pool(0.5, high=2.0 * away / sets, down=down), 2)
        assert ("so near a bound" in fault) == refused


@pytest.mark.parametrize(("drafts", "n"), [(2, 1), (5, 2), (16, 4)])
def test_the_interval_counts_the_degrees_of_freedom_of_its_error(drafts: int, n: int) -> None:
    """From the leave-one-out values of `subset_mean` itself, pool by pool without one candidate."""
    pool = normal_pool(1.0, 6, drafts)
    (cell,) = support_cells(pool, [5.0], [n])
    square, fourth, normal = 0.0, 0.0, 0.0
    for key in pool.positions("draft"):
        c = pool.draft_candidates(*key)
        weight = 5.0 * c.reward + c.log_ratio
        out = [float(subset_mean(np.delete(c.reward, j), np.delete(weight, j), [n]).value[0]) for j in range(drafts)]
        share = (drafts - 1) / drafts * (np.array(out) - np.mean(out)) ** 2
        square += share.sum()
        fourth += (share**2).sum() - share.sum() ** 2 / drafts
        normal += 2.0 * share.sum() ** 2 / (drafts - 1)
    degrees = 2.0 * square**2 / max(fourth, normal)
    assert cell.stderr == pytest.approx(np.sqrt(square) / 6, rel=1e-6)
    assert cell.half == pytest.approx(student.ppf(0.975, degrees) * cell.stderr, rel=1e-6)


def test_the_widest_interval_is_a_tenth_of_the_range() -> None:
    cells = [support_cells(normal_pool(0.7, 6, drafts), [5.0], [2])[0] for drafts in range(12, 36)]
    widths = np.array([2.0 * cell.half for cell in cells])
    assert ((widths > 0.085) & (widths < 0.1)).any() and ((widths > 0.1) & (widths < 0.115)).any()
    assert [cell.fault.endswith("wider than a tenth of its range of 1") for cell in cells] == (widths >= 0.1).tolist()


def test_one_draft_decides_below_so_many_effective_ones() -> None:
    pools = [normal_pool(spread, 9) for spread in np.linspace(7.0, 12.0, 21)]
    sizes = np.array([effective_drafts(pool) for pool in pools])
    assert ((sizes > 1.2) & (sizes < 1.3)).any() and ((sizes > 1.3) & (sizes < 1.4)).any()
    assert ["one draft decides" in _faults(pool, 2)[0] for pool in pools] == (sizes < 1.3).tolist()


def test_positions_that_are_not_read_count_as_those_that_are() -> None:
    """Of 400 positions 200 are read: the error of the mean over all, and the sets of all."""
    pool = normal_pool(0.5, 400, 2, high=0.005)
    (cell,) = support_cells(pool, [5.0], [1])
    read = [pool.positions("draft")[k] for k in np.unique(np.linspace(0, 399, 200).astype(int))]
    square = sum(pool.draft_candidates(*key).reward.var(ddof=1) / 2 for key in read)
    assert cell.stderr == pytest.approx(np.sqrt(square / 400 / 200), rel=1e-9)
    assert 400 * cell.reward < 2.0 < 800 * cell.reward and cell.fault == ""


def test_beyond_half_of_the_drafts_the_interval_is_no_shorter_than_at_half() -> None:
    """Right and wrong: of 16 drafts hardly a set fails, and one set each shows nothing of the others."""
    rows = normal_pool(0.3, 20, 16).table.to_pydict()
    rows["reward"] = [float(r > 0.7) for r in rows["reward"]]
    half, beyond, whole = support_cells(pool_from_columns(rows), [50.0], [8, 12, 16])
    assert whole.stderr < beyond.stderr < half.stderr
    assert half.half <= beyond.half == whole.half


def test_the_range_is_as_stated_or_as_seen(tmp_path: Path) -> None:
    assert reward_bounds(normal_pool(0.5, 2)) == (0.0, 1.0)
    low, high = reward_bounds(normal_pool(0.5, 2, high=7.0))
    assert low < 1.0 and 6.0 < high <= 7.0
    stated = write_pool(tmp_path / "p.parquet", normal_pool(0.5, 2).table, {"reward": {"low": -1.0, "high": 2.0}})
    assert reward_bounds(stated) == (-1.0, 2.0)


def test_what_is_usable_shrinks_with_the_spread_and_a_single_draft_never_decides() -> None:
    near, far, out = (pool_support(normal_pool(spread), 5.0) for spread in (0.5, 2.0, 14.0))
    assert near.usable and far.usable and not out.usable
    assert (near.n_max or 0) >= (far.n_max or 0) > 1 and out.n_max is None and out.beta is None
    assert near.ess > far.ess > out.ess and near.beta == 20.0 and near.length_max is None
    asked = pool_support(normal_pool(0.5), 5.0, n=65)
    assert not asked.usable and asked.n_max == near.n_max and "beyond the pool" in asked.reason
    assert pool_support(normal_pool(0.5), 5.0, n=1).usable
    void = pool_support(normal_pool(0.5), 5.0, wrong=("duplicates",))
    assert not void.usable and void.n_max is None and "duplicates" in void.reason


def test_numbers_too_large_for_other_betas_are_no_error() -> None:
    rows = normal_pool(0.5).table.to_pydict()
    rows["reward"] = [r * 1e100 for r in rows["reward"]]
    assert pool_support(pool_from_columns(rows), 1e-98).beta is not None


@pytest.mark.parametrize(
    ("spread", "said"), [(0.5, "weights: may be used up to n ="), (14.0, "weights: cannot be used")]
)
def test_the_last_line_says_both(spread: float, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_pool(tmp_path / "p.parquet", normal_pool(spread, base=20).table, {})
    for options in ([], ["--json"]):
        with pytest.raises(SystemExit):
            main(["doctor", str(tmp_path / "p.parquet"), *options])
        out = capsys.readouterr().out
        if options:
            supports = json.loads(out)["supports"]
            assert supports["usable"] == ("may" in said)
            assert set(supports) == {"usable", "beta", "n_max", "length_max", "ess", "khat", "reason"}
        else:
            text = " ".join(out.split())
            assert f"numbers: valid; {said}" in text and "effective drafts" in text


def test_of_a_pool_that_is_not_valid_no_weight_is_used() -> None:
    rows = normal_pool(0.5, base=64).table.to_pydict()
    rows["logp_base"] = [x + 3.0 for x in rows["logp_base"]]
    found = doctor(pool_from_columns(rows))
    assert not found.valid and found.supports is not None and not found.supports.usable


def test_the_bench_finds_what_is_usable_to_cover(tmp_path: Path) -> None:
    """A few of its pools; `python -m tests.benches.supports` plays many more."""
    cases = list(synthetic(WORLDS[6], 2, 5, 12))
    found = summarized(cases)
    assert found["covers"] >= 0.88 and found["called"] >= 0.8
    assert summarized([case._replace(usable=True) for case in cases])["covers"] < found["covers"]
    write_pool(tmp_path / "large.parquet", normal_pool(1.0, 6, 320).table, {})
    dealt_cases = list(dealt(tmp_path / "large.parquet", 6, 32, 0))
    assert len({(c.beta, c.n, c.rule) for c in dealt_cases}) * 10 == len(dealt_cases)
    assert summarized(dealt_cases)["covers"] >= 0.8


def test_the_bar_of_effective_drafts_is_enough() -> None:
    assert not unsupported(1.3, 2) and not unsupported(1.0, 1)
    assert unsupported(math.nextafter(1.3, 0.0), 2) == "1.3 effective drafts at half of the positions: one decides"
