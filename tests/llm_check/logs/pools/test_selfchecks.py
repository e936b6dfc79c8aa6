"""Self-checks of a pool against slow oracles and against their own law under the null."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit, log_softmax
from scipy.stats import chi2

from llm_check.logs.pools.causes import _alone
from llm_check.logs.pools.evidence import LOG_E
from llm_check.logs.pools.pool import pool_from_columns
from llm_check.logs.pools.position_arrays import blocks, same_text_codes, some_positions
from llm_check.logs.pools.prefix_counts import PrefixDraws, _collect, step_draws, token_draws
from llm_check.logs.pools.ratio import _bennett, check_ratio
from llm_check.logs.pools.self_checks import spread_by_reward
from llm_check.logs.pools.tokens import (
    FEWER,
    TEMPERATURES,
    _Events,
    _kept_gain,
    _new_chance,
    _new_gain,
    check_draws,
)
from tests.plants.pool_faults import Sampling, TokenWorld, drop_tokens, restrict

PLAIN = Sampling()


def _draws(rng: np.random.Generator, logits: np.ndarray, n: int, temperature: float = 1.0) -> PrefixDraws:
    """n draws at each row of logits (nodes, V), reported at temperature 1."""
    logp = log_softmax(logits, axis=1)
    law = np.exp(log_softmax(logits / temperature, axis=1))
    tokens = np.array([rng.choice(law.shape[1], size=n, p=row) for row in law])
    node = np.repeat(np.arange(law.shape[0]), n)
    return _collect(node, tokens.ravel(), logp[node, tokens.ravel()], "token")


def _slow(draws: PrefixDraws, exponent: float) -> tuple[float, float]:
    """(log-likelihood given "seen before", Σ P(new)) by dictionaries, event by event."""
    total, new = 0.0, 0.0
    seen: dict[int, dict[int, float]] = {}
    for node, kind, logp in zip(draws.node.tolist(), draws.kind.tolist(), draws.logp.tolist(), strict=True):
        have = seen.setdefault(node, {})
        new += 1.0 - sum(math.exp(v) for v in have.values())
        if kind in have:
            total += exponent * logp - math.log(sum(math.exp(exponent * v) for v in have.values()))
        have[kind] = logp
    return total, new


@pytest.mark.parametrize("exponent", [1.0, 0.5, 1 / 0.7])
def test_likelihoods_equal_a_slow_count(exponent: float) -> None:
    draws = _draws(np.random.default_rng(3), np.random.default_rng(4).normal(size=(5, 12)) * 2, 30)
    events = _Events.of(draws)
    expected, new = _slow(draws, exponent)
    assert events.which(exponent).sum() == pytest.approx(expected, abs=1e-9)
    assert _new_chance(events, 1.0).sum() == pytest.approx(new, abs=1e-9)


def test_evidence_against_a_right_log_has_mean_one() -> None:
    rng, logits = np.random.default_rng(8), np.random.default_rng(9).normal(size=(2, 6)) * 1.5
    values: dict[str, list[float]] = {"temperature": [], "fewer": [], "kept": [], "misfit": []}
    for _ in range(1500):
        draws = _draws(rng, logits, 8)
        events = _Events.of(draws)
        base = events.which(1.0).sum()
        values["temperature"].append(np.exp(events.which(1 / 0.8).sum() - base))
        values["fewer"].append(np.exp(_new_gain(draws.first, _new_chance(events, 1.0), 0.7)))
        values["kept"].append(np.exp(_kept_gain(draws.first, _new_chance(events, 1.0), 0.95)))
        values["misfit"].append(np.exp(events.dirichlet(1.0, 100.0)))
    for name, found in values.items():
        mean, error = np.mean(found), np.std(found) / np.sqrt(len(found))
        assert abs(mean - 1.0) < 4.0 * error, name
    assert max(FEWER) < 1.0 < max(TEMPERATURES)


def test_what_is_cut_off_shows_in_counts_alone() -> None:
    """Draws of a nucleus of 95 %, at nodes of 30 tokens, without a base candidate: three in four pools of 50 tell."""
    logits, found = np.random.default_rng(1).normal(size=(50, 30)) * 1.5, 0
    logp = log_softmax(logits, axis=1)
    for seed in range(8):
        rng = np.random.default_rng(seed)
        law = np.exp(restrict(logp, Sampling(1.0, 0.95)))
        tokens = np.array([rng.choice(30, size=64, p=row / row.sum()) for row in law]).ravel()
        node = np.repeat(np.arange(50), 64)
        check = check_draws(_collect(node, tokens, logp[node, tokens], "step"))
        assert check is not None
        found += check.log_e_fewer > np.log(1000.0)
    assert found >= 6


def test_temperature_is_recovered_with_its_interval() -> None:
    logits = np.random.default_rng(1).normal(size=(60, 9)) * 1.5
    inside = 0
    for seed in range(20):
        check = check_draws(_draws(np.random.default_rng(seed), logits, 64, 0.7))
        assert check is not None and check.interval is not None and check.temperature is not None
        assert abs(check.temperature - 0.7) < 0.08 and check.log_e_temperature > 20.0
        inside += check.interval[0] <= 0.7 <= check.interval[1]
        # a temperature explains the misfit, and all of it
        assert check.misfit_left < 5.0 < check.log_e_misfit
    assert inside >= 16  # 95 % intervals: fewer than 16 of 20 has probability 3e-3


def test_interval_of_a_temperature_is_where_the_likelihood_has_fallen_by_half_a_chi2_quantile() -> None:
    draws = _draws(np.random.default_rng(6), np.random.default_rng(7).normal(size=(4, 9)) * 1.5, 20, 0.8)
    check = check_draws(draws)
    assert check is not None and check.interval is not None and check.temperature is not None
    top = _slow(draws, 1.0 / check.temperature)[0]
    for end in check.interval:
        assert top - _slow(draws, 1.0 / end)[0] == pytest.approx(chi2.ppf(0.95, 1) / 2, abs=1e-5)
    assert check.temperature_gain == pytest.approx(top - _slow(draws, 1.0)[0], abs=1e-9)
    around = [_slow(draws, factor / check.temperature)[0] for factor in (0.99, 1.01)]
    assert max(around) < top


def test_noise_of_the_log_is_allowed_for_by_three_standard_errors() -> None:
    """Numbers logged with a normal error of 0.1: the bound of P(new) lies three standard errors of the logged mass of
    what was drawn below the truth, a kind that was drawn k times being logged k times."""
    rng, size, sigma = np.random.default_rng(12), 16, 0.1
    logp = log_softmax(rng.normal(size=(400, 20)), axis=1)
    tokens = np.array([rng.choice(20, size=size, p=np.exp(row)) for row in logp])
    node = np.repeat(np.arange(400), size)
    right = logp[node, tokens.ravel()]
    draws = _collect(node, tokens.ravel(), right + sigma * rng.normal(size=right.size), "token")
    assert draws.spread == pytest.approx(sigma, rel=0.1)
    chance, most = (_new_chance(_Events.of(draws), 1.0, upper).reshape(400, size) for upper in (False, True))
    below, above = [], []
    for row, drawn, bound, limit in zip(np.exp(logp), tokens, chance, most, strict=True):
        before = {int(v): int(np.sum(drawn == v)) for v in drawn[:-1]}
        true = 1.0 - sum(row[v] for v in before)
        error = sigma * math.sqrt(sum(row[v] ** 2 / times for v, times in before.items()))
        if true > 6.0 * error + row[drawn[-1]]:  # elsewhere the bound is zero, or the last draw's own mass
            below.append((true - bound[-1]) / error)
            above.append((limit[-1] - true) / error)
    assert len(below) > 200
    assert np.mean(above) == pytest.approx(3.0, abs=5.0 / math.sqrt(len(above)))  # what more new draws must exceed
    assert np.mean(below) == pytest.approx(3.0, abs=5.0 / math.sqrt(len(below)))
    assert np.std(below) == pytest.approx(1.0, abs=5.0 / math.sqrt(2 * len(below)))


def test_noise_does_not_hide_what_was_drawn_later() -> None:
    """Of four draws a, a, b, c, a logged at 0.4 and 0.6: three standard errors leave 0.2 for what is new to the third,
    but b and c hold 0.45, and came; to the fourth c."""
    draws = _collect(np.zeros(4, dtype=int), np.array([0, 0, 1, 2]), np.log([0.4, 0.6, 0.3, 0.15]), "token")
    chance = _new_chance(_Events.of(draws), 1.0)
    a = math.sqrt(0.4 * 0.6)
    assert draws.spread == pytest.approx(math.log(0.6 / 0.4) / math.sqrt(2.0))
    assert 1.0 - a - 3.0 * draws.spread * a / math.sqrt(2.0) < 0.3
    assert chance == pytest.approx([1.0, 0.45, 0.45, 0.15])


def test_evidence_of_a_whole_check_has_mean_one() -> None:
    """The means over each grid, as they are reported; nine draws of six tokens always repeat one."""
    rng, logits = np.random.default_rng(13), np.random.default_rng(14).normal(size=(1, 6))
    checks = [check_draws(_draws(rng, logits, 9)) for _ in range(300)]
    for name in ("log_e_temperature", "log_e_fewer", "log_e_more", "log_e_misfit", "log_e_hot"):
        values = np.exp([getattr(check, name) for check in checks])
        assert abs(np.mean(values) - 1.0) < 5.0 * np.std(values) / math.sqrt(values.size), name
    seen, foreseen = (np.array([getattr(check, name) for check in checks]) for name in ("new_seen", "new_expected"))
    assert abs(np.mean(seen - foreseen)) < 5.0 * np.std(seen - foreseen) / math.sqrt(seen.size)
    assert {check.events + check.new_seen for check in checks if check is not None} == {9}


def test_a_hot_source_shows_in_new_tokens_and_in_proportions_together() -> None:
    """Drawn at 1.3, scored at 1: where neither is evidence enough alone, both may be; that is called a temperature."""
    rng, logits = np.random.default_rng(3), 1.5 * np.random.default_rng(2).normal(size=(20, 12))
    together = 0
    for _ in range(60):
        check = check_draws(_draws(rng, logits, 12, 1.3))
        assert check is not None and check.interval is not None
        if max(check.log_e_temperature, check.log_e_more) < LOG_E < check.log_e_hot and check.interval[0] > 1.0:
            assert _alone(replace(check, level="token")) and not _alone(replace(check, level="step"))
            assert not _alone(replace(check, level="token", interval=(0.9, check.interval[1])))  # new draws alone
            together += 1
    assert together >= 5
    checks = [check_draws(_draws(rng, logits, 12)) for _ in range(60)]
    assert not any(_alone(check) for check in checks if check is not None)


def test_mass_and_repeats_of_what_was_drawn_by_hand() -> None:
    """Four nodes of four draws. By Good and Turing a token drawn once stands for what was not drawn: covered are all,
    all, three quarters and half; half is too little to compare with the reported mass."""
    tokens = np.array([0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 0, 1, 0, 1, 2, 2])
    p = np.array([0.1, 0.1, 0.2, 0.2, 0.7, 0.7, 0.5, 0.5, 0.3, 0.3, 0.3, 0.15, 0.2, 0.3, 0.4, 0.4])
    draws = _collect(np.repeat(np.arange(4), 4), tokens, np.log(p), "token")
    check = check_draws(draws)
    assert check is not None and (check.events, check.new_seen) == (7, 9)
    assert check.kept_mass == pytest.approx((0.3 / 1.0 + 1.0 + 0.45 / 0.75) / 3)
    # first draws are new for certain; then 1 less what was drawn before, where the log adds up to no more than one
    foreseen = [1 + 0.9 + 0.9 + 0.7, 1 + 0.5 + 0.3 + 0.0, 1 + 0.7 + 0.7 + 0.7, 1 + 0.8 + 0.5 + 0.1]
    by_node = [check_draws(draws.at(draws.node == k)) for k in range(4)]
    for k in (0, 2, 3):
        one = by_node[k]
        assert one is not None and one.new_expected == pytest.approx(foreseen[k])
        assert one.excess == pytest.approx(one.events / (4 - foreseen[k]))


def test_new_draws_foreseen_at_the_temperature_found() -> None:
    """At the coldest temperature that its interval, twice as far down, allows: of the tokens drawn, those not yet."""
    logits = np.random.default_rng(16).normal(size=(3, 8)) * 1.5
    for size, temperature in ((40, 0.8), (3, 0.5)):
        draws = _draws(np.random.default_rng(15), logits, size, temperature)
        check = check_draws(draws)
        assert check is not None and check.interval is not None and check.temperature is not None
        low = check.interval[0]
        power = 1.0 / max(2.0 * low - check.temperature, 0.5 * low)
        foreseen = 0.0
        for node in range(3):
            here = draws.node == node
            kinds = dict(zip(draws.kind[here].tolist(), np.exp(power * draws.logp[here]).tolist(), strict=True))
            seen: set[int] = set()
            for kind in draws.kind[here].tolist():
                foreseen += 1.0 - sum(kinds[v] for v in seen) / sum(kinds.values())
                seen.add(kind)
        assert check.new_expected_tempered == pytest.approx(foreseen, abs=1e-9)


def test_top_p_keeps_the_smallest_set_of_that_mass() -> None:
    law = np.exp(restrict(np.log([0.5, 0.3, 0.15, 0.05]), Sampling(1.0, 0.8)))
    assert law == pytest.approx([0.625, 0.375, 0.0, 0.0])
    law = np.exp(restrict(np.log([0.5, 0.3, 0.15, 0.05]), Sampling(1.0, 0.81)))
    assert law == pytest.approx([0.5 / 0.95, 0.3 / 0.95, 0.15 / 0.95, 0.0])


def test_bridge_balances_on_two_laws_and_finds_a_shift() -> None:
    rng = np.random.default_rng(2)
    draft, base = (np.exp(log_softmax(rng.normal(size=12) * 2)) for _ in range(2))
    ratio = np.log(base) - np.log(draft)
    assert draft @ expit(ratio) == pytest.approx(base @ expit(-ratio), abs=1e-14)
    own = rng.choice(12, size=(1, 40_000), p=draft)
    other = rng.choice(12, size=(1, 40_000), p=base)
    assert _bennett(ratio[own] - 3.0, ratio[other] - 3.0)[0] == pytest.approx(-3.0, abs=0.05)


def test_ratios_of_a_right_pool_are_one() -> None:
    columns = TokenWorld(40).columns(5, 64, PLAIN, PLAIN)
    found = check_ratio(pool_from_columns(columns).arrays)
    assert abs(found.mean - 1.0) < 4.0 * found.mean_se
    assert abs(found.z) < 4.0 and found.shift_misfit < 3.0 and found.positions == 40


def test_arrays_of_a_pool_agree_with_its_methods() -> None:
    columns = TokenWorld(6).columns(0, 8, PLAIN, PLAIN)
    rng = np.random.default_rng(0)
    order = rng.permutation(len(columns["reward"]))
    pool = pool_from_columns({k: [v[i] for i in order] for k, v in columns.items()})
    arrays = pool.arrays
    assert list(arrays.names) == pool.keys()
    (block,) = blocks(arrays)
    for p, key in enumerate(arrays.names):
        row = block.positions.tolist().index(p)
        assert arrays.log_ratio[block.draft[row]] == pytest.approx(pool.draft_candidates(*key).log_ratio)
        assert arrays.floats("reward")[block.base[row]] == pytest.approx(pool.base_candidates(*key).reward)
    few = some_positions(arrays, 40)
    assert few.order.size == 2 * 16 and len(few.names) == 2


def test_equal_steps_get_equal_codes_whatever_tells_them_apart() -> None:
    columns = TokenWorld(4).columns(1, 24, PLAIN, PLAIN)
    whole = pool_from_columns(columns).arrays
    texts = {k: v for k, v in drop_tokens(columns).items()}
    texts["text"] = [str(ids) for ids in columns["token_ids"]]
    codes = [same_text_codes(whole)[0]]
    codes.append(same_text_codes(pool_from_columns(texts).arrays)[0])
    codes.append(same_text_codes(pool_from_columns(drop_tokens(columns)).arrays)[0])
    for other in codes[1:]:
        assert ((codes[0][:, None] == codes[0]) == (other[:, None] == other)).all()


def test_steps_serve_where_no_tokens_are_logged() -> None:
    columns = TokenWorld(10).columns(2, 64, PLAIN, PLAIN)
    arrays = pool_from_columns(drop_tokens(columns)).arrays
    assert token_draws(arrays, "draft", "draft") is None
    draws = step_draws(arrays, "draft", "draft")
    assert draws.level == "step" and draws.spread == pytest.approx(0.0, abs=1e-12)


def test_noise_by_equal_rewards_needs_rewards_that_tell_steps_apart() -> None:
    rng = np.random.default_rng(0)
    steps = rng.integers(20, size=(40, 30))
    columns = {
        "prompt_id": np.repeat([f"p{k}" for k in range(40)], 30).tolist(), "step": [0] * 1200,
        "source": ["draft"] * 1200, "candidate": np.tile(np.arange(30), 40).tolist(),
        "logp_draft": (-3.0 - 0.1 * steps).ravel(), "logp_base": (-3.0 - 0.1 * steps).ravel(),
        "reward": np.sqrt(1.0 + steps).ravel(),
    }  # fmt: skip

    def spread(**changes: np.ndarray) -> float:
        table = {name: np.asarray(value).tolist() for name, value in (columns | changes).items()}
        return spread_by_reward(pool_from_columns(table).arrays, "draft")

    assert spread() == 0.0
    noisy = columns["logp_draft"] + 0.02 * rng.normal(size=1200)
    assert spread(logp_draft=noisy) == pytest.approx(0.02, rel=0.15)
    # right or wrong: most pairs are of different steps, a third of them within half a nat
    wide = (-3.0 - 0.3 * steps).ravel()
    assert spread(logp_draft=wide, logp_base=wide, reward=(steps < 10).ravel().astype(float)) == 0.0

    # peaked laws: most rows are one step, and what other steps differ by is not to be drowned by them
    most = np.where(rng.random(steps.shape) < 0.9, 0, steps)
    peaked = (-0.1 - 0.5 * most).ravel() + 0.02 * rng.normal(size=1200)
    assert spread(logp_draft=peaked, logp_base=peaked, reward=np.sqrt(1.0 + most).ravel()) > 0.01
    # nearly flat laws: all rows are close, whatever their reward
    flat = (-3.0 - 0.005 * steps).ravel()
    assert spread(logp_draft=flat, logp_base=flat, reward=(steps < 10).ravel().astype(float)) == 0.0
    # equal steps agree to the last bit where there is no noise, whatever shares their reward
    pairs_of = (-3.0 - 0.5 * (steps // 2) - 0.01 * (steps % 2)).ravel()
    assert spread(logp_draft=pairs_of, logp_base=pairs_of, reward=(steps // 2).ravel().astype(float)) == 0.0
    # flat laws of tokens: lengths are nats apart, steps of one length are not
    lengths = rng.integers(1, 6, size=1200)
    logs = flat - 3.0 * lengths
    assert spread(logp_draft=logs, logp_base=logs, reward=(steps < 10).ravel().astype(float), n_tokens=lengths) == 0.0


def test_repeated_steps_of_several_tokens_do_not_show_their_temperature() -> None:
    """What THEORY says of M34 for whole steps: T̂ of draws at 0.7 is 1.0 to 1.3."""
    found = []
    for seed in range(500, 504):
        columns = TokenWorld(50, gap=0.7 if seed % 2 else 0.3).columns(seed, 64, Sampling(0.7), PLAIN)
        arrays = pool_from_columns(drop_tokens(columns)).arrays
        check = check_draws(step_draws(arrays, "draft", "draft"))
        assert check is not None and check.temperature is not None
        found.append(check.temperature)
    assert min(found) > 0.9 and max(found) < 1.4
