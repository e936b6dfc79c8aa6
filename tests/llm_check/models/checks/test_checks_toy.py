"""The checks on a toy world whose laws are known: verdicts at full size, their level, and what each number is."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from figures.report import build_report
from gsi_theory import Instance
from gsi_theory.laws.gate import gsi_laws
from gsi_theory.runs.artifact import Artifact, read_artifact, write_artifact
from llm_check.logs.mean_prediction import scheme_grid
from llm_check.logs.pools.pool import pool_from_columns
from llm_check.models.checks import decision_noise as noise
from llm_check.models.checks import fresh_runs as prediction
from llm_check.models.checks import significance
from llm_check.models.checks import step_law as law
from llm_check.models.checks.fresh_run_cells import halves, position_cells
from llm_check.models.collecting.collect import candidates_table
from llm_check.models.decoding.positions import Position, Prompt
from llm_check.models.decoding.random_streams import PositionStream
from llm_check.models.tiny.exact_steps import EnumeratedPosition
from llm_check.models.world import World
from tests.llm_check.models.toy_engine import STEPS, TOKENS, ToyEngine, ToyReward

GRID: dict[str, Any] = {"betas": (0.5, 2.0), "ns": (1, 4, 16, 64), "rules": ("softmax",), "threshold": 0.4}
PREDICTION = {"rules": "softmax", "betas": "0.5,2", "ns": "1,4,16,64", "threshold": "0.4", "exact": "0"}


def is_right(problem: Any, step: int, text: str) -> bool:
    return (ord(text[0]) + problem + step) % 3 == 0


def toy_world(count: int) -> World:
    prompts = [Prompt(f"p{i}", (1 + i % 7, 2 + i // 7), i) for i in range(count)]
    task: Any = SimpleNamespace(
        turns=(),
        name="toy",
        source="toy",
        instruction="",
        reading="boxed",
        check_step=is_right,
        grade=None,
        max_steps=4,
        max_tokens=3,
        prompts=lambda *_: list(prompts),
    )
    rule: Any = SimpleNamespace(max_tokens=3, counts=False)
    engines: Any = ToyEngine("draft"), ToyEngine("base")
    return World(*engines, ToyReward(), rule, task, "toy", "toy")  # type: ignore[arg-type]


def instance_at(place: Position) -> Instance:
    reward = ToyReward().score([place] * STEPS, [row[row >= 0].tolist() for row in TOKENS])
    return Instance(ToyEngine("draft").law(place.prefix), ToyEngine("base").law(place.prefix), reward)


def places_of(world: World, seed: int, count: int) -> list[Position]:
    return [Position(prompt, ((3,),) * (i % 3)) for i, prompt in enumerate(world.prompts()[:count])]


def run_prediction(folder: Path, seed: int, world: World | None = None, **settings: Any) -> Artifact:
    given = PREDICTION | {"candidates": 400, "runs": 400, "problems": 100} | settings
    texts = {name: str(value) for name, value in given.items()}
    out = folder / f"{seed}.json"
    return read_artifact(prediction.run(world or toy_world(100), seed, out, texts, lambda *_: None, "toy"))


@pytest.fixture(scope="module")
def predicted(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return run_prediction(tmp_path_factory.mktemp("prediction"), 0)


def step_down(p: list[float]) -> list[float]:
    """Holm's correction, by its definition."""
    order = sorted(range(len(p)), key=lambda i: p[i])
    adjusted, most = [0.0] * len(p), 0.0
    for rank, i in enumerate(order):
        most = max(most, min(1.0, (len(p) - rank) * p[i]))
        adjusted[i] = most
    return adjusted


def test_scores_of_the_prediction_check_are_calibrated(predicted: Artifact) -> None:
    """100 problems, n up to 64: variance of z, and the shares beyond 1.96 and 2.58, within errors over problems."""
    assert predicted.summary["passed"] is True
    for name in ("calibration", "halves_calibration"):
        found = predicted.summary[name]
        assert found["clusters"] >= 95
        assert 0.8 <= found["variance"] <= 1.2
        assert abs(found["variance"] - 1.0) <= 4 * found["variance_se"]
        assert abs(found["beyond_5"] - 0.05) <= 4 * found["beyond_5_se"]
        assert abs(found["beyond_1"] - 0.01) <= 4 * found["beyond_1_se"]


def test_differences_are_prediction_minus_measurement(predicted: Artifact) -> None:
    for table in predicted.tables.values():
        gap = np.array(table["predicted"]) - np.array(table["measured"])
        z = np.array([np.nan if value is None else value for value in table["z"]])
        seen = np.isfinite(z) & (np.abs(gap) > 1e-9)
        assert seen.mean() > 0.5
        assert np.array_equal(np.sign(gap[seen]), np.sign(z[seen]))


