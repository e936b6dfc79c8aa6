"""conform as a user meets it: right samplers pass, planted mistakes fall and are named, laws of mistakes are those of
samplers written apart; selectors; assert_samples; bad input."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from gsi_theory import selection_law
from gsi_theory.cli import main
from gsi_theory.conform import (
    MISTAKES,
    SELECTORS,
    CandidateList,
    ToyProblem,
    assert_samples,
    conform,
    conform_selector,
    served_methods,
)
from gsi_theory.conformance.design import design_of
from gsi_theory.conformance.list_selectors import selector_design
from gsi_theory.conformance.smallest import smallest
from gsi_theory.errors import InputError
from gsi_theory.methods import METHODS
from gsi_theory.runs.command_conform import app
from tests.benches.conform import alarms, faulty, named
from tests.mistake_page import HEAD, PAGE, row
from tests.plants.sampler_faults import PLANTED, planted

PAIRS = [(method, mistake) for method, mistakes in PLANTED.items() for mistake in mistakes]


def gsi(problem: ToyProblem) -> int:
    """The method of the paper, as its users write it."""
    drafts = problem.draw_draft(problem.n)
    ratio = problem.log_base[drafts] - problem.log_draft[drafts]
    reward = problem.reward[drafts]
    winner = int(np.argmax(problem.beta * reward + ratio + problem.rng.gumbel(size=drafts.size)))
    assert problem.threshold is not None
    if reward[winner] + ratio[winner] / problem.beta >= problem.threshold:
        return int(drafts[winner])
    bases = problem.draw_base(problem.n_base)
    return int(bases[np.argmax(problem.beta * problem.reward[bases] + problem.rng.gumbel(size=bases.size))])


def test_a_right_sampler_conforms_at_the_costs_of_the_law() -> None:
    outcome, costs = conform(gsi, "gsi", draws=4000)
    assert outcome.conforms and outcome.p > 0.01 and outcome.nearest is None and outcome.draws == 4000
    assert 0.0 == outcome.tv_low < outcome.tv_high < 0.2
    assert costs.drafts == costs.drafts_expected
    assert abs(costs.bases - costs.bases_expected) < 0.1
    again, _ = conform(gsi, "gsi", draws=4000)
    assert [c.tolist() for c in again.counts] == [c.tolist() for c in outcome.counts]


@pytest.mark.parametrize(("method", "mistake"), PAIRS)
def test_a_planted_mistake_is_found_and_named(method: str, mistake: str) -> None:
    outcome = faulty(method, mistake, 0)
    assert not outcome.conforms and outcome.refuted_at is not None and outcome.refuted_at <= 20_000
    assert named(outcome, mistake), outcome.nearest
    assert outcome.nearest is not None and outcome.nearest.explains


@pytest.mark.parametrize(("method", "mistake"), [*PAIRS, *((method, "") for method in PLANTED)])
def test_laws_of_mistakes_are_those_of_samplers_written_apart(method: str, mistake: str) -> None:
    """40,000 rounds a problem: every frequency within five standard errors of the law."""
    design = design_of(method)
    laws = {rival.id: rival.laws for rival in design.rivals} | {"": design.laws}
    for m, case in enumerate(design.cases):
        scheme, rng = case.scheme, np.random.default_rng([m, 9])
        policies = np.exp(case.instance.log_draft), np.exp(case.instance.log_base)
        outcomes = planted(
            method, mistake, *policies, case.instance.reward, scheme.beta, scheme.n, scheme.base_draws,
            scheme.threshold or 0.0, 40_000, rng,
        )  # fmt: skip
        law = laws[mistake][m]
        error = 5.0 * np.sqrt(law * (1.0 - law) / 40_000) + 1e-12
        assert (np.abs(np.bincount(outcomes, minlength=law.size) / 40_000 - law) <= error).all(), (m, law)


def test_the_catalogue_is_played_and_told_apart() -> None:
    """Fifteen mistakes and more for GSI; each mistake is planted somewhere; each moves the law of its method enough to
    be found in 20,000 draws."""
    assert {mistake for _, mistake in PAIRS} == set(MISTAKES)
    assert len(PLANTED["gsi"]) >= 15
    for method in served_methods():
        design = design_of(method)
        for rival in design.rivals:
            if rival.kind != "mistake":
                continue
            gains = [
                float(np.sum(np.where(q > 0, q * np.log(np.maximum(q, 1e-300) / np.maximum(p, 1e-12)), 0.0)))
                for q, p in zip(rival.laws, design.laws, strict=True)
            ]
            assert np.mean(gains) > 4e-4, (method, rival.id)


def test_methods_are_served_or_refused_by_name() -> None:
    served = served_methods()
    assert {"gsi", "soft_bon_base", "rsd", "speculative", "gsi_poisson", "pooled", "first_passage"} <= set(served)
    for method in set(METHODS) - set(served):
        with pytest.raises(InputError, match=method):
            conform(gsi, method)
    with pytest.raises(InputError, match="did you mean"):
        conform(gsi, "gsy")


@pytest.mark.parametrize("method", ["gsi", "gsi_race", "expgsi_score_gate", "gsi_poisson", "speculative", "pooled"])
def test_samplers_of_the_methods_pass(method: str) -> None:
    assert alarms(method, 60, 2000, 5) <= 4  # of 60 at 1 %: more with probability 4e-4


@pytest.mark.parametrize("name", SELECTORS)
def test_selectors_and_their_mistakes(name: str) -> None:
    """The selector's own draws pass; each mistake's, drawn by its law, falls and is named."""
    lists, laws, rivals = selector_design(name)
    assert len(rivals) >= 5 and len(lists) == len(laws)

    def drawn(laws: tuple[np.ndarray, ...]) -> object:
        order = {id_of(reward, answer): law for (reward, answer, _), law in zip(lists, laws, strict=True)}

        def select(candidates: CandidateList) -> int:
            law = order[id_of(candidates.reward, candidates.answer)]
            outcome = int(candidates.rng.choice(law.size, p=law))
            return int(np.argmax(candidates.answer == outcome)) if SELECTORS[name].votes else outcome

        return select

    assert conform_selector(drawn(laws), name, draws=3000).conforms  # type: ignore[arg-type]
    for rival in rivals:
        outcome = conform_selector(drawn(rival.laws), name, draws=20_000)  # type: ignore[arg-type]
        assert not outcome.conforms, rival.id
        assert outcome.nearest is not None and rival.id in (outcome.nearest.id, *outcome.nearest.alike)


def id_of(reward: np.ndarray, answer: np.ndarray) -> tuple[bytes, bytes]:
    return np.asarray(reward).tobytes(), np.asarray(answer).tobytes()


def test_selectors_as_users_write_them() -> None:
    def majority(candidates: CandidateList) -> int:
        counts = np.bincount(candidates.answer)
        top = np.flatnonzero(counts == counts.max())
        return int(np.flatnonzero(candidates.answer == candidates.rng.choice(top))[0])

    def most_common(candidates: CandidateList) -> int:
        return int(np.flatnonzero(candidates.answer == np.argmax(np.bincount(candidates.answer)))[0])

    def first_best(candidates: CandidateList) -> int:
        return int(np.argmax(candidates.reward))

    assert conform_selector(majority, "majority", draws=3000).conforms
    nearest = conform_selector(most_common, "majority").nearest
    assert nearest is not None and nearest.id == "ties_to_first"
    nearest = conform_selector(first_best, "best_of_n").nearest
    assert nearest is not None and nearest.id == "ties_to_first"


def test_laws_of_votes_by_hand() -> None:
    """Ties of counts are shared, weights decide, an answer that nobody gave never wins."""
    reward, answer = np.array([0.25, 0.25, 0.5, 0.25, 0.875]), np.array([0, 0, 2, 2, 3])
    listed = (reward, answer, 3.0)
    assert SELECTORS["majority"].law(listed).tolist() == [0.5, 0.0, 0.5, 0.0]
    assert SELECTORS["weighted_majority"].law(listed).tolist() == [0.0, 0.0, 0.0, 1.0]
    assert SELECTORS["best_of_n"].law(listed).tolist() == [0.0, 0.0, 0.0, 0.0, 1.0]
    assert SELECTORS["regularized:2"].law(listed) == pytest.approx([1 / 9, 1 / 9, 1 / 3, 1 / 9, 1 / 3])
    weights = np.exp(3.0 * reward)
    assert SELECTORS["soft_best_of_n"].law(listed) == pytest.approx(weights / weights.sum())


@settings(max_examples=10, deadline=None)
@given(st.lists(st.floats(0.05, 1.0), min_size=2, max_size=6), st.integers(1, 5))
def test_assert_samples_in_a_property_test(masses: list[float], n: int) -> None:
    p = np.array(masses) / np.sum(masses)
    weight = np.linspace(0.0, 1.0, p.size)
    law = selection_law(np.log(p), weight, n)

    def sampler(rng: np.random.Generator) -> int:
        drawn = rng.choice(p.size, n, p=p)
        return int(drawn[np.argmax(weight[drawn] + rng.gumbel(size=n))])

    assert_samples(sampler, law, draws=500)
    if n > 1:
        with pytest.raises(AssertionError, match="refute the law"):
            assert_samples(lambda rng: 0, law, draws=2000)


def test_bad_samplers_get_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "def half(p):\n    return 0.5\n\ndef far(p):\n    return 99\n\ndef none(p):\n    return None\n\n"
        "def broken(p):\n    return p.no_such_thing\n\ndef many(p):\n    return p.draw_draft(10**9)\n\n"
        "def third(p):\n    return p.draw_draft(-1)\n\nNUMBER = 3\n\ndef leaves(p):\n    raise SystemExit(3)\n\n"
        "def several(p):\n    yield 1\n\nasync def later(p):\n    return 1\n"
    )
    for name, words in {
        "half": "0.5 (float)", "far": "99 (int)", "none": "None (NoneType)", "broken": "AttributeError",
        "many": "at most 1000000 draws", "third": "draw_draft(k): k", "missing": "defines no missing",
        "NUMBER": "must be a function", "leaves": "SystemExit: 3", "several": "returns its answer",
        "later": "returns its answer",
    }.items():  # fmt: skip
        with pytest.raises(SystemExit) as ended:
            main(["conform", f"{file}:{name}", "--method", "gsi"])
        said = capsys.readouterr().err
        assert ended.value.code == 2 and words in said and "Traceback" not in said, name
        (error,) = [line for line in said.splitlines() if line.startswith("gsi conform:")]
        assert f"{file}:{name}" in error or name == "missing"
    for line in (
        [f"{file}:half"],
        [f"{file}:half", "--method", "gsi", "--selector", "majority"],
        [f"{file}:half", "--method", "gsi", "--level", "0"],
        ["--method", "gsi"],
    ):
        with pytest.raises(SystemExit) as ended:
            main(["conform", *line])
        assert ended.value.code == 2, line


def test_any_callable_is_played(tmp_path: Path) -> None:
    """An object with __call__, a partial function and a lambda are samplers like a function."""
    file = tmp_path / "mine.py"
    file.write_text(
        "from functools import partial\n\n"
        "class Sampler:\n    def __call__(self, p):\n        return p.draw_draft()[0]\n\n"
        "def drawn(k, p):\n    return p.draw_draft(k)[0]\n\n"
        "called, bound, short = Sampler(), partial(drawn, 1), lambda p: p.draw_draft()\n"
    )
    for name in ("called", "bound", "short"):
        done = CliRunner().invoke(app, [f"{file}:{name}", "--method", "draft", "--draws", "400", "--json"])
        assert done.exit_code == 0 and json.loads(done.stdout)["conforms"] is True, name


def test_the_command_says_what_it_is(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "import numpy as np\n\ndef gsi(p):\n"
        "    y = p.draw_draft(p.n)\n    l = p.log_base[y] - p.log_draft[y]\n"
        "    i = np.argmax(p.beta * p.reward[y] + l + p.rng.gumbel(size=p.n))\n"
        "    if p.reward[y[i]] >= p.threshold:\n        return y[i]\n"
        "    z = p.draw_base(p.n_base)\n    return z[np.argmax(p.beta * p.reward[z] + p.rng.gumbel(size=p.n_base))]\n"
    )
    done = CliRunner().invoke(app, [f"{file}:gsi", "--method", "gsi", "--json"])
    found = json.loads(done.stdout)
    assert done.exit_code == 1 and found["schema"] == 1
    assert found["conforms"] is False and found["nearest"]["id"] == "threshold_on_reward"
    assert found["nearest"]["kind"] == "mistake" and found["nearest"]["log_e"] > 5.0
    assert {"p", "draws", "tv_low", "tv_high"} <= set(found)
    short = tmp_path.parent / "m.py"
    short.write_text(file.read_text())
    said = CliRunner().invoke(app, [f"{short}:gsi", "--method", "gsi"]).stdout
    assert "does not conform to gsi" in " ".join(said.split()) and max(map(len, said.splitlines())) <= 80
    listed = CliRunner().invoke(app, []).stdout
    assert all(name in listed for name in (*served_methods(), *SELECTORS, *MISTAKES))
    assert max(map(len, listed.splitlines())) <= 80


def test_the_page_of_mistakes_is_of_the_catalogue() -> None:
    """Every mistake has a line; those of some are made again, and what they say is counted by a sampler apart."""
    text = PAGE.read_text(encoding="utf-8")
    assert text.startswith(HEAD) and [
        line.split("`")[1] for line in text.splitlines() if line.startswith("| `")
    ] == list(MISTAKES)
    for name in ("one_fewer", "winner_reused", "ties_to_smallest", "number_used_twice"):
        assert row(name) in text
        shown = smallest(name)
        scheme, instance = shown.case.scheme, shown.case.instance
        outcomes = planted(
            shown.method, name, np.exp(instance.log_draft), np.exp(instance.log_base), instance.reward, scheme.beta,
            scheme.n, scheme.base_draws, scheme.threshold or 0.0, 40_000, np.random.default_rng(3),
        )  # fmt: skip
        error = 5.0 * np.sqrt(shown.wrong * (1.0 - shown.wrong) / 40_000) + 1e-12
        assert (np.abs(np.bincount(outcomes, minlength=instance.size) / 40_000 - shown.wrong) <= error).all()
        assert shown.tv == pytest.approx(0.5 * np.abs(shown.right - shown.wrong).sum())
    said = CliRunner().invoke(app, ["--explain", "one_fewer"]).stdout
    assert "n − 1 candidates instead of n" in said and "smallest problem" in said
