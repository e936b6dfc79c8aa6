"""The checks on the embedded pair, at small settings: they write readable artifacts, and fail where they should."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gsi_theory import InputError, Scheme
from gsi_theory.cli import main
from gsi_theory.runs.artifact import provenance, read_artifact, write_artifact
from llm_check.models import command_check
from llm_check.models.checks import step_law as law
from llm_check.models.checks import step_seconds
from llm_check.models.checks.check_table import CHECKS
from llm_check.models.checks.check_verdict import verdict
from llm_check.models.checks.decision_noise import flips
from llm_check.models.checks.fresh_run_cells import position_cells
from llm_check.models.checks.places import sampled_positions
from llm_check.models.checks.step_law import full_forward_difference, outcome_p_values
from llm_check.models.command_check import check
from llm_check.models.decoding.positions import Position
from llm_check.models.engines.transformers_engine import TransformersEngine
from llm_check.models.tiny.exact_steps import checked_positions, enumerate_position, frequency_test
from llm_check.models.world import World, load_world, transformers_pair

SMALL = {
    "lm_headline": {"problems": "1", "tolerance": "1e-3"},
    "lm_law": {"problems": "1", "draws": "2000", "tolerance": "1e-3", "n": "2"},
    "lm_prediction": {
        "problems": "3", "candidates": "60", "runs": "60", "ns": "1,4", "betas": "5", "tolerance": "1e-3",
    },
    "lm_accuracy": {"problems": "10", "ns": "1,2"},
    "lm_speed": {"problems": "2", "repeats": "1", "n": "2"},
    "lm_seconds": {"ns": "2,4", "more": "3", "repeats": "1"},
    "lm_noise": {"problems": "1", "runs": "50"},
}  # fmt: skip


@pytest.fixture(scope="module")
def world() -> World:
    return load_world()


@pytest.mark.parametrize("name", [name for name, item in CHECKS.items() if not item.options])
def test_checks_write_the_same_artifact_twice(name: str, world: World, tmp_path: Path) -> None:
    first = check(name, world, 3, tmp_path / "a", SMALL[name])
    artifact = read_artifact(first, name)
    said = verdict(artifact)
    assert said.startswith("passed: ") == artifact.summary.get("passed", False)
    assert "nan" not in said and "None" not in said
    assert all(len(columns) for table in artifact.tables.values() for columns in table.values())
    if name not in ("lm_speed", "lm_seconds"):  # their content is seconds
        second = check(name, world, 3, tmp_path / "b", SMALL[name])
        assert first.read_bytes() == second.read_bytes()


def test_the_law_check_passes_for_the_sampler_of_the_law(world: World, tmp_path: Path) -> None:
    """And reports what it compared: every sampler, against enough cells for a law of others to show."""
    path = check("lm_law", world, 3, tmp_path, {"problems": "1", "draws": "4000", "tolerance": "1e-3"})
    artifact = read_artifact(path)
    summary, rows = artifact.summary, artifact.tables["prompts"]
    assert summary["passed"] is True
    assert sorted(rows["sampler"]) == ["draft", "gsi", "gsi_race", "gsi_race_score", "gsi_ungated", "soft_bon_base"]
    cells = dict(zip(rows["sampler"], rows["cells"], strict=True))
    assert cells["draft"] >= 5
    assert min(cells["gsi_ungated"], cells["soft_bon_base"]) >= 4
    assert summary["outcomes_tested"] >= sum(rows["cells"])
    assert summary["worst_p_holm"] == pytest.approx(min(1.0, 6 * min(rows["p_value"])))  # Bonferroni, for the smallest
    assert abs(summary["ratio_mean"] - 1.0) <= 5 * summary["ratio_mean_se"]


@pytest.mark.parametrize("passed", [True, False])
def test_a_check_prints_its_verdict_and_ends_with_it(
    passed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Passed or failed, the largest |z| and its bound, and exit status 1 after a failure."""
    summary = {
        "passed": passed, "worst_abs_z": 2.39, "comparisons": 36, "bonferroni_bound": 3.64, "worst_p_holm": 0.61,
        "level": 0.01,
    }  # fmt: skip
    path = write_artifact(tmp_path / "lm_prediction.json", "lm_prediction", provenance("x", 0), summary, {})
    monkeypatch.setattr(command_check, "check", lambda *_, **__: path)
    monkeypatch.setattr("llm_check.models.world.load_world", lambda *_, **__: None)
    monkeypatch.setattr(command_check, "_told", lambda *_: "")
    with pytest.raises(SystemExit) as stopped:
        main(["check", "lm_prediction", "--out", str(tmp_path)])
    assert stopped.value.code == (0 if passed else 1)
    said = " ".join(capsys.readouterr().out.split())
    assert f"lm_prediction {'passed' if passed else 'failed'}: largest |z| 2.39 of 36 comparisons" in said
    assert "bound 3.64" in said and "bound 0.01" in said