def test_prediction_corrects_over_all_it_compares(predicted: Artifact) -> None:
    cells, summary = predicted.tables["cells"], predicted.summary
    assert summary["comparisons"] == len(cells["p_value"]) == 2 * 4 * 2 * 3 + 2 * 4
    np.testing.assert_allclose(cells["p_holm"], step_down(list(cells["p_value"])), rtol=1e-9)
    assert summary["worst_p_holm"] == min(cells["p_holm"])


def test_prediction_and_runs_have_the_exact_law_for_mean() -> None:
    """Every quantity of every scheme over 40 problems; all gaps to the exact law, corrected."""
    world, schemes = toy_world(40), scheme_grid(**GRID)
    gaps: dict[tuple[str, int, str], list[float]] = {}
    for place in places_of(world, 0, 40):
        instance = instance_at(place)
        laws = gsi_laws(instance, schemes)
        texts = [world.draft.tokenizer.decode(row[row >= 0].tolist()) for row in TOKENS]
        right = np.array([float(is_right(place.problem, place.step, text)) for text in texts])
        values = {"reward": instance.reward, "length": (TOKENS >= 0).sum(axis=1).astype(float), "accuracy": right}
        for s, row in position_cells(world, place, schemes, 400, 400, 5):
            name = row["quantity"]
            exact = laws[s].p_accept if name == "p_accept" else laws[s].expectation(values[name])
            for kind in ("predicted", "measured"):
                gaps.setdefault((kind, s, name), []).append(row[kind] - float(exact))
    assert len(gaps) == 2 * (16 * 3 + 8)
    p = np.array([significance.mean_difference(np.array(gap)).p_value for gap in gaps.values()])
    assert min(step_down(p.tolist())) > 0.001


def test_halves_share_no_candidate_and_leave_none_out() -> None:
    world, place = toy_world(1), places_of(toy_world(1), 0, 1)[0]
    table = candidates_table(world.models, [place], (40, 40), world.rule, 2)
    columns = {name: table[name].combine_chunks() for name in table.column_names}
    number = np.arange(80) / 80.0
    columns["reward"] = number
    first, second = halves(pool_from_columns(columns), (place.prompt_id, place.step))
    for source, all_of_it in (("draft", number[:40]), ("base", number[40:])):
        own, theirs = (getattr(half, source).reward for half in (first, second))
        assert sorted([*own, *theirs]) == all_of_it.tolist()
        assert len(own) == len(theirs)
        for half, rewards in ((first, own), (second, theirs)):
            assert getattr(half, f"{source}_values")["reward"].tolist() == rewards.tolist()


def test_fresh_runs_share_no_stream_with_the_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: Counter[PositionStream] = Counter()
    real = PositionStream.generator

    def counted(self: PositionStream) -> np.random.Generator:
        opened[self] += 1
        return real(self)

    monkeypatch.setattr(PositionStream, "generator", counted)
    world = toy_world(3)
    for place in places_of(world, 0, 3):
        list(position_cells(world, place, scheme_grid(**GRID), 300, 10, 5))
    assert set(opened.values()) == {1}
    # Two draws for the pool; two draws and two selections for the runs.
    assert len(opened) == 3 * (2 + 4)


def enumerate_toy(world: World, place: Position, tolerance: float) -> EnumeratedPosition:
    return EnumeratedPosition(place, TOKENS, instance_at(place), 0.0, 0.0, STEPS, 0.0, 1.0)


def run_law(
    monkeypatch: pytest.MonkeyPatch, folder: Path, seed: int, world: World, listed: Any = enumerate_toy, **settings: Any
) -> Artifact:
    monkeypatch.setattr(law, "transformers_pair", lambda world: None)
    monkeypatch.setattr(law, "places_of", places_of)
    monkeypatch.setattr(law, "enumerate_position", listed)
    monkeypatch.setattr(law, "_difference", lambda *_: 0.0)
    texts = {name: str(value) for name, value in settings.items()}
    return read_artifact(law.run(world, seed, folder / f"{seed}.json", texts, lambda *_: None, "toy"))


