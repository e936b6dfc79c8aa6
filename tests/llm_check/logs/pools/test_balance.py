"""The balance of the sources (M32): exact on small laws, its test under the null, and what it names on whole steps."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.special import expit, log_softmax
from scipy.stats import chi2

from llm_check.logs.pools.balance import FREEDOM, UNBALANCED, Balance, _possible, _rows, _test, check_balance
from llm_check.logs.pools.causes import _tempered, causes
from llm_check.logs.pools.diagnosis import diagnose
from llm_check.logs.pools.evidence import Evidence, examine
from llm_check.logs.pools.findings import FINDINGS
from llm_check.logs.pools.pool import pool_from_columns
from tests.plants.pool_faults import Columns, Sampling, TokenWorld, drop_texts, drop_tokens, restrict

PLAIN, COLD, CUT = Sampling(), Sampling(0.7), Sampling(1.0, 0.95)


def _balance(columns: Columns) -> Balance:
    found = check_balance(pool_from_columns(columns).arrays)
    assert found is not None
    return found


def _whole(
    rng: np.random.Generator,
    positions: int,
    n: int,
    n_base: int,
    draft_sampling: Sampling = PLAIN,
    base_sampling: Sampling = PLAIN,
    outcomes: int = 40,
    gap: float = 0.7,
) -> Columns:
    """Pools of steps that are one token each: at temperature T a source's law is a power of the reported one."""
    rows: dict[str, list[Any]] = {}
    for place in range(positions):
        draft = log_softmax(rng.normal(size=outcomes) * 1.5)
        base = log_softmax(draft + rng.normal(size=outcomes) * gap)
        reward = rng.random(outcomes)
        drawn = {"draft": np.exp(restrict(draft, draft_sampling)), "base": np.exp(restrict(base, base_sampling))}
        for source, count in (("draft", n), ("base", n_base)):
            picked = rng.choice(outcomes, size=count, p=drawn[source] / drawn[source].sum())
            new = {
                "prompt_id": [f"p{place}"] * count, "step": [0] * count, "source": [source] * count,
                "candidate": list(range(count)), "logp_draft": draft[picked].tolist(),
                "logp_base": base[picked].tolist(), "reward": reward[picked].tolist(),
            }  # fmt: skip
            for name, values in new.items():
                rows.setdefault(name, []).extend(values)
    return rows


def test_the_identity_holds_for_any_function_and_any_numbers_of_draws() -> None:
    rng = np.random.default_rng(4)
    draft, base = (np.exp(log_softmax(rng.normal(size=9) * 3)) for _ in range(2))
    for n, n_base in ((1, 1), (7, 7), (64, 5), (1, 1000)):
        mu = expit(np.log(n / n_base) - np.log(base / draft))
        assert mu == pytest.approx(n * draft / (n * draft + n_base * base), rel=1e-13)
        for function in (np.ones(9), np.log(draft), rng.normal(size=9)):
            both = n * draft @ ((1.0 - mu) * function) - n_base * base @ (mu * function)
            assert both == pytest.approx(0.0, abs=1e-12)


def test_odds_are_those_of_the_counts_and_the_log_ratio() -> None:
    columns = _whole(np.random.default_rng(0), 3, 6, 2)
    rows = _rows(pool_from_columns(columns).arrays)
    assert rows is not None
    base, draft = np.array(columns["logp_base"]), np.array(columns["logp_draft"])
    assert np.sort(rows.odds) == pytest.approx(np.sort(np.log(3.0) - (base - draft)), abs=1e-13)
    assert rows.draft.sum() == 18 and np.bincount(rows.sets).tolist() == [6, 2] * 3


@pytest.mark.parametrize(("n", "n_base"), [(24, 24), (40, 8)])
def test_chi2_of_right_pools_follows_its_law(n: int, n_base: int) -> None:
    rng = np.random.default_rng(1)
    found = np.array([_balance(_whole(rng, 30, n, n_base)).chi2 for _ in range(150)])
    # all functions but the length vary here: mean 5, standard error of 150 such numbers 0.26
    assert abs(found.mean() - (FREEDOM - 1)) < 5.0 * np.sqrt(2 * (FREEDOM - 1) / found.size)
    assert np.mean(found > chi2.isf(0.05, FREEDOM - 1)) < 0.05 + 4.0 * np.sqrt(0.05 * 0.95 / found.size)