def test_an_interrupted_law_check_goes_on_where_it_stopped(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = SMALL["lm_law"] | {"problems": "2", "draws": "500"}
    whole = check("lm_law", world, 3, tmp_path / "whole", few)

    class Stop(Exception):
        pass

    tested = []
    original = law._tests

    def counted(world: World, exact: World, place: Position, chosen: dict[str, Any], seed: int) -> dict[str, Any]:
        tested.append(place.prompt_id)
        if len(tested) == 2:
            raise Stop
        return original(world, exact, place, chosen, seed)

    monkeypatch.setattr(law, "_tests", counted)
    with pytest.raises(Stop):
        check("lm_law", world, 3, tmp_path / "cut", few)
    assert [p.name for p in (tmp_path / "cut").iterdir()] == ["lm_law.json.journal.jsonl"]
    again = check("lm_law", world, 3, tmp_path / "cut", few)
    assert len(tested) == 3 and tested[1] == tested[2] != tested[0]
    # what is left of other settings is no reason to stop, and is not used
    monkeypatch.setattr(law, "_tests", original)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "lm_law.json.journal.jsonl").write_text(
        '{"head": {}, "journal": 1}\n{"torn', encoding="utf-8"
    )
    other = check("lm_law", world, 3, tmp_path / "other", few)
    assert other.read_bytes() == whole.read_bytes() and list((tmp_path / "other").iterdir()) == [other]
    assert again.read_bytes() == whole.read_bytes() and list((tmp_path / "cut").iterdir()) == [again]