def test_the_law_check_passes_at_full_size(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """20 positions, 10,000 draws of every sampler."""
    found = run_law(monkeypatch, tmp_path, 0, toy_world(20), problems=20, draws=10_000, threshold=0.4)
    summary, table = found.summary, found.tables["prompts"]
    assert summary["passed"] is True
    assert summary["comparisons"] == 20 * 6
    assert summary["outcomes_tested"] > 20 * 6 * 7
    np.testing.assert_allclose(table["p_holm"], step_down(list(table["p_value"])), rtol=1e-9)
    assert abs(summary["ratio_mean"] - 1.0) <= 4 * summary["ratio_mean_se"]
    rejections = [name for name in table["sampler"] if name == "gsi"]
    assert len(rejections) == 20


def test_the_law_check_holds_its_level(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """True samplers fail at most about 2 seeds in 100 (two families, 1 % each); uncorrected, most seeds would."""
    failed = 0
    for seed in range(40):
        found = run_law(monkeypatch, tmp_path, seed, toy_world(4), problems=4, draws=400, threshold=0.4)
        failed += found.summary["passed"] is False
    assert failed <= 4


def enumerate_cut(world: World, place: Position, tolerance: float) -> EnumeratedPosition:
    """The likely steps alone: those rare under both models, up to `tolerance` of mass each, are missing, as in a list
    of the steps of a language model."""
    whole = instance_at(place)
    kept = np.zeros(STEPS, dtype=bool)
    for logp in (whole.log_draft, whole.log_base):
        order = np.argsort(logp)
        kept[order[np.cumsum(np.exp(logp[order])) > tolerance]] = True
    draft, base = np.exp(whole.log_draft[kept]), np.exp(whole.log_base[kept])
    missing = max(0.0, 1.0 - draft.sum()), max(0.0, 1.0 - base.sum())
    part = Instance(np.log(draft / draft.sum()), np.log(base / base.sum()), whole.reward[kept])
    return EnumeratedPosition(place, TOKENS[kept], part, *missing, STEPS, 0.0, 1.0)


def test_missing_mass_fails_no_right_sampler_and_a_wrong_one_is_still_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Tenths of the mass are not listed, the models' log-ratios are off those of the list, and draws fall outside."""
    settings = {"problems": 4, "draws": 400, "threshold": 0.4, "tolerance": 0.2}
    failed, missing = 0, []
    for seed in range(30):
        found = run_law(monkeypatch, tmp_path, seed, toy_world(4), enumerate_cut, **settings)
        failed += found.summary["passed"] is False
        missing.append(found.summary["largest_missing_mass"])
    assert failed <= 3 and min(missing) > 0.05
    world = toy_world(2)
    swapped = replace(world, draft=world.base, base=world.draft)
    wrong = run_law(monkeypatch, tmp_path, 0, swapped, enumerate_cut, problems=2, draws=1000, tolerance=0.2)
    assert wrong.summary["passed"] is False


def test_a_law_check_of_swapped_models_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    world = toy_world(2)
    swapped = replace(world, draft=world.base, base=world.draft)
    assert run_law(monkeypatch, tmp_path, 0, swapped, problems=2, draws=1000).summary["passed"] is False


def test_noise_compares_log_ratios_of_base_against_draft(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both versions are log π_B - log π_S of the very drafts, the first n of each run."""
    seen: list[tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]] = []

    def kept(reward: np.ndarray, ratios: Any, uniforms: np.ndarray, scheme: Any) -> dict[str, int]:
        seen.append((reward, ratios))
        return {}

    monkeypatch.setattr(noise, "flips", kept)
    world, schemes = toy_world(1), [s for s in scheme_grid(**GRID) if s.threshold is not None]
    other = replace(world, base=ToyEngine("another"))
    place = places_of(world, 0, 1)[0]
    _, difference, _ = noise._rows(world, other, place, schemes, 30, 0)
    law_of = {name: ToyEngine(name).law(place.prefix) for name in ("draft", "base", "another")}
    exact = law_of["base"] - law_of["draft"], law_of["another"] - law_of["draft"]
    assert len(seen) == len(schemes)
    for (_, ratios), scheme in zip(seen, schemes, strict=True):
        assert ratios[0].shape == ratios[1].shape == (30, scheme.n)
        at = np.abs(ratios[0][..., None] - exact[0]).argmin(axis=-1)
        np.testing.assert_allclose(ratios[0], exact[0][at], atol=1e-12)
        np.testing.assert_allclose(ratios[1], exact[1][at], atol=1e-12)
    assert difference.size == 30 * 64


def test_the_report_shows_a_real_artifact(predicted: Artifact, tmp_path: Path) -> None:
    """Checks and page meet only in the artifact: what the check writes is what the page reads."""
    write_artifact(
        tmp_path / "lm_prediction.json", "lm_prediction", predicted.provenance, predicted.summary, predicted.tables
    )
    text = build_report(tmp_path, tmp_path / "out").read_text(encoding="utf-8")
    assert "means over problems" in text and 'id="fig-lm_prediction"' in text