def test_a_power_of_the_reported_law_is_recovered() -> None:
    rng = np.random.default_rng(2)
    for cold in (0.7, 1.4):
        found = _balance(_whole(rng, 150, 40, 40, Sampling(cold)))
        # a hot source has to be suspected for its counts: what tells too little looks hot
        assert cold < 1.0 or found.verdict() is None
        verdict = found.verdict(["draft"])
        assert found.level < UNBALANCED and verdict is not None
        assert verdict[:2] == (("draft",), "temperature") and found.left < 30.0
        # here the law is a power of the reported one but for a constant of the position: T̂ is near T
        assert found.temperatures["draft"] == pytest.approx(cold, abs=0.1)


@pytest.mark.parametrize("outcomes", [100, 2000])
def test_a_truncation_of_the_whole_step_shows_in_the_lowest_twentieth(outcomes: int) -> None:
    """Top-p over steps of one token leaves likely ones as they are; what is missing are rows that the base drew."""
    for sources, draft, base in ((("draft",), CUT, PLAIN), (("draft", "base"), CUT, CUT)):
        columns = _whole(np.random.default_rng(7), 60, 64, 64, draft, base, outcomes)
        errors = {f.id: f for f in diagnose(pool_from_columns(columns)).findings if f.severity == "error"}
        assert list(errors) == ["truncated_sampling"]
        assert tuple(errors["truncated_sampling"].evidence) == sources


def test_tiny_pools_and_pairs_far_apart_raise_no_alarm() -> None:
    """Few rows bear on the test: an F law, and none below thirty of them; clean pools of all sizes stay clean."""
    for positions, n, gap in ((1, 2, 0.7), (1, 8, 2.0), (3, 4, 2.0), (5, 4, 4.0), (10, 4, 4.0), (20, 2, 4.0)):
        for seed in range(15):
            columns = _whole(np.random.default_rng([seed, positions]), positions, n, n, gap=gap)
            found = diagnose(pool_from_columns(columns))
            assert found.valid, (positions, n, gap, seed)
            assert any("rows" in line for line in found.untested) == (2 * n * positions < 40)


def test_rows_that_bear_on_the_test() -> None:
    """Equal models: all rows bear alike, less one a set; far apart hardly any do, and no test is made of thirty."""
    alike = _rows(pool_from_columns(_whole(np.random.default_rng(1), 5, 8, 8, gap=0.0)).arrays)
    assert alike is not None and _test(alike, alike.odds)[2] == pytest.approx(80.0 - 10.0)
    far = pool_from_columns(_whole(np.random.default_rng(1), 5, 8, 8, gap=6.0)).arrays
    rows = _rows(far)
    assert rows is not None and _test(rows, rows.odds)[2] < 30.0 and check_balance(far) is None
    assert check_balance(pool_from_columns(_whole(np.random.default_rng(1), 1, 16, 16)).arrays) is None


def test_equal_models_are_balanced_and_their_truncation_is_seen() -> None:
    assert _balance(_whole(np.random.default_rng(1), 40, 40, 40, gap=0.0)).level > 1e-3
    found = _balance(_whole(np.random.default_rng(1), 40, 64, 64, CUT, gap=0.0, outcomes=200))
    assert (found.verdict() or ((), "", 0.0))[:2] == (("draft",), "truncated")


def test_no_balance_without_two_candidates_of_each_source() -> None:
    rng = np.random.default_rng(3)
    for n, n_base in ((6, 1), (1, 6)):
        assert check_balance(pool_from_columns(_whole(rng, 4, n, n_base)).arrays) is None
    columns = _whole(rng, 4, 6, 6)
    drafts = [i for i, source in enumerate(columns["source"]) if source == "draft"]
    alone = {name: [values[i] for i in drafts] for name, values in columns.items()}
    assert check_balance(pool_from_columns(alone).arrays) is None


def test_sure_models_and_unreachable_steps_give_finite_numbers() -> None:
    columns = _whole(np.random.default_rng(5), 6, 10, 10)
    columns["logp_draft"] = columns["logp_base"] = [0.0] * 120
    sure = _balance(columns)
    assert sure.chi2 == pytest.approx(0.0, abs=1e-6) and sure.verdict() is None
    columns = _whole(np.random.default_rng(5), 6, 10, 10)
    columns["logp_base"][0] = -np.inf
    columns["logp_draft"][-1] = -np.inf
    reached = _balance(columns)
    assert np.isfinite(reached.chi2) and reached.rows == 118