def test_unknown_check_and_setting_are_refused(world: World, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no check 'lm_none'"):
        check("lm_none", world, 0, tmp_path, {})
    with pytest.raises(InputError, match="setting 'drafts'"):
        check("lm_law", world, 0, tmp_path, {"drafts": "3"})
    with pytest.raises(InputError, match="setting draws = 'many'"):
        check("lm_law", world, 0, tmp_path, {"draws": "many"})
    with pytest.raises(InputError, match="give 64 candidates for n = 16"):
        check("lm_prediction", world, 0, tmp_path, {"candidates": "40"})
    assert not list(tmp_path.iterdir())


class Warm:
    """An engine that draws at another temperature than it says: the base policy in the draft's place, now and then."""

    def __init__(self, engine: Any, other: Any) -> None:
        self._engine, self._other = engine, other

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def sample(self, prefixes: Any, n: int, streams: Any, rule: Any) -> Any:
        mine = self._engine.sample(prefixes, n, streams, rule)
        drawn = self._other.sample(self._other.prefill([self.prefix]), n, streams, rule)
        foreign = (np.arange(n) % 4 == 0)[None, :, None]
        width = max(mine.tokens.shape[2], drawn.tokens.shape[2])
        wide = [
            np.pad(s.tokens, ((0, 0), (0, 0), (0, width - s.tokens.shape[2])), constant_values=-1)
            for s in (mine, drawn)
        ]
        tokens = np.where(foreign, wide[1], wide[0])
        scored = self._engine.score(prefixes, tokens)
        return replace(
            mine, tokens=tokens, token_logp=scored, finish=np.where(foreign[..., 0], drawn.finish, mine.finish)
        )


def test_the_law_check_fails_for_a_sampler_of_another_law(world: World, tmp_path: Path) -> None:
    place = checked_positions(world, 3, 1)[0]
    warm = Warm(world.draft, world.base)
    warm.prefix = list(place.prefix)  # type: ignore[attr-defined]
    settings = {"problems": "1", "draws": "4000", "tolerance": "1e-3"}
    path = check("lm_law", replace(world, draft=warm), 3, tmp_path, settings, reference=world)
    summary = read_artifact(path).summary
    assert summary["passed"] is False
    assert summary["worst_outcome_p_holm"] < 1e-6


class Kind:
    """A reward model that is more lenient while the pool is collected than in fresh runs."""

    def __init__(self, model: Any, drawn: int) -> None:
        self._model, self._left = model, drawn
        self.name, self.low, self.high = "kind", 0.0, 1.0

    def score(self, places: Any, steps: Any) -> np.ndarray:
        self._left -= 1
        return np.minimum(1.0, self._model.score(places, steps) * (1.0 if self._left % 3 == 0 else 0.9))

    def forget(self) -> None:
        self._model.forget()


def test_the_prediction_check_fails_where_pool_and_runs_differ(world: World, tmp_path: Path) -> None:
    settings = {"problems": "12", "candidates": "80", "runs": "200", "ns": "1,4", "betas": "5", "exact": "0"}
    assert read_artifact(check("lm_prediction", world, 3, tmp_path / "a", settings)).summary["passed"] is True
    path = check("lm_prediction", replace(world, reward_model=Kind(world.reward_model, 0)), 3, tmp_path / "b", settings)
    assert read_artifact(path).summary["passed"] is False


def test_exact_values_stand_between_prediction_and_measurement(world: World, tmp_path: Path) -> None:
    path = check("lm_prediction", world, 3, tmp_path, SMALL["lm_prediction"])
    cells = read_artifact(path).tables["cells"]
    assert set(cells["quantity"]) == {"reward", "length", "accuracy", "p_accept"}
    for i, exact in enumerate(cells["exact"]):
        assert (exact is None) == (cells["quantity"][i] in ("length", "accuracy"))
        if exact is not None:
            assert abs(cells["measured"][i] - exact) <= 5 * cells["measured_se"][i] + 0.02


def test_prediction_needs_no_checker_where_the_whole_answer_is_a_step(tmp_path: Path) -> None:
    """Accuracy is then that of the solution, by the task's grader; positions are on the base's own solutions."""
    world = load_world(step="answer", max_tokens=20, limit=3)
    world = replace(world, task=replace(world.task, check_step=None))
    places = sampled_positions(world, 0, 3)
    assert [place.step for place in places] == [0, 0, 0]
    rows = [row for _, row in position_cells(world, places[0], [Scheme(5.0, 2), Scheme(5.0, 2, 0.5)], 40, 50, 0)]
    accuracy = [row for row in rows if row["quantity"] == "accuracy"]
    assert len(accuracy) == 2
    assert all(0.0 <= row["measured"] <= 1.0 for row in accuracy)


def test_sampled_positions_go_round_the_steps(world: World) -> None:
    steps = [place.step for place in sampled_positions(world, 0, 8)]
    assert steps[0] == steps[4] == 0
    assert max(steps) >= 2


def test_flips_are_counted_by_hand() -> None:
    """Two drafts, no randomness (max rule): Δℓ turns the winner of run 0, moves run 1 across the threshold, leaves
    run 2 and turns the winner of run 3 among the rejected."""
    reward = np.array([[0.5, 0.4], [0.5, 0.0], [0.9, 0.0], [0.1, 0.0]])
    ratio = np.array([[0.0, 0.0], [0.01, -5.0], [0.0, 0.0], [0.0, 0.05]])
    other = np.array([[0.0, 0.2], [-0.01, -5.0], [0.0, 0.0], [0.0, 0.15]])
    found = flips(reward, (ratio, other), np.zeros((4, 2)), Scheme(1.0, 2, 0.5, "max"))
    assert found["winner_flips"] == 2
    assert found["gate_flips"] == 1
    assert found["outcome_flips"] == 2
    assert found["noise_tilted_reward"] == pytest.approx(np.std(other - ratio))


def test_no_noise_no_flips(world: World, tmp_path: Path) -> None:
    same = read_artifact(check("lm_noise", world, 3, tmp_path, SMALL["lm_noise"], reference=world)).summary
    assert same["log_ratio_sd"] == same["outcome_flips"] == 0.0
    noisy = read_artifact(check("lm_noise", world, 3, tmp_path / "b", SMALL["lm_noise"])).summary
    assert noisy["engines"] == ["transformers float32", "transformers bfloat16"]
    assert 1e-4 < noisy["token_logp_sd"] < 0.1


def test_frequency_test_accepts_the_law_and_rejects_another() -> None:
    rng = np.random.default_rng(61)
    law = np.array([0.5, 0.3, 0.15, 0.04, 0.01])
    outcomes = rng.choice(5, 20_000, p=law)
    assert frequency_test(outcomes, law).p_value > 0.001
    wrong = np.array([0.48, 0.32, 0.15, 0.04, 0.01])
    assert frequency_test(outcomes, wrong).p_value < 1e-6
    assert frequency_test(np.r_[outcomes, np.full(100, 5)], law).p_value < 1e-6  # outcomes outside the law


def test_seconds_are_of_candidates_that_hardly_begin_alike(world: World, tmp_path: Path) -> None:
    """The engine computes what candidates share once, so candidates alike would make a step look cheap."""
    seen = []

    class Noted(TransformersEngine):
        def score(self, prefixes: Any, steps: Any) -> Any:
            seen.append(np.asarray(steps)[0])
            return super().score(prefixes, steps)

    engine = transformers_pair(world)[1]
    noted = replace(world, base=Noted(engine.model, engine.tokenizer, engine.contract, engine.forward))
    summary = read_artifact(check("lm_seconds", noted, 3, tmp_path, SMALL["lm_seconds"]), "lm_seconds").summary
    assert summary["temperature"] == 3.0
    assert summary["world"]["contracts"]["base"]["sampling_temperature"] == 1.0
    several = [np.unique(tokens[:, :3], axis=0).shape[0] / len(tokens) for tokens in seen if len(tokens) > 1]
    assert np.mean(several) > 0.85


def test_a_slow_start_is_not_calibrated_on(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every setting is timed in every round, so that a machine that is slow for a while is so for all of them."""

    def predicted(slow: int) -> list[float]:
        calls = iter(range(10_000))

        def seconds(_: object, call: Callable[[], object]) -> float:
            call()
            return 3.0 if next(calls) < slow else 1.0

        monkeypatch.setattr(step_seconds._Clock, "seconds", seconds)
        path = check("lm_seconds", world, 3, tmp_path / str(slow), SMALL["lm_seconds"] | {"repeats": "2"})
        return read_artifact(path, "lm_seconds").tables["steps"]["predicted"]

    # a step that warms up, eight calls of each calibrated setting
    assert predicted(slow=17) == predicted(slow=0)


def test_single_outcomes_are_tested_exactly() -> None:
    rng = np.random.default_rng(62)
    law = np.array([0.9, 0.0985, 0.001, 0.0005])
    outcomes = rng.choice(4, 10_000, p=law)
    p = outcome_p_values(outcomes, law)
    assert len(p) == 5  # four outcomes and the rest, which nobody saw
    assert p.min() > 0.001
    assert outcome_p_values(np.r_[outcomes, np.full(30, 3)], law)[3] < 1e-6
    assert outcome_p_values(np.r_[outcomes, np.full(5, 4)], law)[-1] < 1e-6


def test_cached_scores_equal_a_full_forward(world: World) -> None:
    place = checked_positions(world, 5, 2)[1]
    steps = [[3, 4, 13], [14, 5, 15], [1], [9, 9, 9, 9]]
    for engine in transformers_pair(world):
        assert isinstance(engine, TransformersEngine)
        assert full_forward_difference(engine, engine.model, list(place.prefix), steps) <= 1e-4


def test_enumeration_covers_both_models(world: World) -> None:
    place = checked_positions(world, 5, 1)[0]
    found = enumerate_position(world, place, 1e-4)
    assert found.missing_draft <= 1e-4
    assert found.missing_base <= 1e-4
    assert found.leaves == 44_326
    assert found.locate(found.tokens[:7]).tolist() == list(range(7))
