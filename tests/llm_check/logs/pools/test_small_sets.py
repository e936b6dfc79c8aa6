"""The doctor's statistics in sets of few candidates, where degrees of freedom count: definitions and null laws."""

from __future__ import annotations

import math
import statistics
from typing import Any

import numpy as np
import pytest
from scipy import stats
from scipy.special import log_softmax

from llm_check.logs.pools.balance import check_balance
from llm_check.logs.pools.pool import pool_from_columns
from llm_check.logs.pools.ratio import RatioCheck, check_ratio

Columns = dict[str, list[Any]]


def _pool(rng: np.random.Generator, positions: int, counts: dict[str, int], gap: float = 0.7) -> Columns:
    """Right logs: steps of one token at fresh positions, a length and a reward that say nothing."""
    rows: Columns = {"prompt_id": [], "source": [], "candidate": [], "logp_draft": [], "logp_base": []}
    for place in range(positions):
        draft = log_softmax(rng.normal(size=30))
        base = log_softmax(draft + rng.normal(size=30) * gap)
        for source, law in (("draft", draft), ("base", base)):
            picked = rng.choice(30, size=counts[source], p=np.exp(law) / np.exp(law).sum())
            rows["prompt_id"] += [f"p{place}"] * picked.size
            rows["source"] += [source] * picked.size
            rows["candidate"] += range(picked.size)
            rows["logp_draft"] += draft[picked].tolist()
            rows["logp_base"] += base[picked].tolist()
    size = len(rows["source"])
    return rows | {
        "step": [0] * size,
        "reward": rng.random(size).tolist(),
        "n_tokens": rng.integers(1, 10, size).tolist(),
    }


def _sets(columns: Columns, source: str) -> list[list[float]]:
    """Log-ratios of a source by position."""
    sets: dict[str, list[float]] = {}
    for prompt, of, s, b in zip(*(columns[k] for k in ("prompt_id", "source", "logp_draft", "logp_base")), strict=True):
        if of == source:
            sets.setdefault(prompt, []).append(b - s)
    return list(sets.values())


def _expit(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x))


def _error_of_sums(sets: list[list[float]]) -> float:
    """Variance of the sum over sets of their means, each from its own sample variance."""
    return sum(statistics.variance(values) / len(values) for values in sets)


def test_errors_of_mean_ratios_are_those_of_sample_means() -> None:
    columns = _pool(np.random.default_rng(0), 6, {"draft": 3, "base": 2})
    found = check_ratio(pool_from_columns(columns).arrays)
    for source, sign, mean, error in (
        ("draft", 1.0, found.mean, found.mean_se),
        ("base", -1.0, found.inverse_mean, found.inverse_se),
    ):
        ratios = [[math.exp(sign * x) for x in values] for values in _sets(columns, source)]
        assert mean == pytest.approx(statistics.mean(statistics.mean(values) for values in ratios))
        assert error == pytest.approx(math.sqrt(_error_of_sums(ratios)) / 6)
    drafts = [[_expit(x) for x in values] for values in _sets(columns, "draft")]
    bases = [[_expit(-x) for x in values] for values in _sets(columns, "base")]
    gap = sum(map(statistics.mean, drafts)) - sum(map(statistics.mean, bases))
    assert found.z == pytest.approx(gap / math.sqrt(_error_of_sums(drafts) + _error_of_sums(bases)), rel=1e-6)


def test_one_candidate_has_its_square_as_variance() -> None:
    columns = _pool(np.random.default_rng(1), 5, {"draft": 1, "base": 2})
    found = check_ratio(pool_from_columns(columns).arrays)
    squares = [math.exp(2.0 * values[0]) for values in _sets(columns, "draft")]
    assert found.mean_se == pytest.approx(math.sqrt(sum(squares)) / 5)


def test_the_bridge_of_single_candidates_takes_the_largest_variance() -> None:
    """σ lies in [0, 1] and one draw shows no spread: each counts with variance one."""
    columns = _pool(np.random.default_rng(5), 7, {"draft": 1, "base": 1})
    found = check_ratio(pool_from_columns(columns).arrays)
    gap = sum(_expit(v[0]) for v in _sets(columns, "draft")) - sum(_expit(-v[0]) for v in _sets(columns, "base"))
    assert found.z == pytest.approx(gap / math.sqrt(14.0), rel=1e-6)


