"""Decoding: the streams, the costs, and the exact law of one step against many runs of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from gsi_theory import Candidates, Scheme, gsi_law
from gsi_theory.errors import InputError
from llm_check.logs.pools.pool import write_pool
from llm_check.models.collecting.collect import collect_pool, positions, step_rewards
from llm_check.models.decoding.fresh_runs_of_step import measure_step
from llm_check.models.decoding.method_table import METHODS
from llm_check.models.decoding.positions import Position, Prompt, encode_text
from llm_check.models.decoding.random_streams import PositionStream
from llm_check.models.decoding.solution import decode
from llm_check.models.engines.transformers_engine import TransformersEngine
from llm_check.models.tasks.arithmetic import ArithmeticProblem, check_step, make_problems
from llm_check.models.tiny.enumeration import StepTrie, enumerate_steps, score_trie
from tests.llm_check.models.engines.test_transformers_engine import RULE, plain_log_probs, random_engine
from tests.llm_check.models.toy import SHORT, ToyReward

THIRD = random_engine(8)


@pytest.fixture(scope="module")
def draft() -> TransformersEngine:
    return random_engine(6)


@pytest.fixture(scope="module")
def base() -> TransformersEngine:
    return random_engine(7)


@pytest.fixture(scope="module")
def problems() -> list[ArithmeticProblem]:
    return make_problems(6, 0, "test")


def run(
    draft: Any, base: Any, problems: Any, method: str, n: int = 4, threshold: float | None = 0.4, **more: Any
) -> Any:
    arguments = {"beta": 3.0, "rule": RULE, "seed": 1, "drafters": [THIRD]} | more
    return decode(method, draft, base, ToyReward(), problems, n=n, threshold=threshold, **arguments)


@pytest.mark.parametrize("method", METHODS)
def test_decode_is_a_function_of_the_seed_and_the_problem(draft: Any, base: Any, problems: Any, method: str) -> None:
    one, two = run(draft, base, problems, method), run(draft, base, problems, method)
    assert one.step_ids == two.step_ids
    part = run(draft, base, problems[2:4], method)
    assert part.step_ids == one.step_ids[2:4]
    assert run(draft, base, problems, method, seed=2).step_ids != one.step_ids
    assert all(
        "".join(draft.tokenizer.decode(list(s)) for s in path) == text
        for path, text in zip(one.step_ids, one.text, strict=True)
    )


@pytest.mark.parametrize("source", ["draft", "base"])
def test_plain_methods_are_ancestral_sampling(draft: Any, base: Any, problems: Any, source: str) -> None:
    """Token by token from plain full forwards, with the documented stream of each (problem, step)."""
    engine, purpose = (draft, 0) if source == "draft" else (base, 1)
    result = run(draft, base, problems, source, n=9)
    for problem, path in zip(problems, result.step_ids, strict=True):
        tokens = list(encode_text(engine.tokenizer, problem.prompt))
        expected = []
        for step in range(6):
            uniforms = PositionStream(1, problem.problem_id, step, purpose).generator().random((1, 4))[0]
            drawn: list[int] = []
            for u in uniforms:
                cdf = np.exp(plain_log_probs(engine, tokens + drawn)[-1]).cumsum()
                drawn.append(int(np.searchsorted(cdf / cdf[-1], u, side="right")))
                if drawn[-1] in (13, 15):
                    break
            tokens = tokens + drawn
            expected.append(tuple(drawn))
            if drawn[-1] == 15:
                break
        assert path == tuple(expected)


@pytest.mark.parametrize("method", ["gsi", "gsi_race", "gsi_score_gate"])
def test_extreme_thresholds(draft: Any, base: Any, problems: Any, method: str) -> None:
    ungated = run(draft, base, problems, "gsi_ungated" if method == "gsi" else "gsi_ungated_race")
    open_gate = run(draft, base, problems, method, threshold=-np.inf)
    assert ungated.acceptance_rate is None and open_gate.acceptance_rate == 1.0
    assert open_gate.step_ids == ungated.step_ids
    if method != "gsi_score_gate":
        none = run(draft, base, problems, method, threshold=None)
        assert none.acceptance_rate is None and none.step_ids == ungated.step_ids
    closed = run(draft, base, problems, method, threshold=np.inf)
    assert closed.acceptance_rate == 0.0
    if method == "gsi":
        assert closed.step_ids == run(draft, base, problems, "soft_bon_base").step_ids


def test_costs_count_every_candidate(draft: Any, base: Any, problems: Any) -> None:
    records = run(draft, base, problems, "gsi", n=5, threshold=-1.0).records
    assert (records["draft_samples"] == 5).all() and (records["base_scored"] == 5).all()
    np.testing.assert_array_equal(records["draft_tokens"], records["base_scored_tokens"])
    assert (records["draft_tokens"] >= 5).all() and (records["draft_tokens"] <= 5 * RULE.max_tokens).all()
    assert 0 < records["accepted"].sum() < len(records["accepted"])
    np.testing.assert_array_equal(records["base_samples"], np.where(records["accepted"], 0, 5))
    np.testing.assert_array_equal(records["reward_tokens"], records["draft_tokens"] + records["base_tokens"])
    plain = run(draft, base, problems, "draft").records
    assert not plain["base_tokens"].any() and not plain["base_scored"].any() and plain["accepted"].all()
    assert not plain["reward_calls"].any() and np.isfinite(plain["reward"]).all()


def test_n_base_sets_the_fallback_alone(draft: Any, base: Any, problems: Any) -> None:
    narrow = run(draft, base, problems, "gsi", n=5, threshold=-1.0, n_base=2).records
    wide = run(draft, base, problems, "gsi", n=5, threshold=-1.0).records
    assert set(narrow["base_samples"].tolist()) == {0, 2} and set(wide["base_samples"].tolist()) == {0, 5}
    first = narrow["step"] == 0
    np.testing.assert_array_equal(narrow["accepted"][first], wide["accepted"][wide["step"] == 0])


def test_switching_follows_the_last_step(draft: Any, base: Any, problems: Any) -> None:
    """The base opens every solution; from then on the draft proposes exactly after a step that reached u."""
    records = run(draft, base, problems, "specs", threshold=0.2).records
    assert 0.1 < (records["source"] == "draft").mean() < 0.9
    for p in range(len(problems)):
        own = {key: values[records["problem"] == p] for key, values in records.items()}
        assert own["source"][0] == "base"
        np.testing.assert_array_equal(own["source"][1:] == "draft", own["gate_value"][:-1] >= 0.2)
        tilted = own["winner_reward"] + np.nan_to_num(own["winner_log_ratio"]) / 3.0
        np.testing.assert_allclose(own["gate_value"], tilted, atol=1e-12)


def test_records_hold_the_reward_of_the_chosen_step(draft: Any, base: Any, problems: Any) -> None:
    result = run(draft, base, problems, "gsi")
    for problem, step, reward in zip(*(result.records[k] for k in ("problem", "step", "reward")), strict=True):
        path = result.step_ids[problem]
        place = Position(Prompt("", encode_text(draft.tokenizer, problems[problem].prompt)), path[:step])
        assert reward == ToyReward().score([place], [path[step]])[0]


def test_bad_input(draft: Any, base: Any, problems: Any) -> None:
    with pytest.raises(InputError, match=r"method 'best'.*: use one of draft, base"):
        run(draft, base, problems, "best")
    with pytest.raises(InputError, match="no problems"):
        run(draft, base, [], "gsi")
    with pytest.raises(InputError, match="n = 0"):
        run(draft, base, problems, "gsi", n=0)
    with pytest.raises(InputError, match="max_steps = 0"):
        run(draft, base, problems, "gsi", max_steps=0)
    with pytest.raises(InputError, match=f"prompts 0 and 6 are both called '{problems[0].problem_id}'"):
        run(draft, base, [*problems, problems[0]], "gsi")
    for method in ("specs", "rsd", "rsd_sigmoid", "gsi_score_gate", "first_passage", "expgsi_score_gate"):
        with pytest.raises(InputError, match=f"method '{method}' needs a threshold"):
            run(draft, base, problems, method, threshold=None)
    with pytest.raises(InputError, match="give further drafters"):
        run(draft, base, problems, "drafters", drafters=[])
    with pytest.raises(InputError, match="2 counts for 1 drafters"):
        run(draft, base, problems, "drafters", drafter_counts=[1, 2])


class Limited:
    """An engine that says it holds `context` tokens, otherwise the one inside."""

    def __init__(self, inside: Any, context: int) -> None:
        self.inside, self.context = inside, context

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inside, name)


def test_a_full_context_ends_a_solution_and_not_the_run(draft: Any, base: Any, problems: Any) -> None:
    free = run(draft, base, problems, "gsi", max_steps=5)
    longest = max(len(encode_text(draft.tokenizer, p.prompt)) for p in problems)
    context = longest + 2 * RULE.max_tokens
    short = run(draft, Limited(base, context), problems, "gsi", max_steps=5)
    for problem, cut, whole in zip(problems, short.step_ids, free.step_ids, strict=True):
        assert cut == whole[: len(cut)]
        room = context - len(encode_text(draft.tokenizer, problem.prompt)) - sum(map(len, cut))
        assert room >= 0 and (cut == whole or room < RULE.max_tokens)
    assert short.step_ids != free.step_ids and not short.finished.all()
    with pytest.raises(InputError, match=f"the context holds {longest}"):
        run(draft, Limited(base, longest), problems, "gsi")


def test_early_exit_needs_a_bounded_reward_and_no_reward_may_be_nan(draft: Any, base: Any, problems: Any) -> None:
    class Unbounded(ToyReward):
        high = np.inf

    with pytest.raises(InputError, match="needs a reward with an upper bound, toy has none"):
        decode("expgsi_early_exit", draft, base, Unbounded(), problems, 3.0, 4, None, RULE, 1)

    class Broken(ToyReward):
        def score(self, places: Any, steps: Any) -> np.ndarray:
            return np.full(len(steps), np.nan)

    with pytest.raises(InputError, match=f"toy gave nan at step 0 of prompt '{problems[0].problem_id}'"):
        decode("gsi", draft, base, Broken(), problems[:1], 3.0, 4, None, RULE, 1)


def test_equal_steps_are_judged_once() -> None:
    toy = ToyReward()
    places = [Position(Prompt("a", (1,))), Position(Prompt("b", (1, 2)))]
    tokens = np.array([[[1, 13], [1, 13], [13, -1]], [[1, 13], [2, 13], [2, 13]]], dtype=np.int32)
    rewards = step_rewards(toy, places, tokens)
    assert toy.judged == 4
    plain = [
        [ToyReward().score([p], [[t for t in s if t >= 0]])[0] for s in row]
        for p, row in zip(places, tokens, strict=True)
    ]
    np.testing.assert_array_equal(rewards, plain)


SCHEMES = [
    Scheme(2.0, 1, None),
    Scheme(2.0, 4, None),
    Scheme(2.0, 8, -0.5),
    Scheme(2.0, 3, -1.0, "race", n_base=6),
    Scheme(4.0, 8, 0.4, "race", gate="score"),
    Scheme(2.0, 5, -0.5, "max"),
]


@pytest.fixture(scope="module")
def exact(
    draft: TransformersEngine, base: TransformersEngine, problems: list[ArithmeticProblem]
) -> tuple[Any, StepTrie, Any]:
    """A position, its enumerated draft law, and the candidate sets of draft and base over the same leaves."""
    place = positions(problems[:1], draft.tokenizer, (1,))[0]
    prefix = list(place.prefix)
    trie = enumerate_steps(draft, prefix, SHORT)
    logp_base = score_trie(base, prefix, trie)
    reward = ToyReward().score([place] * len(trie.steps), trie.steps)
    ratio = logp_base - trie.logp
    assert np.exp(trie.logp + ratio).sum() == pytest.approx(1.0, abs=1e-6)
    sets = (Candidates(trie.logp, reward, ratio), Candidates(logp_base, reward, ratio))
    return place, trie, sets


def chi_square(leaves: np.ndarray, law: np.ndarray) -> float:
    """p-value of the counts of `leaves` against `law`; cells expected fewer than 10 times are pooled."""
    counts = np.bincount(leaves, minlength=len(law))
    large = law * len(leaves) >= 10
    observed = np.append(counts[large], counts[~large].sum())
    expected = np.append(law[large], 1.0 - law[large].sum()) * len(leaves)
    assert large.sum() > 20
    return float(stats.chisquare(observed, expected).pvalue)


def test_measured_steps_follow_the_exact_law(draft: Any, base: Any, exact: Any) -> None:
    place, trie, sets = exact
    runs = 5000
    measured = measure_step(draft, base, ToyReward(), place, runs, SCHEMES, SHORT, seed=3)
    leaves = trie.locate(measured.steps)
    np.testing.assert_allclose(measured.step_reward, sets[0].reward[leaves], rtol=0, atol=1e-12)
    for s, scheme in enumerate(SCHEMES):
        law = gsi_law(sets, scheme)
        assert scheme.threshold is None or 0.2 < law.p_accept < 0.8
        joined = np.exp(law.log_prob).reshape(2, -1).sum(axis=0)
        assert chi_square(leaves[measured.selected[s]], joined) > 1e-3, scheme
        spread = np.sqrt(law.p_accept * (1 - law.p_accept) / runs)
        # 4.5 standard errors: 7e-6 two-sided; the last term is the float32 noise of the log-ratios.
        assert abs(measured.accepted[s].mean() - law.p_accept) <= 4.5 * spread + 1e-5, scheme
        mean, spread = joined @ sets[0].reward, measured.reward[s].std(ddof=1) / np.sqrt(runs)
        assert abs(measured.reward[s].mean() - mean) <= 4.5 * spread, scheme


@pytest.mark.parametrize("method", ["soft_bon_base", "gsi", "gsi_score_gate"])
def test_decoded_steps_follow_the_exact_law(draft: Any, base: Any, problems: Any, method: str) -> None:
    """The decoding loop itself, fallback included: one problem under many names, cut after its first step."""
    place = positions(problems[:1], draft.tokenizer)[0]
    prefix = list(place.prefix)
    copies = [replace(problems[0], problem_id=f"copy-{i}") for i in range(3000)]
    result = run(draft, base, copies, method, threshold=-1.5, rule=SHORT, max_steps=1)
    trie = enumerate_steps(draft, prefix, SHORT)
    logp_base = score_trie(base, prefix, trie)
    reward = ToyReward().score([place] * len(trie.steps), trie.steps)
    ratio = logp_base - trie.logp
    sets = [Candidates(logp, reward, ratio) for logp in (trie.logp, logp_base)]
    if method == "soft_bon_base":
        sets[0] = Candidates(logp_base, reward, np.zeros_like(ratio))
    exact = gsi_law((sets[0], sets[1]), result.scheme)
    assert method == "soft_bon_base" or 0.3 < exact.p_accept < 0.7
    law = np.exp(exact.log_prob).reshape(2, -1).sum(axis=0)
    tokens = np.array([[*path[0], -1, -1, -1][:3] for path in result.step_ids])
    assert chi_square(trie.locate(tokens), law) > 1e-3


@pytest.mark.parametrize("method", ["gsi", "gsi_race", "gsi_score_gate"])
def test_one_measured_run_is_one_decoded_step(draft: Any, base: Any, method: str) -> None:
    """Both read the same streams, so the same candidates, noise and fallback give the same step."""
    tasks = make_problems(25, 1, "test")
    decoded = run(draft, base, tasks, method, n=6, threshold=-1.0, max_steps=1)
    assert 0 < decoded.records["accepted"].sum() < len(tasks)
    for i, place in enumerate(positions(tasks, draft.tokenizer, (0,))):
        alone = measure_step(draft, base, ToyReward(), place, 1, [decoded.scheme], RULE, seed=1)
        step = alone.steps[alone.selected[0, 0]]
        assert tuple(step[step >= 0].tolist()) == decoded.step_ids[i][0]
        assert alone.accepted[0, 0] == decoded.records["accepted"][i]


def test_smaller_n_uses_the_first_candidates(draft: Any, base: Any, exact: Any) -> None:
    place, _, _ = exact
    wide = measure_step(draft, base, ToyReward(), place, 200, SCHEMES, SHORT, seed=3)
    again = measure_step(draft, base, ToyReward(), place, 200, [*SCHEMES, Scheme(1.0, 2)], SHORT, seed=3)
    np.testing.assert_array_equal(wide.reward, again.reward[: len(SCHEMES)])


def test_a_collected_pool_is_valid_and_true(draft: Any, base: Any, problems: Any, tmp_path: Any) -> None:
    places = positions(problems, draft.tokenizer, (0, 1)) + positions(problems[:2], draft.tokenizer, (1,), base, RULE)
    places = [Position(replace(p.prompt, prompt_id=f"{p.prompt_id}-{i}"), p.path) for i, p in enumerate(places)]
    columns = collect_pool(draft, base, ToyReward(), places, 8, 5, RULE, seed=4)
    pool = write_pool(tmp_path / "pool.parquet", columns, {"seed": 4})
    assert len(pool.keys()) == len(places)
    for i in (0, 5, len(places) - 1):
        place = places[i]
        for source, engine in (("draft", draft), ("base", base)):
            ids = pool.column(place.prompt_id, place.step, source, "token_ids")
            texts = pool.column(place.prompt_id, place.step, source, "text")
            gold = pool.column(place.prompt_id, place.step, source, "gold_reward")
            logp = pool.column(place.prompt_id, place.step, source, f"logp_{source}")
            for k, step in enumerate(ids):
                table = plain_log_probs(engine, [*place.prefix, *step])
                oracle = sum(table[len(place.prefix) - 1 + t, token] for t, token in enumerate(step))
                assert logp[k] == pytest.approx(oracle, abs=1e-4)
                assert texts[k] == engine.tokenizer.decode(step)
                assert gold[k] == check_step(place.problem, place.step, texts[k])
    fewer = collect_pool(draft, base, ToyReward(), places[3:4], 3, 5, RULE, seed=4)
    kept = pool.column(places[3].prompt_id, places[3].step, "draft", "token_ids")
    assert [row for row, s in zip(fewer["token_ids"], fewer["source"], strict=True) if s == "draft"] == kept[:3]


def test_positions_follow_the_reference_solution(draft: Any, problems: Any) -> None:
    places = positions(problems[:2], draft.tokenizer, (0, 2, 9))
    assert [(p.prompt_id, p.step) for p in places] == [(q.problem_id, s) for q in problems[:2] for s in (0, 2)]
    text = problems[0].prompt + f"{problems[0].values[0]}\n\n{problems[0].values[1]}\n\n"
    assert draft.tokenizer.decode(list(places[1].prefix)) == text
    with pytest.raises(InputError, match="only one of base and rule"):
        positions(problems, draft.tokenizer, (0,), base=draft)