FAULTS: dict[str, tuple[str, tuple[str, ...], tuple[Sampling, Sampling, str]]] = {
    "cold draft": ("temperature_mismatch", ("draft",), (COLD, PLAIN, "")),
    "cold base": ("temperature_mismatch", ("base",), (PLAIN, COLD, "")),
    "both cold": ("temperature_mismatch", ("draft", "base"), (COLD, COLD, "")),
    "top-p, draft": ("truncated_sampling", ("draft",), (CUT, PLAIN, "")),
    "top-p, base": ("truncated_sampling", ("base",), (PLAIN, CUT, "")),
    "a slightly other prompt": ("context_mismatch", ("ratio",), (PLAIN, PLAIN, "near")),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("strip", [drop_tokens, drop_texts])
def test_whole_steps_are_enough_to_name_a_fault(fault: str, strip: Any) -> None:
    wanted, sources, (draft, base, shifted) = FAULTS[fault]
    columns = TokenWorld(40, gap=0.7).columns(2, 64, draft, base, shifted)
    errors = {f.id: f for f in diagnose(pool_from_columns(strip(columns))).findings if f.severity == "error"}
    assert set(errors[wanted].evidence) - {"balance"} == set(sources)
    others = set(errors) - {wanted}
    # a temperature and a truncation that whole steps hardly tell apart are both named, with how far apart they are
    assert not others or (wanted != "context_mismatch" and others < {"temperature_mismatch", "truncated_sampling"})


def test_what_cannot_be_told_apart_is_said_twice() -> None:
    found = 0
    for seed in range(20):
        columns = drop_tokens(TokenWorld(20, gap=0.7).columns(seed, 32, CUT, PLAIN))
        errors = {f.id: f for f in diagnose(pool_from_columns(columns)).findings if f.severity == "error"}
        if set(errors) == {"temperature_mismatch", "truncated_sampling"}:
            found += 1
            gaps = [errors[name].evidence["draft"]["nats_over_the_other_cause"] for name in errors]
            assert gaps[0] == -gaps[1] and abs(gaps[0]) < 5.0
            assert all("undecided" in errors[name].evidence["draft"] for name in errors)
    assert found > 0


def _fitted(gains: dict[tuple[str, str], float], constant: float = 1.0, left: float = 3.0) -> Balance:
    return Balance(100.0, constant, 1e-20, 1000, gains, {"draft": 0.7, "base": 0.7, "both": 0.7}, left)


HEAT, CUTS = "temperature", "truncated"


def test_what_each_cause_must_gain() -> None:
    assert _fitted({("draft", HEAT): 30.0, ("draft", CUTS): 30.5}).verdict() == (("draft",), HEAT, 0.5)
    assert _fitted({("draft", HEAT): 30.0, ("draft", CUTS): 34.0}).verdict() == (("draft",), CUTS, 3.0)
    assert _fitted({("draft", HEAT): 30.0, ("draft", CUTS): 34.0}).verdict((), {"draft": 4.0}) == (
        ("draft",),
        HEAT,
        1.0,
    )
    assert _fitted({("draft", HEAT): 30.0}).verdict() == (("draft",), HEAT, np.inf)
    one_or_two = {("draft", HEAT): 30.0, ("both", HEAT): 34.0}
    assert (_fitted(one_or_two).verdict() or ("",))[0] == ("draft",)
    assert (_fitted(one_or_two | {("both", HEAT): 36.0}).verdict() or ("",))[0] == ("draft", "base")


def test_what_slopes_a_cause_can_have() -> None:
    assert _possible(HEAT, "draft", np.array([-0.2])) and not _possible(HEAT, "draft", np.array([-0.81]))
    # two hot sources look like numbers of another prompt
    assert _possible(HEAT, "both", np.array([0.2])) and not _possible(HEAT, "both", np.array([-0.2]))
    assert _possible(CUTS, "base", np.array([-0.2])) and not _possible(CUTS, "both", np.array([0.2, 0.2]))


def test_suspects_leave_only_the_cause_to_choose() -> None:
    gains = {("draft", HEAT): 3.0, ("draft", CUTS): 9.0, ("base", HEAT): 40.0}
    assert _fitted(gains).verdict(["draft"]) == (("draft",), CUTS, 5.0)
    assert _fitted(gains).verdict(["draft", "base"]) is None
    # a fit explains nothing unless it gains a quarter of chi2, here 25 nats
    assert _fitted({("both", HEAT): 24.0}).verdict() is None
    assert _fitted({("both", HEAT): 24.0}).verdict(["draft", "base"]) == (("draft", "base"), HEAT, np.inf)


def test_no_verdict_where_another_prompt_is_likelier() -> None:
    """One wrong source hardly moves h = 1; a fit that leaves the sources out of balance explains nothing."""
    gains = {("base", HEAT): 40.0, ("both", HEAT): 30.0}
    assert (_fitted(gains, constant=39.0).verdict() or ("",))[0] == ("base",)
    assert _fitted(gains, constant=41.0).verdict() is None
    assert (_fitted(gains, constant=41.0).verdict(["base"]) or ("",))[0] == ("base",)
    assert _fitted(gains, left=31.0).verdict() is None and _fitted({}).verdict() is None


def _evidence(**changes: Any) -> Evidence:
    """Evidence of a clean log of whole steps, its balance and the draft's check changed."""
    clean = examine(pool_from_columns(drop_tokens(TokenWorld(12).columns(0, 32, PLAIN, PLAIN))))
    check = clean.draws["draft"]
    assert check is not None and check.level == "step" and not causes(clean, "draft")
    draws = clean.draws | {"draft": replace(check, **changes.pop("check", {}))}
    return replace(clean, draws=draws, **changes)


def test_tokens_decide_a_temperature_and_leave_a_truncation_to_the_balance() -> None:
    heat = _fitted({("draft", HEAT): 40.0, ("draft", CUTS): 30.5})
    assert causes(_evidence(check={"level": "token"}, balance=heat), "draft") == {CUTS}
    tempered = {"level": "token", "log_e_temperature": 20.0, "temperature": 0.7, "interval": (0.65, 0.75)}
    cuts = _fitted({("draft", CUTS): 40.0, ("draft", HEAT): 30.0})
    assert causes(_evidence(check=tempered, balance=cuts), "draft") == {HEAT}
    (rule,) = (rule for rule in FINDINGS if rule.id == "truncated_sampling")
    found = rule.evidence(_evidence(check={"level": "token"}, balance=cuts))
    assert found is not None and found["draft"]["nats_over_the_other_cause"] == 9.0


def test_more_new_draws_than_reported_need_a_hot_source() -> None:
    more = {"log_e_more": 20.0, "events": 300, "new_seen": 10}
    hot = replace(_fitted({("draft", HEAT): 40.0}), temperatures={"draft": 1.3})
    assert causes(_evidence(check=more), "draft") == {"context"}
    assert causes(_evidence(check=more, balance=hot), "draft") == {HEAT}
    assert causes(_evidence(check=more, balance=_fitted({("draft", CUTS): 40.0})), "draft") == {"context"}
    # without counts that suspect it, what tells too little looks hot
    assert not causes(_evidence(balance=hot), "draft")


FEWER = {"log_e_fewer": 50.0, "log_e_fewer_tempered": 50.0, "temperature_gain": 0.0, "interval": (0.5, 1.05)}


def test_a_clear_balance_decides_and_an_unclear_one_leaves_repeats_to_decide() -> None:
    unclear = _fitted({("draft", HEAT): 30.0, ("draft", CUTS): 30.5})
    clear = _fitted({("draft", HEAT): 40.0, ("draft", CUTS): 30.5})
    few, many = FEWER | {"events": 10, "new_seen": 300}, FEWER | {"events": 300, "new_seen": 10}
    assert causes(_evidence(check=few), "draft") == {CUTS}
    assert causes(_evidence(check=few, balance=unclear), "draft") == {HEAT, CUTS}
    assert causes(_evidence(check=many, balance=unclear), "draft") == {CUTS}
    assert causes(_evidence(check=many, balance=clear), "draft") == {HEAT}
    assert causes(_evidence(balance=clear), "draft") == {HEAT}
    assert causes(_evidence(balance=unclear), "draft") == {HEAT, CUTS}


def test_a_truncation_stands_alone_only_where_no_temperature_accounts_for_the_draws() -> None:
    few = FEWER | {"events": 10, "new_seen": 300}
    cold, hot = {"log_e_fewer_tempered": 0.0}, {"interval": (0.5, 1.3)}
    assert causes(_evidence(check=few), "draft") == {CUTS}  # fewer than any temperature foresees
    assert causes(_evidence(check=few | cold), "draft") == {HEAT, CUTS}
    assert causes(_evidence(check=few | hot), "draft") == {HEAT, CUTS}  # log-probabilities divided by one
    # the repeats leave no temperature below 0.9
    assert causes(_evidence(check=few | cold | {"interval": (0.92, 1.05), "new_expected": 305.0}), "draft") == {CUTS}
    (rule,) = (rule for rule in FINDINGS if rule.id == "truncated_sampling")
    told = rule.evidence(_evidence(check=few | cold))
    assert told is not None and "temperature_mismatch or truncated_sampling" in told["draft"]["undecided"]


def test_one_source_s_division_is_the_other_s_where_its_repeats_allow_it() -> None:
    """Draft: hot and fewer new draws, divided by T; base: fewer new ones, and an interval that holds 1 and that T."""
    clean = _evidence()
    divided = {"level": "token", "log_e_fewer": 50.0, "temperature": 1.5, "interval": (1.25, 1.8)}
    unsure = {"level": "token", "log_e_fewer": 50.0, "temperature": 1.2, "interval": (1.01, 1.4)}
    draft, base = clean.draws["draft"], clean.draws["base"]
    assert draft is not None and base is not None
    both = replace(clean, draws={"draft": replace(draft, **divided), "base": replace(base, **unsure)})
    assert causes(both, "draft") == causes(both, "base") == {HEAT}
    alone = replace(clean, draws={"draft": draft, "base": replace(base, **unsure)})
    assert CUTS in causes(alone, "base")
    apart = replace(base, **unsure | {"interval": (1.01, 1.05)})
    assert CUTS in causes(replace(both, draws=both.draws | {"base": apart}), "base")


def test_log_ratios_off_by_nats_are_no_temperature() -> None:
    clear = _fitted({("draft", HEAT): 40.0, ("draft", CUTS): 30.5})
    ratio = replace(_evidence().ratio, shifts=np.full(12, 3.0), shift_misfit=3.4)
    assert not causes(_evidence(balance=clear, ratio=ratio), "draft")
    # numbers that cover a prefix too: repeats come in proportion, at a hundredth of the reported mass
    whole = FEWER | {"kept_mass": 0.01, "interval": (0.9, 1.1), "temperature": 1.0, "misfit_left": 0.0}
    assert causes(_evidence(check=whole, ratio=ratio), "draft") == {"shift"}
    assert not causes(_evidence(check=whole | {"interval": (0.3, 0.6)}, ratio=ratio), "draft")
    # constants that cancel in the ratio, at steps too rare for the reported mass to be known: far too many repeats
    rare = whole | {"kept_mass": 1.0, "events": 300, "new_seen": 3000, "new_expected": 3299.9}
    assert causes(_evidence(check=rare), "draft") == {"shift"}
    assert causes(_evidence(check=rare | {"new_expected": 3290.0}), "draft") == {CUTS}


def test_repeats_of_what_covers_a_prefix_are_not_rows_written_twice() -> None:
    columns = _whole(np.random.default_rng(8), 60, 64, 64)
    for name, per in (("logp_draft", 1.0), ("logp_base", 0.7)):
        shift = [5.0 + per * (int(prompt[1:]) * 7919 % 13) for prompt in columns["prompt_id"]]
        columns[name] = (np.array(columns[name]) - shift).tolist()
    drafts = [i for i, source in enumerate(columns["source"]) if source == "draft"]
    for table in (columns, {name: [values[i] for i in drafts] for name, values in columns.items()}):
        errors = [f.id for f in diagnose(pool_from_columns(table)).findings if f.severity == "error"]
        assert errors == ["whole_response"]


def test_a_whole_response_shows_in_later_steps() -> None:
    """Both models' numbers cover the earlier steps too, 8 nats each: right at step 0, far too many repeats later."""
    columns = _whole(np.random.default_rng(8), 60, 64, 64)
    step = [int(prompt[1:]) % 3 for prompt in columns["prompt_id"]]
    columns["step"] = step
    for name, per in (("logp_draft", 8.0), ("logp_base", 7.7)):
        columns[name] = (np.array(columns[name]) - per * np.array(step)).tolist()
    errors = [f.id for f in diagnose(pool_from_columns(columns)).findings if f.severity == "error"]
    assert errors == ["whole_response"]


def test_what_nothing_explains_is_another_context() -> None:
    (rule,) = (rule for rule in FINDINGS if rule.id == "context_mismatch")
    assert rule.evidence(_evidence()) is None
    found = rule.evidence(_evidence(balance=_fitted({})))
    assert found is not None and found["balance"]["chi2"] == 100.0
    noisy = {"draft": 0.05, "base": 0.0}
    assert rule.evidence(_evidence(balance=_fitted({}), spread=noisy)) is None


def test_a_cold_source_accounts_for_too_few_new_draws_without_the_other() -> None:
    told: dict[str, Any] = {
        "level": "token", "temperature": 0.7, "interval": (0.6, 0.8), "log_e_temperature": 0.0, "log_e_hot": 0.0,
        "log_e_fewer": 100.0, "log_e_fewer_tempered": 0.0, "temperature_gain": 100.0,
    }  # fmt: skip
    for change, tempered in (
        ({}, True),
        ({"temperature_gain": 0.0}, False),
        ({"temperature": 1.2, "interval": (0.9, 1.4)}, False),
    ):
        check: Any = SimpleNamespace(**(told | change))
        e: Any = SimpleNamespace(far_shifted=False, draws={"draft": check})
        assert _tempered(e, check) == tempered