def test_shifts_of_positions_leave_the_second_balance() -> None:
    """Log-ratios off by a constant of the position, in 64 draws a source: found, and a misfit of about one remains."""
    rng, misfits = np.random.default_rng(6), []
    for _ in range(6):
        columns = _pool(rng, 40, {"draft": 64, "base": 64})
        shift = {f"p{k}": float(c) for k, c in enumerate(-6.0 * rng.random(40))}
        columns["logp_base"] = [b + shift[p] for b, p in zip(columns["logp_base"], columns["prompt_id"], strict=True)]
        found = check_ratio(pool_from_columns(columns).arrays)
        assert np.abs(found.shifts - list(shift.values())).mean() < 0.2
        misfits.append(found.shift_misfit)
    # 240 positions, the mean square of each with a standard error of √(2/240)
    assert np.mean(misfits) == pytest.approx(1.0, abs=5.0 * math.sqrt(2.0 / 240))
    # what is off by more than a constant leaves more: here log-ratios of three times their size
    columns = _pool(rng, 40, {"draft": 64, "base": 64})
    three = [s + 3.0 * (b - s) - 9.0 for s, b in zip(columns["logp_draft"], columns["logp_base"], strict=True)]
    found = check_ratio(pool_from_columns(columns | {"logp_base": three}).arrays)
    assert found.shift_misfit > 3.0


def test_ratios_of_right_logs_are_standard() -> None:
    """z and the deviations of both mean ratios from one have variance one, at three candidates a source."""
    rng, found = np.random.default_rng(2), list[RatioCheck]()
    for _ in range(100):
        found.append(check_ratio(pool_from_columns(_pool(rng, 40, {"draft": 3, "base": 3}, 0.3)).arrays))
    for values in (
        [r.z for r in found],
        [(r.mean - 1.0) / r.mean_se for r in found],
        [((r.inverse_mean or 0.0) - 1.0) / (r.inverse_se or 1.0) for r in found],
    ):
        # of 100 squares of normal numbers the mean has a standard error of 0.14
        assert np.mean(np.square(values)) == pytest.approx(1.0, abs=5.0 * math.sqrt(2.0 / 100))
        assert abs(np.mean(values)) < 5.0 / math.sqrt(100)


def test_constant_of_the_balance_is_its_definition() -> None:
    """(Σ (y − μ))² over the sum over sets of m · sample variance, sets being independent."""
    columns = _pool(np.random.default_rng(3), 24, {"draft": 3, "base": 2})
    found = check_balance(pool_from_columns(columns).arrays)
    assert found is not None and found.rows == 120
    log_odds = math.log(3 / 2)
    drafts = [[1.0 - _expit(log_odds - x) for x in values] for values in _sets(columns, "draft")]
    bases = [[-_expit(log_odds - x) for x in values] for values in _sets(columns, "base")]
    total = sum(map(sum, drafts + bases))
    spread = sum(len(values) * statistics.variance(values) for values in drafts + bases)
    assert found.constant == pytest.approx(total**2 / spread, rel=1e-5)
    # Hotelling's law of six functions, of as many rows as bear on it less one a set
    squares = [x**2 for values in drafts + bases for x in values]
    bearing = sum(squares) ** 2 / sum(x**2 for x in squares) * (1.0 - 48 / 120)
    hotelling = found.chi2 * (bearing - 6.0) / (6.0 * (bearing - 1.0))
    assert found.level == pytest.approx(stats.f.sf(hotelling, 6, bearing - 6.0), rel=1e-9)


def test_rows_are_compared_with_the_others_of_their_position() -> None:
    """Where a row counted in its own middle, chi2 of many sets of three would be 28 and grow with their number."""
    rng, found = np.random.default_rng(7), []
    for _ in range(8):
        balance = check_balance(pool_from_columns(_pool(rng, 300, {"draft": 3, "base": 3}, 1.5)).arrays)
        assert balance is not None
        found.append(balance.chi2)
    assert np.mean(found) == pytest.approx(6.0, abs=5.0 * math.sqrt(2.0 * 6.0 / 8))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_no_single_row_decides_the_balance(seed: int) -> None:
    """A step of 10⁶ tokens among hundreds of fewer than ten weighs no more than one of 10³."""
    columns, found = _pool(np.random.default_rng(seed), 150, {"draft": 4, "base": 4}), []
    for length in (10**3, 10**6):
        columns["n_tokens"][5] = length
        balance = check_balance(pool_from_columns(columns).arrays)
        assert balance is not None
        found.append(balance.chi2)
    assert found[0] == pytest.approx(found[1], rel=1e-9)


def test_levels_of_right_logs_are_not_too_small_nor_much_too_large() -> None:
    """Twelve positions of three candidates a source, of which 48 rows bear: a little to the safe side, 0.56 on average
    (of 600 pools), where uniform levels have 0.5."""
    rng, levels = np.random.default_rng(4), []
    for _ in range(150):
        found = check_balance(pool_from_columns(_pool(rng, 12, {"draft": 3, "base": 3}, 0.3)).arrays)
        assert found is not None
        levels.append(found.level)
    assert np.mean(levels) == pytest.approx(0.56, abs=5.0 / math.sqrt(12 * 150))
    for share in (0.05, 0.2):
        below = np.mean(np.array(levels) < share)
        assert below - share < 5.0 * math.sqrt(share * (1.0 - share) / 150), share
